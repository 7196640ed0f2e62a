#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Hosts out of namespaces: nodes and pods for tests, demo and benchmark.

A node is a network and a mount namespace with a /run and a bpffs of its own, held by one process; a
pod is a network namespace behind a veth of its node. Nothing has a name outside its holder, so that
runs do not disturb each other and everything is gone when the holders are.
"""
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PODVEIL = os.environ.get("PODVEIL", os.path.join(ROOT, "build/podveil"))
MARK = 0x200000
PORT = 51820

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Failed(AssertionError):
    """A command of the lab's did not do what it should; says which and what it printed."""


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(condition, what, seconds=10):
    """Waits until condition() is true; its value is returned. `what` goes into the message."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed(f"not within {seconds} s: {what}")
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
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--mount", "--uts", "sh", "-c", self.SETUP],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=_die_with_parent)
        if self.holder.stdout.readline() != b"ready\n":
            raise Failed(f"{name}: cannot make its namespaces (root is needed)")
        self.started = []

    @property
    def pid(self):
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
            self.enter(command), text=True, preexec_fn=_die_with_parent,
            env=env and {**os.environ, **env}, **options)
        self.started.append(process)
        return process

    def close(self):
        for process in self.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()
        # What was started in the background (a device) is found by the namespace it lives in.
        mine = self._namespace(self.pid)
        for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
            if pid != self.pid and mine and self._namespace(pid) == mine:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.holder.kill()
        self.holder.wait()

    @staticmethod
    def _namespace(pid):
        try:
            return os.readlink(f"/proc/{pid}/ns/net")
        except OSError:
            return None


class Capture:
    """tcpdump on a device, listening when the constructor returns."""

    def __init__(self, host, device, expression=""):
        self.file = tempfile.NamedTemporaryFile(suffix=".pcap")
        self.process = host.start(
            ["tcpdump", "-Z", "root", "-U", "--immediate-mode", "-n", "-s", "0", "-i", device, "-w", self.file.name,
             *expression.split()], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for line in self.process.stderr:
            if "listening on" in line:
                break
        else:
            raise Failed(f"{host.name}: tcpdump does not listen on {device}")

    def stop(self):
        """The capture file's bytes."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        self.file.seek(0)
        return self.file.read()

    def packets(self):
        """scapy's view of what was captured; call after stop()."""
        from scapy.layers import inet, inet6, l2  # noqa: F401  (they register what rdpcap knows)
        from scapy.utils import rdpcap
        return rdpcap(self.file.name)


