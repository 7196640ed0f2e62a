# SPDX-License-Identifier: Apache-2.0
"""Hosts out of namespaces: nodes and pods for tests, demo and benchmark.

A node is a network and a mount namespace with a /run and a bpffs of its own, held by one process; a
pod is a network namespace behind a veth of its node. Nothing has a name outside its holder, so that
runs do not disturb each other and everything is gone when the holders are.
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
    """A command of the lab's did not do what it should; says which and what it printed."""


def die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def on_sigterm(exception):
    """Ends the run with that exception, so that everything is put away."""
    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # timeout(1) sends it twice
        raise exception
    signal.signal(signal.SIGTERM, end)


# How much longer things may take beside other work than on an idle machine.
BUSY = 4


def wait_for(condition, what, seconds=10):
    """Waits until condition() is true; its value is returned. `what` goes into the message. `seconds` are those of an idle
    machine: how fast something is, make bench measures, and no test."""
    deadline = time.monotonic() + seconds * BUSY
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds * BUSY} s: {what}")
        time.sleep(0.01)


class Host:
    """A network (and mount) namespace held by a process."""

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
        self.taps = {}  # device -> (host, device) where all that passes the first can be captured

    def _hold(self):
        return subprocess.Popen(["unshare", "--net", "--mount", "--uts", "sh", "-c", self.SETUP],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_parent)

    @property
    def pid(self):
        """Of the process that holds the namespaces."""
        return self.holder.pid

    def enter(self, command):
        """The command line that runs `command` (list or shell text) on this host."""
        if isinstance(command, str):
            command = ["sh", "-c", command]
        return ["nsenter", "-t", str(self.pid), "-n", "-m", "-u", "--", *command]

    def run(self, command, check=True, timeout=60, stdin=None, env=None):
        """Runs to the end; returns standard output. On failure: Failed, with all that was printed."""
        done = subprocess.run(
            self.enter(command), input=stdin, text=True, timeout=timeout, capture_output=True,
            env=env and {**os.environ, **env})
        if check and done.returncode:
            raise Failed(f"{self.name}: {command!r} ended with {done.returncode}\n"
                         f"{done.stdout}{done.stderr}")
        return done.stdout if check else done

    def start(self, command, **options):
        """Starts a process that ends with the lab at the latest."""
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
        # What was started in the background (a device) is found by the namespace it lives in, also
        # when a signal to the whole group has ended the holder.
        for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
            if pid != self.pid and self._namespace(pid) == self.network:
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


# What AF_XDP sends and receives no capture on the same device sees: it is taken at the other end.
THROUGH_AF_XDP = os.environ.get("PODVEIL_WIRE") == "xdp"


class Capture:
    """tcpdump on a device, listening when the constructor returns."""

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
        """Does tcpdump wait for packets? Then it has written all that were there."""
        with open(f"/proc/{self.process.pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "S"

    def stop(self):
        """The capture file's bytes, with all that came before this call: at a signal, tcpdump leaves unread what it has not
        read yet."""
        asleep, deadline = 0, time.monotonic() + BUSY
        while asleep < 3 and self.process.poll() is None and time.monotonic() < deadline:
            asleep = asleep + 1 if self._sleeps() else 0
            time.sleep(0.005)
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.file.seek(0)
        return self.file.read()

    def packets(self):
        """scapy's view of what was captured; call after stop()."""
        from scapy.layers import inet, inet6, l2, vxlan  # noqa: F401  (they register what rdpcap knows)
        from scapy.utils import rdpcap
        return rdpcap(self.file.name)


