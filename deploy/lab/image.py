# SPDX-License-Identifier: Apache-2.0
"""Makes container images from files of this machine, as docker-archive tars; no registry is needed."""
import glob
import hashlib
import io
import json
import os
import platform
import re
import subprocess
import tarfile

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


def libraries(path):
    """The paths of the shared libraries that the program at `path` loads."""
    done = subprocess.run(["ldd", path], capture_output=True, text=True)
    return set(re.findall(r"(/\S+) \(0x", done.stdout))


class Image:
    def __init__(self, name, entrypoint=(), command=(), environment=(), labels=None):
        self.name = name
        self.config = {"Entrypoint": list(entrypoint), "Cmd": list(command), "Labels": labels or {},
                       "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *environment]}
        self.layer = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.layer, mode="w")
        self.added = set()
        for directory in ("tmp", "etc", "proc", "sys", "dev", "run", "var"):
            self.directory("/" + directory, 0o1777 if directory == "tmp" else 0o755)

    def directory(self, path, mode=0o755):
        parent = os.path.dirname(path)
        if parent != "/" and parent not in self.added:
            self.directory(parent)
        if path in self.added:
            return
        self.added.add(path)
        info = tarfile.TarInfo(path[1:])
        info.type, info.mode = tarfile.DIRTYPE, mode
        self.tar.addfile(info)

    def file(self, path, target=None):
        """Adds a file of this machine, with links followed, at the path `target` (default: at the same path)."""
        target = target or path
        if target in self.added:
            return
        self.added.add(target)
        self.directory(os.path.dirname(target))
        info = self.tar.gettarinfo(os.path.realpath(path), target[1:])
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        # Always a regular file: gettarinfo() may make a hard link of it.
        info.type, info.linkname, info.size = tarfile.REGTYPE, "", os.path.getsize(path)
        with open(path, "rb") as f:
            self.tar.addfile(info, f)

    def program(self, path, target=None):
        """Adds a program and the libraries it needs."""
        self.file(path, target)
        for library in libraries(path):
            self.file(library)

    def tree(self, path, exclude):
        for root, directories, files in os.walk(path):
            directories[:] = sorted(d for d in directories if d not in exclude)
            for name in sorted(files):
                if os.path.exists(os.path.join(root, name)):
                    self.file(os.path.join(root, name))

    def link(self, path, target):
        self.directory(os.path.dirname(path))
        info = tarfile.TarInfo(path[1:])
        info.type, info.linkname = tarfile.SYMTYPE, target
        self.tar.addfile(info)

    def save(self, path):
        """Writes the archive: it appears at `path` only when it is complete."""
        self.tar.close()
        layer = self.layer.getvalue()
        digest = hashlib.sha256(layer).hexdigest()
        config = json.dumps({
            "architecture": ARCHITECTURE, "os": "linux", "config": self.config,
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest]}}).encode()
        config_name = hashlib.sha256(config).hexdigest() + ".json"
        manifest = [{"Config": config_name, "RepoTags": [self.name], "Layers": [digest + "/layer.tar"]}]
        with tarfile.open(path + ".new", "w") as out:
            for name, data in ((config_name, config), (digest + "/layer.tar", layer),
                               ("manifest.json", json.dumps(manifest).encode())):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                out.addfile(info, io.BytesIO(data))
        os.rename(path + ".new", path)
        return path


def pause(name):
    """The image of the process that holds a pod's namespaces and does nothing else."""
    image = Image(name, ["/bin/busybox", "sleep", "2147483647"])
    image.file("/bin/busybox")
    return image


def python(name):
    """This machine's Python, as far as the lab's workload needs it, and busybox tools such as wget for tests by hand."""
    image = Image(name, ["/usr/bin/python3"], environment=["PYTHONDONTWRITEBYTECODE=1"])
    real = os.path.realpath("/usr/bin/python3")
    library = "/usr/lib/" + os.path.basename(real)
    image.program(real, "/usr/bin/python3")
    image.tree(library, {"__pycache__", "dist-packages", "test", "tests", "idlelib", "lib2to3", "tkinter", "turtledemo",
                         "ensurepip", "pydoc_data", "distutils", "unittest", "asyncio"})
    for module in glob.glob(library + "/lib-dynload/*.so"):
        for needed in libraries(module):
            image.file(needed)
    image.file("/bin/busybox")
    for name in ("sh", "wget", "ping", "ip", "cat", "ls"):
        image.link("/bin/" + name, "busybox")
    return image
