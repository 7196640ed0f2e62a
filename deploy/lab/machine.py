# SPDX-License-Identifier: Apache-2.0
"""A host that looks like a whole machine to its programs: it has its own root, processes, cgroups, /proc, /sys and /run.

Its root is an overlay over this machine's root, on a tmpfs, so that all that is written there vanishes with the host.
cgroups and directories do not vanish by themselves: the janitor removes them when the lab's process ends or is killed.
"""
import os
import subprocess
import sys
import tempfile

from hosts import ROOT, Failed, die_with_parent
from cluster import Node

CGROUPS = "/sys/fs/cgroup"

# The kubelet sets these knobs, which are the whole machine's. On the host, they are replaced by plain files.
KNOBS = ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
         "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")

# These are on the tmpfs: the programs of a node mount overlays there, which is not possible on the root's overlay.
DIRECTORIES = "/var/lib/kubelet /var/lib/containerd /var/lib/cni /var/log/pods /var/log/containers /etc/cni /opt/cni"

# $1: an empty directory; $2: the host's name. SIGCHLD is ignored, also after exec, so that the kernel reaps orphans.
SETUP = f"""
set -e
trap '' CHLD
D=$1 R=$1/root
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$D"
mkdir "$D/upper" "$D/work" "$D/root" "$D/data" "$D/knobs"
mount -t overlay -o "lowerdir=/,upperdir=$D/upper,workdir=$D/work" overlay "$R"
mount -t proc proc "$R/proc"
mount --rbind /dev "$R/dev"
mount --bind /tmp "$R/tmp"
mount -t sysfs sysfs "$R/sys"
mount -t bpf bpf "$R/sys/fs/bpf"
mount -t tmpfs -o mode=755 tmpfs "$R{CGROUPS}"
while read -r _ path type options _; do
	case $path in {CGROUPS}/*) ;; *) continue ;; esac
	mkdir "$R$path"
	case $type in
	cgroup2) mount -t cgroup2 cgroup2 "$R$path" ;;
	cgroup) mount -t cgroup -o "${{options#rw,relatime,}}" cgroup "$R$path" ;;
	esac
done < "$D.mounts"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mkdir -m 700 "$R/run/podveil"
mkdir "$R/run/wireguard" "$R/run/lock"
for d in {DIRECTORIES}; do
	mkdir -p "$D/data$d" "$R$d"
	mount --bind "$D/data$d" "$R$d"
done
for f in {' '.join(KNOBS)}; do
	mkdir -p "$D/knobs/${{f%/*}}"
	cat "/proc/sys/$f" > "$D/knobs/$f"
	mount --bind "$D/knobs/$f" "$R/proc/sys/$f"
done
hostname "$2"
cd "$R"
pivot_root . .
umount -l .
cd /
mount --make-rshared /
ip link set lo up
echo ready
exec cat
"""

NAMESPACES = ["--net", "--mount", "--uts", "--ipc", "--pid", "--cgroup"]


def hierarchies():
    """(path, type, options) of each cgroup hierarchy below CGROUPS."""
    with open("/proc/mounts") as f:
        mounts = [line.split()[1:4] for line in f]
    return [m for m in mounts if m[0].startswith(CGROUPS + "/") and m[1] in ("cgroup", "cgroup2")]


def lacking():
    """Says what this machine lacks for the lab's machines; None if it lacks nothing."""
    if not any(kind == "cgroup" and "memory" in options.split(",") for _, kind, options in hierarchies()):
        return f"no cgroup v1 hierarchies below {CGROUPS}: the lab on Kubernetes needs them"
    return None


class Janitor:
    """Owns a directory and a cgroup in each hierarchy. Both are removed when close() is called or this process ends."""

    def __init__(self):
        problem = lacking()
        if problem:
            raise Failed(problem)
        self.directory = tempfile.mkdtemp(prefix="podveil-lab-")
        os.chmod(self.directory, 0o755)
        self.cgroup = os.path.basename(self.directory)
        self.process = subprocess.Popen([sys.executable, os.path.join(os.path.dirname(__file__), "janitor.py"),
                                         self.directory], stdin=subprocess.PIPE, start_new_session=True)

    def cgroups(self, name):
        """Makes a cgroup of this name in each hierarchy; returns their paths."""
        made = []
        for path, _, options in hierarchies():
            for relative in (self.cgroup, f"{self.cgroup}/{name}"):
                directory = os.path.join(path, relative)
                os.makedirs(directory, exist_ok=True)
                if "cpuset" in options.split(","):
                    # No process can join the cgroup before these are set.
                    for file in ("cpuset.cpus", "cpuset.mems"):
                        with open(os.path.join(directory, "..", file)) as source, \
                                open(os.path.join(directory, file), "w") as target:
                            target.write(source.read())
            made.append(directory)
        return made

    def close(self):
        self.process.stdin.close()
        if self.process.wait():
            raise Failed("the lab's janitor could not remove everything")


class _Forked(subprocess.Popen):
    """nsenter whose child is in another PID namespace: signals go to the child."""

    def send_signal(self, what):
        if self.poll() is not None:
            return
        try:
            with open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                children = f.read().split()
        except OSError:
            children = []
        for child in children:
            os.kill(int(child), what)
        if not children:
            super().send_signal(what)


class Machine(Node):
    def __init__(self, name, index, janitor):
        self.janitor = janitor
        self.cgroups = janitor.cgroups(name)
        super().__init__(name, index)
        # The first process in the namespaces, which holds them. It is the only child of unshare.
        with open(f"/proc/{self.holder.pid}/task/{self.holder.pid}/children") as f:
            self.inside = int(f.read().split()[0])

    def _join_cgroups(self):
        die_with_parent()
        for path in self.cgroups:
            with open(os.path.join(path, "cgroup.procs"), "w") as f:
                f.write("0")

    def _hold(self):
        directory = os.path.join(self.janitor.directory, self.name)
        os.makedirs(directory, exist_ok=True)
        with open(directory + ".mounts", "w") as f:
            f.writelines(f"- {path} {kind} {options} -\n" for path, kind, options in hierarchies())
        return subprocess.Popen(
            ["unshare", *NAMESPACES, "--fork", "--kill-child", "sh", "-c", SETUP, "sh", directory, self.name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=self._join_cgroups)

    @property
    def pid(self):
        return self.inside

    def enter(self, command):
        if isinstance(command, str):
            command = ["sh", "-c", command]
        return ["nsenter", "-t", str(self.pid), *NAMESPACES, f"--wdns={ROOT}", "--", *command]

    def start(self, command, **options):
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        env = options.pop("env", None)
        process = _Forked(self.enter(command), text=True, preexec_fn=self._join_cgroups,
                          env=env and {**os.environ, **env}, **options)
        self.started.append(process)
        return process

    def close(self):
        # The first process in the PID namespace dies with the holder; then the kernel kills all others in it.
        self.holder.kill()
        self.holder.wait()
        for process in self.started:
            process.wait()
