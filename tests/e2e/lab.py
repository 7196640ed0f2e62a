#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two nodes and two pods for tests of the bare device and for the benchmark."""
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy/lab"))

from hosts import PODVEIL, THROUGH_AF_XDP, Capture, Failed, Host, on_sigterm, resident, wait_for  # noqa: E402, F401

# SIGTERM ends pytest in the same way as Ctrl-C, so that tests clean up.
if threading.current_thread() is threading.main_thread():
    on_sigterm(KeyboardInterrupt)

MARK = 0x200000
PORT = 51820


class Device:
    """A WireGuard device on a node, made by one of the implementations."""

    def __init__(self, node, implementation, name="wg0", arguments=(), env=None, private=None):
        """`private`: its private key; None: it gets a new one."""
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
        self.private = private or node.run("wg genkey").strip()
        self.public = node.run("wg pubkey", stdin=self.private + "\n").strip()
        node.run(["wg", "set", name, "private-key", "/dev/stdin"], stdin=self.private + "\n")

    def set(self, *arguments, stdin=None):
        self.node.run(["wg", "set", self.name, *map(str, arguments)], stdin=stdin)

    def show(self, what):
        return self.node.run(["wg", "show", self.name, what]).strip()

    def transfer(self, peer):
        """(received, sent) bytes of a peer, as wg(8) shows them."""
        for line in self.show("transfer").splitlines():
            key, received, sent = line.split()
            if key == peer.public:
                return int(received), int(sent)
        return 0, 0

    def handshake(self, peer):
        """Unix time of the latest handshake with a peer; 0 if there was none."""
        for line in self.show("latest-handshakes").splitlines():
            key, when = line.split()
            if key == peer.public:
                return int(when)
        return 0

    def start_anew(self):
        """Kills the process and starts a new one with the same key; returns the new device, which has no peers yet."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
        return Device(self.node, self.implementation, self.name, private=self.private)

    def pid(self):
        """The PID of the process that serves the device."""
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
    """pod - node - node - pod: a is left, b is right. close() removes everything."""

    target = "10.0.2.2"  # the right pod's address

    def __init__(self, mtu=1500, ipv6_uplink=False, switch=THROUGH_AF_XDP, queues=1, uplink_queues=1):
        """`switch`: puts a host between the nodes, with a bridge whose ports are port-a and port-b. The ports have
        `queues` queues, each eth0 has `uplink_queues`."""
        self.hosts = []
        self.mtu = mtu
        try:
            self.a, self.b = self.host("node-a"), self.host("node-b")
            self.pod_a, self.pod_b = self.host("pod-a"), self.host("pod-b")
            self._uplinks(mtu, switch, queues, uplink_queues)
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

    def _uplinks(self, mtu, switch, queues, uplink_queues):
        if not switch:
            self.wire(self.a, "eth0", self.b, "eth0", mtu)
            return
        self.switch = self.host("switch")
        self.switch.run(f"ip link add br0 mtu {mtu} type bridge mcast_snooping 0 && ip link set br0 up")
        for node, port in ((self.a, "port-a"), (self.b, "port-b")):
            self.switch.run(f"ip link add {port} mtu {mtu} numtxqueues {queues} numrxqueues {queues} type veth "
                            f"peer name eth0 mtu {mtu} numtxqueues {uplink_queues} "
                            f"numrxqueues {uplink_queues} netns {node.pid} && "
                            f"ip link set {port} master br0 up")
            node.run("ip link set eth0 up")
            node.taps["eth0"] = (self.switch, port)

    def _pod(self, node, pod, i):
        pod_mtu = max(self.mtu, 1500)
        self.wire(node, "cali0", pod, "eth0", pod_mtu)
        node.run(f"ip addr add 10.0.{i}.1/24 dev cali0 && ip addr add fd00:{i}::1/64 dev cali0 nodad")
        pod.run(f"ip addr add 10.0.{i}.2/24 dev eth0 && ip addr add fd00:{i}::2/64 dev eth0 nodad && "
                f"ip route add default via 10.0.{i}.1 && ip route add default via fd00:{i}::1")

    def endpoint(self, i):
        return f"[fd00:18::{i}]:{PORT}" if self.ipv6_uplink else f"172.18.0.{i}:{PORT}"

    def plain(self):
        """Sets unencrypted routes between the pods."""
        for node, i in ((self.a, 2), (self.b, 1)):
            node.run(f"ip route replace 10.0.{i}.0/24 via 172.18.0.{i} && "
                     f"ip route replace fd00:{i}::/64 via fd00:18::{i}")

    def connect(self, left, right, tunnel_mtu=None, keepalive=None, preshared=None):
        """Makes two devices peers of each other and routes the pods' traffic through them."""
        for mine, other in ((left, right), (right, left)):
            self.connect_one(mine, other, tunnel_mtu, keepalive, preshared)

    def connect_one(self, mine, other, tunnel_mtu=None, keepalive=None, preshared=None):
        """Does the half of connect() that concerns the node of `mine`."""
        i = 2 if mine.node is self.a else 1
        tunnel_mtu = tunnel_mtu or self.mtu - (80 if self.ipv6_uplink else 60)
        more = ["persistent-keepalive", keepalive] if keepalive else []
        if preshared:
            more += ["preshared-key", "/dev/stdin"]
        mine.set("listen-port", PORT, "fwmark", hex(MARK), "peer", other.public, "endpoint", self.endpoint(i), "allowed-ips",
                 f"10.0.{i}.0/24,fd00:{i}::/64", *more, stdin=preshared and preshared + "\n")
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
    """The command of an implementation: podveil, wireguard-go (Debian's), wireguard-go-new, boringtun; for the benchmark
    wireguard-go-tailscale, gotatun."""
    peers = os.path.join(ROOT, "build/peers")
    table = {
        "podveil": [PODVEIL, "device"],
        "wireguard-go": [shutil.which("wireguard-go") or "/usr/bin/wireguard-go"],
        "wireguard-go-new": [os.path.join(peers, "wireguard-go-new")],
        "wireguard-go-tailscale": [os.path.join(peers, "wireguard-go-tailscale")],
        "boringtun": [os.path.join(peers, "bin/boringtun-cli")],
        "gotatun": [os.path.join(peers, "bin/gotatun")],
    }
    return table[name]


def main():
    import argparse
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
