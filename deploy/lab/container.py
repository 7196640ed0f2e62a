# SPDX-License-Identifier: Apache-2.0
"""The images that the lab on Kubernetes loads. They are kept in build/kubernetes/images until their sources change."""
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile

import image
from hosts import PODVEIL, ROOT, Failed

DIRECTORY = os.path.join(ROOT, "build/kubernetes/images")
PAUSE = "podveil.lab/pause:1"
PYTHON = "podveil.lab/python:1"
PODVEIL_IMAGE = "docker.io/library/podveil:latest"
# The same sources under another version, for updates and rollbacks.
NEXT = os.path.join(os.path.dirname(PODVEIL), "next/podveil")
NEXT_IMAGE = "docker.io/library/podveil:next"

DOCKERFILE, BUNDLE = (os.path.join(ROOT, "deploy", name) for name in ("Dockerfile", "bundle.sh"))


def _digest(*paths):
    digest = hashlib.sha256()
    for path in paths:
        with open(os.path.realpath(path), "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()[:16]


def _kept(name, key, make):
    """Returns the path of the archive of this name and key. If it is missing, make(path) makes it, and archives of this name
    with another key are removed."""
    os.makedirs(DIRECTORY, exist_ok=True)
    path = os.path.join(DIRECTORY, f"{name}-{key}.tar")
    if not os.path.exists(path):
        for old in os.listdir(DIRECTORY):
            if old.startswith(name + "-"):
                os.unlink(os.path.join(DIRECTORY, old))
        make(path)
    return path


def pause():
    return _kept("pause", _digest("/bin/busybox", image.__file__), image.pause(PAUSE).save)


def python():
    return _kept("python", _digest("/usr/bin/python3", image.__file__), lambda path: image.python(PYTHON).save(path))


def podveil():
    return _kept("podveil", _digest(PODVEIL, DOCKERFILE, BUNDLE, image.__file__), lambda path: _podveil(path, PODVEIL, PODVEIL_IMAGE))


def podveil_next():
    return _kept("next", _digest(NEXT, DOCKERFILE, BUNDLE, image.__file__), lambda path: _podveil(path, NEXT, NEXT_IMAGE))


def _podveil(path, program, name):
    """Builds the image that users get, without network, from a program in build/, on a base of this machine's files."""
    with tempfile.TemporaryDirectory(prefix="podveil-image-") as scratch:
        base = image.Image("localhost/podveil-base:1")
        base.file("/bin/busybox")
        for applet in ("sh", "cp", "mkdir", "sed", "ln"):
            base.link("/bin/" + applet, "busybox")
        for library in image.libraries(program):
            base.file(library)
        base.save(f"{scratch}/base.tar")
        context = f"{scratch}/context"
        for file in ("LICENSE", "deploy/bundle.sh", "deploy/Dockerfile"):
            os.makedirs(os.path.dirname(f"{context}/{file}"), exist_ok=True)
            shutil.copy(os.path.join(ROOT, file), f"{context}/{file}")
        os.mkdir(f"{context}/build")
        subprocess.run(["strip", "-o", f"{context}/build/podveil", program], check=True)
        version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        buildah = ["buildah", "--storage-driver", "vfs", "--root", f"{scratch}/root", "--runroot", f"{scratch}/run"]
        for command in (["pull", "--quiet", f"docker-archive:{scratch}/base.tar"],
                        ["build", "--quiet", "--isolation", "chroot", "--pull-never", "--tag", name,
                         "--build-arg", "PROGRAM=prebuilt", "--build-arg", "BASE=localhost/podveil-base:1",
                         "--build-arg", "VERSION=" + version, "--file", f"{context}/deploy/Dockerfile", context],
                        ["push", "--quiet", name, f"docker-archive:{path}.new:{name}"]):
            done = subprocess.run([*buildah, *command], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode:
                raise Failed(f"buildah {' '.join(command)}\n{done.stdout}{done.stderr}")
        os.rename(path + ".new", path)


def configuration(archive):
    """The configuration of the image in an archive: entry point, labels and so on."""
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("manifest.json"))
        return json.load(tar.extractfile(manifest[0]["Config"]))["config"]


def archives():
    return [pause(), python(), podveil()]
