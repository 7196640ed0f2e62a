# SPDX-License-Identifier: Apache-2.0
"""Hosts made of namespaces: nodes and pods for tests, demo and benchmark.

Each host is a network and a mount namespace with its own /run and bpffs. One process holds it. A pod is
connected to its node by a veth. The namespaces have no names, so several runs do not disturb each other,
and everything vanishes when the holding processes end.
"""
import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PODVEIL = os.environ.get("PODVEIL", os.path.join(ROOT, "build/podveil"))

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """Something in the lab did not do what it should. For a command, the message has the command and its output."""


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def on_sigterm(exception):
    """At SIGTERM, raises the exception, so that the run ends and cleans up."""
    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout(1) sends it twice
        raise exception
    signal.signal(signal.SIGTERM, end)


# On a busy machine, things may take this many times as long as on an idle one.
BUSY = 4


def wait_for(condition, what, seconds=10):
    """Waits until condition() is true and returns its value. `what` is for the error message. `seconds` is the limit on an
    idle machine; the real limit is BUSY times longer, because tests must not depend on speed (`make bench` measures it)."""
    deadline = time.monotonic() + seconds * BUSY
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds * BUSY} s: {what}")
        time.sleep(0.01)


def resident(pid):
    """The memory of a process, in KiB."""
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


class Host:
    """Namespaces (network, mount, host name) that a process holds."""

    SETUP = (
        "mount --make-rprivate / && mount -t sysfs sysfs /sys && "
        "mount -t bpf bpf /sys/fs/bpf && mount -t tmpfs tmpfs /run && "
        "mkdir -p /run/wireguard /run/podveil && chmod 700 /run/podveil && ip link set lo up && "
        "echo ready && exec cat"
    )

    def __init__(self, name):
        self.name = name
        self.holder = self._hold()
        if self.holder.stdout.readline() != b"ready\n":
            raise Failed(f"{name}: cannot make its namespaces (root is needed)")
        self.network = self._namespace(self.holder.pid)
        self.started = []
        self.taps = {}  # device -> (host, device) at the other end of the link, where a capture sees all its traffic

    def _hold(self):
        return subprocess.Popen(["unshare", "--net", "--mount", "--uts", "sh", "-c", self.SETUP],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)

    @property
    def pid(self):
        """The PID of the process that holds the namespaces."""
        return self.holder.pid

    def enter(self, command):
        """Returns the command line that runs `command` (a list, or text for the shell) on this host."""
        if isinstance(command, str):
            command = ["sh", "-c", command]
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "--", *command]

    def run(self, command, check=True, timeout=60, stdin=None, env=None):
        """Runs a command to its end and returns its standard output. Failed, with its output, if its exit code is not 0.
        With check=False, returns what subprocess.run() returns."""
        done = subprocess.run(
            self.enter(command), input=stdin, text=True, timeout=timeout, capture_output=True,
            env=env and {**os.environ, **env})
        if check and done.returncode:
            raise Failed(f"{self.name}: {command!r} ended with {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def start(self, command, **options):
        """Starts a process. It is killed when the host is closed or the lab's process ends."""
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.STDOUT)
        env = options.pop("env", None)
        process = subprocess.Popen(
            self.enter(command), text=True, preexec_fn=die_with_parent,
            env=env and {**os.environ, **env}, **options)
        self.started.append(process)
        return process

    def close(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        # Programs that went to the background (such as a device) are found by their network namespace.
        # This also works if a signal to the process group has already ended the holder. We look again until there is none:
        # a process may have started another one before it ended.
        while pids := [p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                       if p != self.pid and self._namespace(p) == self.network]:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.holder.kill()
        self.holder.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @staticmethod
    def _namespace(pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            return None


# A capture on a device does not see what AF_XDP sends and receives there. Then it is taken at the other end of the link.
THROUGH_AF_XDP = os.environ.get("PODVEIL_WIRE") == "xdp"


class Capture:
    """tcpdump on a device. It listens when the constructor returns."""

    def __init__(self, host, device, expression=""):
        if THROUGH_AF_XDP:
            host, device = host.taps.get(device, (host, device))
        self.file = tempfile.NamedTemporaryFile(suffix=".pcap")
        self.process = host.start(
            ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-n", "-s", "0", "-i", device, "-w", self.file.name,
             *expression.split()], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for line in self.process.stderr:
            if "listening on" in line:
                break
        else:
            raise Failed(f"{host.name}: tcpdump does not listen on {device}")

    def _sleeps(self):
        """True if tcpdump sleeps, that is, waits for packets. Then it has written all packets that have arrived."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "S"

    def stop(self):
        """Ends the capture and returns the bytes of its file, with all packets that arrived before this call. tcpdump drops
        what it has not read when a signal ends it, so we first wait until it sleeps."""
        asleep, deadline = 0, time.monotonic() + BUSY
        while asleep < 3 and self.process.poll() is None and time.monotonic() < deadline:
            asleep = asleep + 1 if self._sleeps() else 0
            time.sleep(0.005)
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.file.seek(0)
        return self.file.read()

    def packets(self):
        """The captured packets as scapy objects; call it after stop()."""
        from scapy.layers import inet, inet6, l2, vxlan  # noqa: F401  (they register what rdpcap knows)
        from scapy.utils import rdpcap
        return rdpcap(self.file.name)


