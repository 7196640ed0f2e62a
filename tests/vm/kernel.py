# SPDX-License-Identifier: Apache-2.0
"""Runs other kernels, also for another processor: Debian's kernel packages in qemu's software emulation. The root file system
is this machine's, or one made for that processor: read-only over 9p, below an overlay in memory."""
import collections
import glob
import os
import shlex
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
VM = os.path.join(ROOT, "build/vm")
BEFORE_ROOT = ["virtio_pci", "9pnet_virtio", "9p", "overlay"]

# The first process: it mounts the root file system, runs the command, and switches the machine off.
INIT = """#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /ro /rw /new
/bin/busybox mount -t proc proc /proc
for m in /modules/*; do /bin/busybox insmod $m || echo "init: $m failed"; done
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose root /ro
/bin/busybox mount -t tmpfs tmpfs /rw
/bin/busybox mkdir -p /rw/upper /rw/work
/bin/busybox mount -t overlay -o lowerdir=/ro,upperdir=/rw/upper,workdir=/rw/work overlay /new
/bin/busybox mkdir -p /new%(root)s
/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose work /new%(root)s
cd /new
for d in proc sys dev run tmp; do /bin/busybox mkdir -p $d; done
/bin/busybox mount -t proc proc proc
/bin/busybox mount -t sysfs sysfs sys
/bin/busybox mount -t devtmpfs dev dev
/bin/busybox mount -t tmpfs tmpfs run
exec /bin/busybox switch_root /new /bin/sh -c '
exec </dev/null
mkdir -p /lib/modules/%(release)s
mount --bind %(modules)s/%(release)s /lib/modules/%(release)s
ip link set lo up
ln -s /proc/self/fd /dev/fd; ln -s /proc/self/fd/0 /dev/stdin
cd %(root)s
%(command)s
echo "exit-code: $?"
/bin/busybox poweroff -f'
"""


class Missing(Exception):
    """A kernel package is not available; the message says which."""


def package(meta):
    """Unpacks the kernel package on which the package `meta` depends now; returns the directory."""
    depends = subprocess.run(["apt-cache", "depends", meta], capture_output=True, text=True).stdout
    names = [line.split(":")[1].strip() for line in depends.splitlines() if "Depends:" in line]
    names = [n for n in names if n.startswith("linux-image-")]
    if not names:
        raise Missing(f"{meta}: apt does not know it (run apt-get update)")
    where = os.path.join(VM, names[0])
    if not glob.glob(os.path.join(where, "boot/vmlinuz-*")):
        os.makedirs(VM, exist_ok=True)
        got = subprocess.run(["apt-get", "download", "-qq", names[0]], cwd=VM, capture_output=True,
                             text=True)
        archives = glob.glob(os.path.join(VM, names[0] + "_*.deb"))
        if got.returncode or not archives:
            raise Missing(f"{names[0]}: {got.stderr.strip()}")
        subprocess.run(["dpkg-deb", "-x", archives[0], where], check=True)
        os.unlink(archives[0])
    return where


# What to boot: qemu's command, the console's device, the root file system, where the kernel's package is unpacked.
Machine = collections.namedtuple("Machine", "emulator console root kernel")


def x86_64(meta):
    """A machine with the kernel of the package `meta`, and this machine's root file system."""
    return Machine(["qemu-system-x86_64", "-cpu", "max"], "ttyS0", "/", package(meta))


def arm64():
    """A machine with the root file system and kernel from `make deps-arm64`."""
    root = os.path.join(ROOT, "build/root-aarch64")
    return Machine(["qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a76"], "ttyAMA0", root, root)


def modules_of(where):
    base = where if os.path.isdir(os.path.join(where, "lib/modules")) else os.path.join(where, "usr")
    return os.path.join(base, "lib/modules"), base


def initramfs(machine, release, command, out):
    """Writes an initramfs that runs `command` on the machine's root file system."""
    modules, base = modules_of(machine.kernel)
    if not os.path.exists(os.path.join(modules, release, "modules.dep.bin")):
        subprocess.run(["depmod", "-b", base, release], check=True)
    with tempfile.TemporaryDirectory() as tree:
        os.makedirs(os.path.join(tree, "bin"))
        os.makedirs(os.path.join(tree, "modules"))
        shutil.copy(os.path.join(machine.root, "bin/busybox"), os.path.join(tree, "bin/busybox"))
        loaded = []
        for name in BEFORE_ROOT:
            shown = subprocess.run(["modprobe", "-d", base, "-S", release, "--show-depends", name],
                                   capture_output=True, text=True, check=True).stdout
            for line in shown.splitlines():
                path = line.split()[1] if line.startswith("insmod ") else None
                if path and path not in loaded:
                    loaded.append(path)
        for i, path in enumerate(loaded):
            target = os.path.join(tree, "modules", f"{i:02}-{os.path.basename(path)}")
            if path.endswith(".xz"):
                with open(target[:-3], "wb") as f:
                    subprocess.run(["xz", "-dc", path], stdout=f, check=True)
            else:
                shutil.copy(path, target)
        init = os.path.join(tree, "init")
        with open(init, "w") as f:
            f.write(INIT % {"release": release, "modules": modules, "root": ROOT,
                            "command": command.replace("'", "'\\''")})
        os.chmod(init, 0o755)
        with open(out, "wb") as f:
            names = subprocess.run(["find", "."], cwd=tree, capture_output=True, check=True).stdout
            subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], cwd=tree, input=names, stdout=f,
                           check=True)


def run(machine, command, seconds=240, on=None, tap=None):
    """Boots the machine and runs the command (a list) there as root; returns (exit code, console output). With `tap`, the
    machine has a network device that is connected to the device `tap` of the host `on`."""
    kernel = glob.glob(os.path.join(machine.kernel, "boot/vmlinuz-*"))[0]
    release = os.path.basename(kernel)[len("vmlinuz-"):]
    with tempfile.NamedTemporaryFile(suffix=".cpio") as image:
        initramfs(machine, release, shlex.join(command), image.name)
        qemu = [*machine.emulator, "-accel", "tcg,thread=multi", "-smp", "2",
                "-m", "2048", "-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio",
                "-kernel", kernel, "-initrd", image.name,
                "-append", f"console={machine.console} quiet panic=-1 mitigations=off",
                *(word for path, tag in ((machine.root, "root"), (ROOT, "work")) for word in (
                    "-virtfs", f"local,path={path},mount_tag={tag},security_model=none,readonly=on,multidevs=remap"))]
        if tap:
            qemu += ["-netdev", f"tap,id=wire,ifname={tap},script=no,downscript=no", "-device", "virtio-net-pci,netdev=wire"]
            qemu = on.enter(qemu)
        try:
            done = subprocess.run(qemu, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  errors="replace", timeout=seconds)
            out = done.stdout + done.stderr
        except subprocess.TimeoutExpired as e:
            return 124, (e.stdout or b"").decode(errors="replace") + f"\nnot done in {seconds} s"
    for line in out.splitlines():
        if line.startswith("exit-code: "):
            return int(line.split()[1]), out
    return 1, out