class Device:
    """A WireGuard device on a node, served by an implementation from outside its namespaces' names."""

    def __init__(self, node, implementation, name="wg0", arguments=(), env=None):
        self.node, self.name, self.implementation = node, name, implementation
        self.log = tempfile.NamedTemporaryFile(mode="r", suffix=".log")
        command = list(implementation) + [name, *arguments]
        with open(self.log.name, "w") as log:
            done = subprocess.run(
                node.enter(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=30,
                env={**os.environ, "PODVEIL_LOG_STDERR": "1", "LOG_LEVEL": "error",
                     "WG_SUDO": "true", **(env or {})})
        if done.returncode:
            raise Failed(f"{node.name}: {command} ended with {done.returncode}\n{self.log.read()}")
        self.private = node.run("wg genkey").strip()
        self.public = node.run("wg pubkey", stdin=self.private + "\n").strip()
        node.run(["wg", "set", name, "private-key", "/dev/stdin"], stdin=self.private + "\n")

    def set(self, *arguments, stdin=None):
        self.node.run(["wg", "set", self.name, *map(str, arguments)], stdin=stdin)

    def show(self, what):
        return self.node.run(["wg", "show", self.name, what]).strip()

    def transfer(self, peer):
        """(received, sent) bytes."""
        for line in self.show("transfer").splitlines():
            key, received, sent = line.split()
            if key == peer.public:
                return int(received), int(sent)
        return 0, 0

    def handshake(self, peer):
        """Unix time of the latest handshake; 0: none."""
        for line in self.show("latest-handshakes").splitlines():
            key, when = line.split()
            if key == peer.public:
                return int(when)
        return 0

    def pid(self):
        """Of the process that serves the device."""
        mine = Host._namespace(self.node.pid)
        program = os.path.basename(self.implementation[0])
        for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
            with contextlib.suppress(OSError):
                if Host._namespace(pid) != mine:
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as f:
                    words = f.read().split(b"\0")
                if os.path.basename(words[0].decode()) == program and self.name.encode() in words:
                    return int(pid)
        return None


class Lab:
    """pod - node - node - pod. Left is a, right is b; everything goes with close()."""

    def __init__(self, mtu=1500, ipv6_uplink=False):
        self.hosts = []
        self.mtu = mtu
        try:
            self.a, self.b = self.host("node-a"), self.host("node-b")
            self.pod_a, self.pod_b = self.host("pod-a"), self.host("pod-b")
            self.wire(self.a, "eth0", self.b, "eth0", mtu)
            for i, node in ((1, self.a), (2, self.b)):
                node.run(f"ip addr add 172.18.0.{i}/24 dev eth0 && "
                         f"ip addr add fd00:18::{i}/64 dev eth0 nodad && "
                         "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
            self._pod(self.a, self.pod_a, 1)
            self._pod(self.b, self.pod_b, 2)
        except BaseException:
            self.close()
            raise
        self.ipv6_uplink = ipv6_uplink

    def host(self, name):
        host = Host(name)
        self.hosts.append(host)
        return host

    @staticmethod
    def wire(x, x_name, y, y_name, mtu):
        x.run(f"ip link add {x_name} mtu {mtu} type veth peer name {y_name} mtu {mtu} netns {y.pid}"
              f" && ip link set {x_name} up")
        y.run(f"ip link set {y_name} up")

    def _pod(self, node, pod, i):
        pod_mtu = max(self.mtu, 1500)
        self.wire(node, "cali0", pod, "eth0", pod_mtu)
        node.run(f"ip addr add 10.0.{i}.1/24 dev cali0 && ip addr add fd00:{i}::1/64 dev cali0 nodad")
        pod.run(f"ip addr add 10.0.{i}.2/24 dev eth0 && ip addr add fd00:{i}::2/64 dev eth0 nodad && "
                f"ip route add default via 10.0.{i}.1 && ip route add default via fd00:{i}::1")

    def endpoint(self, i):
        return f"[fd00:18::{i}]:{PORT}" if self.ipv6_uplink else f"172.18.0.{i}:{PORT}"

    def plain(self):
        """Unencrypted routes between the pods."""
        for node, i in ((self.a, 2), (self.b, 1)):
            node.run(f"ip route replace 10.0.{i}.0/24 via 172.18.0.{i} && "
                     f"ip route replace fd00:{i}::/64 via fd00:18::{i}")

    def connect(self, left, right, tunnel_mtu=None, keepalive=None, preshared=None):
        """Makes two devices peers and routes the pods through them."""
        tunnel_mtu = tunnel_mtu or self.mtu - (80 if self.ipv6_uplink else 60)
        for mine, other, i in ((left, right, 2), (right, left, 1)):
            more = ["persistent-keepalive", keepalive] if keepalive else []
            if preshared:
                more += ["preshared-key", "/dev/stdin"]
            mine.set("listen-port", PORT, "fwmark", hex(MARK), "peer", other.public,
                     "endpoint", self.endpoint(i), "allowed-ips",
                     f"10.0.{i}.0/24,fd00:{i}::/64", *more,
                     stdin=preshared and preshared + "\n")
            mine.node.run(f"ip link set {mine.name} mtu {tunnel_mtu} up && "
                          f"ip route replace 10.0.{i}.0/24 dev {mine.name} && "
                          f"ip route replace fd00:{i}::/64 dev {mine.name}")

    def close(self):
        for host in self.hosts:
            host.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def implementation(name):
    """The command of an implementation: podveil, wireguard-go (Debian's), wireguard-go-new, boringtun."""
    peers = os.path.join(ROOT, "build/peers")
    table = {
        "podveil": [PODVEIL, "device"],
        "wireguard-go": [shutil.which("wireguard-go") or "/usr/bin/wireguard-go"],
        "wireguard-go-new": [os.path.join(peers, "wireguard-go-new")],
        "boringtun": [os.path.join(peers, "bin/boringtun-cli")],
    }
    return table[name]


def main():
    import argparse
    import sys
    parser = argparse.ArgumentParser(description="Bring up pod - node - node - pod and wait for "
                                     "the end of standard input.")
    parser.add_argument("--left", default="podveil")
    parser.add_argument("--right", default="wireguard-go")
    parser.add_argument("--mtu", type=int, default=1500)
    parser.add_argument("--arguments", default="", help="for podveil device")
    parser.add_argument("--run", help="a shell command; $A $B $PA $PB enter the hosts")
    options = parser.parse_args()

    with Lab(mtu=options.mtu) as lab:
        if options.left == "plain":
            lab.plain()
        else:
            devices = []
            for node, name in ((lab.a, options.left), (lab.b, options.right)):
                more = options.arguments.split() if name == "podveil" else []
                devices.append(Device(node, implementation(name), arguments=more))
            lab.connect(*devices)
        enter = {k: f"nsenter -t {h.pid} -n -m -u --" for k, h in
                 (("A", lab.a), ("B", lab.b), ("PA", lab.pod_a), ("PB", lab.pod_b))}
        if options.run:
            code = subprocess.run(options.run, shell=True, env={**os.environ, **enter}).returncode
            if options.left != "plain":
                for d in devices:
                    print(f"--- {d.node.name} log:\n{d.log.read()}", end="")
            return code
        for key, command in enter.items():
            print(f"{key}='{command}'", flush=True)
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
