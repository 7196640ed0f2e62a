# SPDX-License-Identifier: Apache-2.0
"""The images that the lab on Kubernetes loads, kept in build/kubernetes/images while what they are made of stands."""
import hashlib
import os
import subprocess

import image
from hosts import PODVEIL, ROOT, Failed

DIRECTORY = os.path.join(ROOT, "build/kubernetes/images")
PAUSE = "podveil.lab/pause:1"
PYTHON = "podveil.lab/python:1"
PODVEIL_IMAGE = "docker.io/library/podveil:latest"


def _digest(*paths):
    digest = hashlib.sha256()
    for path in paths:
        with open(os.path.realpath(path), "rb") as f:
            digest.update(f.read())
    return digest.hexdigest()[:16]


def _kept(name, key, make):
    """The archive of this name and key; make(path) makes it, others of the name go."""
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
    return _kept("podveil", _digest(PODVEIL, image.__file__), _podveil)


def _podveil(path):
    i = image.Image(PODVEIL_IMAGE, ["/usr/sbin/podveil"])
    i.program(PODVEIL, "/usr/sbin/podveil")
    i.save(path)


def archives():
    return [pause(), python(), podveil()]
