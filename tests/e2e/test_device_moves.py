# SPDX-License-Identifier: Apache-2.0
"""Other programs change the tunnel device while traffic passes: addresses, MTU, name, network namespace."""
import os
import random
import select
import subprocess
import time

import pytest

from lab import MARK, PORT, Device, Lab, implementation, wait_for
from traffic import counters, ping, transfer

COMMAND = implementation("podveil")
UDEVD = "/lib/systemd/systemd-udevd"

# Prints "listening", receives datagrams, and prints a line for each of them in order.
RECEIVE = """
import hashlib, socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
s.bind((sys.argv[1], 7003)); print('listening', flush=True); s.settimeout(5)
for _ in range(int(sys.argv[2])):
    data = s.recv(1 << 16); print(len(data), hashlib.sha256(data).hexdigest(), flush=True)
"""
SEND = """
import hashlib, os, socket, sys, time
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7003))
for size in map(int, sys.argv[2:]):
    data = os.urandom(size); s.send(data); print(size, hashlib.sha256(data).hexdigest()); time.sleep(0.01)
"""
# A connection on which both ends send all the time; the other end echoes. After each line on standard input,
# it prints "moved" when more bytes have come.
STREAM = """
import os, selectors, socket, sys, time
s = socket.create_connection((sys.argv[1], 7004), timeout=20); s.setblocking(False)
block, ready = os.urandom(1 << 16), selectors.DefaultSelector()
ready.register(s, selectors.EVENT_READ | selectors.EVENT_WRITE); ready.register(sys.stdin, selectors.EVENT_READ)
got = wanted = 0
print('connected', flush=True)
while True:
    for key, what in ready.select():
        if key.fileobj is sys.stdin:
            if not sys.stdin.readline(): sys.exit(0)
            wanted = got + (1 << 20)
        elif what & selectors.EVENT_READ:
            got += len(s.recv(1 << 20))
            if wanted and got >= wanted: wanted = 0; print('moved', flush=True)
        elif what & selectors.EVENT_WRITE:
            try: s.send(block)
            except BlockingIOError: pass
"""
ECHO = """
import socket, sys
l = socket.create_server((sys.argv[1], 7004)); print('listening', flush=True)
c, _ = l.accept()
while True:
    data = c.recv(1 << 20)
    if not data: break
    c.sendall(data)
"""


@pytest.fixture
def both(lab):
    left, right = Device(lab.a, COMMAND), Device(lab.b, COMMAND)
    lab.connect(left, right)
    assert ping(lab.pod_a, "10.0.2.2") == 3
    return left, right


def deliver(source, sink, address, sizes):
    """Sends datagrams of these sizes one way; raises if one does not arrive whole."""
    receiver = sink.start(["python3", "-c", RECEIVE, address, str(len(sizes))])
    assert receiver.stdout.readline() == "listening\n"
    sent = source.run(["python3", "-c", SEND, address, *map(str, sizes)])
    assert receiver.communicate(timeout=60)[0] == sent


class Stream:
    def __init__(self, source, sink, address):
        echo = sink.start(["python3", "-c", ECHO, address])
        assert echo.stdout.readline() == "listening\n"
        self.process = source.start(["python3", "-c", STREAM, address], stdin=subprocess.PIPE)
        assert self.process.stdout.readline() == "connected\n", self.process.communicate()[0]

    def moves(self):
        """Waits until another mebibyte has come back."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        # The line may come in two parts, so it is read as a whole once it has begun.
        wait_for(lambda: select.select([self.process.stdout], [], [], 1)[0], "the stream goes on", 20)
        assert self.process.stdout.readline() == "moved\n"


def address_of(host, device="wg0"):
    return host.run(f"cat /sys/class/net/{device}/address").strip()


def test_udevd_and_others_change_the_address(lab):
    """systemd-udevd leaves our device's MAC address alone, and the device follows other programs that change the address."""
    if not os.path.exists(UDEVD):
        pytest.skip("systemd-udevd is not installed: make deps installs it")
    # udevd is late, as on a machine that boots.
    lab.a.run("mkdir -p /run/udev/rules.d && echo 'SUBSYSTEM==\"net\", KERNEL==\"wg0*\", ACTION==\"add\", "
              "PROGRAM=\"/bin/sleep 0.3\"' > /run/udev/rules.d/70-late.rules")
    lab.a.start([UDEVD], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: lab.a.run("ls /run/udev").count("control"), "udevd listens")
    left, right = Device(lab.a, COMMAND), Device(lab.b, COMMAND)
    lab.connect(left, right)
    assert ping(lab.pod_a, "10.0.2.2") == 3
    before = address_of(lab.a)
    wait_for(lambda: lab.a.run("ls /run/udev/data 2>/dev/null || true").count(f"n{lab.a.run('cat /sys/class/net/wg0/ifindex').strip()}"),
             "udevd is done with it")
    assert address_of(lab.a) == before
    assert ping(lab.pod_a, "10.0.2.2") == 3
    for last in range(3):
        lab.a.run(f"ip link set wg0 address 02:00:00:00:00:0{last}")
        wait_for(lambda: ping(lab.pod_a, "10.0.2.2", count=1, deadline=1) == 1, "the address is followed")
    assert counters(lab.a)["drop_inject"] == 0


def test_packets_above_the_mtu(lab):
    """Packets from peers with a larger MTU arrive whole, as with wireguard-go."""
    left, right = Device(lab.a, COMMAND), Device(lab.b, implementation("wireguard-go-new"))
    lab.connect(left, right)
    lab.b.run("ip link set wg0 mtu 65430 && ip link set cali0 mtu 65500")
    lab.pod_b.run("ip link set eth0 mtu 65500")
    sizes = [1392, 1393, 1394, 1400, 1412, 1413, 1450, 1500, 4000, 9000, 30000, 65000, 65372]
    deliver(lab.pod_b, lab.a, "10.0.1.1", sizes)
    deliver(lab.pod_b, lab.a, "fd00:1::1", [size - 20 for size in sizes])
    # To a pod with the usual MTU, then to one with a large MTU.
    deliver(lab.pod_b, lab.pod_a, "10.0.1.2", sizes)
    lab.a.run("ip link set cali0 mtu 65500")
    lab.pod_a.run("ip link set eth0 mtu 65500")
    deliver(lab.pod_b, lab.pod_a, "10.0.1.2", sizes)
    assert ping(lab.pod_b, "10.0.1.2", size=9000) == 3
    # TCP whose segments are larger than our MTU; they come alone or joined.
    transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 8)
    transfer(lab.pod_b, lab.pod_a, "fd00:1::2", 8)
    assert counters(lab.a)["drop_inject"] == 0


def test_a_smaller_mtu_stops_no_connection(both, lab):
    stream = Stream(lab.pod_b, lab.pod_a, "10.0.1.2")
    stream.moves()
    for mtu in (1280, 1440, 1300, 65535, 1280):
        lab.a.run(f"ip link set wg0 mtu {mtu}")
        stream.moves()
    assert ping(lab.pod_b, "10.0.1.2", size=1400) == 3


def test_followed_into_another_namespace(both, lab):
    """Name, MTU and address are followed while the device is in another namespace, and when it comes back."""
    left, right = both
    lab.a.run(f"ip link set wg0 netns {lab.pod_a.pid}")
    lab.pod_a.run("ip addr add 10.0.1.2/32 dev wg0 && ip link set wg0 mtu 9000 up && "
                  "ip route replace 10.0.2.0/24 dev wg0 src 10.0.1.2")
    lab.b.run("ip link set wg0 mtu 9000")
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
    deliver(lab.pod_b, lab.pod_a, "10.0.1.2", [1400, 4000, 8900])
    lab.pod_a.run("ip link set wg0 down && ip link set wg0 name inside && ip link set inside up && "
                  "ip link set inside address 02:00:00:00:00:77 && ip route replace 10.0.2.0/24 dev inside src 10.0.1.2")
    wait_for(lambda: "inside" in lab.a.run("ls /run/wireguard"), "the new name is used")
    wait_for(lambda: ping(lab.pod_a, "10.0.2.2", count=1, deadline=1), "the address is followed")
    assert "allowed_ips4" in lab.a.run("ls /sys/fs/bpf/podveil/inside")
    lab.pod_a.run("ip link set inside mtu 1280")
    # Padding depends on the MTU; so does the size of segments if there is no classifier.
    transfer(lab.pod_a, lab.pod_b, "10.0.2.2", 4)
    transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 4)
    lab.pod_a.run(f"ip link set inside netns {lab.a.pid}")
    lab.a.run("ip link set inside name wg0 && ip link set wg0 up mtu 1440 && ip route replace 10.0.2.0/24 dev wg0")
    wait_for(lambda: "wg0.sock" in lab.a.run("ls /run/wireguard"), "the new name is used")
    unstamped = counters(lab.a)["unstamped"]
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
    wait_for(lambda: lab.a.run("tc filter show dev wg0 egress").count("classify"), "the program is back")
    assert counters(lab.a)["unstamped"] >= unstamped


class Moves:
    """Random changes of the left device, with TCP and UDP traffic; after each change, both still flow."""

    def __init__(self, lab, left, right, seed):
        self.lab, self.left, self.right = lab, left, right
        self.random = random.Random(seed)
        self.name, self.inside, self.port, self.n = "wg0", False, PORT, 0
        self.done = []
        lab.a.run("ip addr add 10.0.1.77/32 dev lo")
        for host in (lab.a, lab.pod_a):
            host.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")

    @property
    def host(self):
        return self.lab.pod_a if self.inside else self.lab.a

    def settle_route(self):
        self.host.run(f"ip link set {self.name} up && ip route replace 10.0.2.0/24 dev {self.name}")
        if not self.inside:
            self.lab.pod_a.run("ip route del 10.0.2.0/24 2>/dev/null || true")
        else:
            self.host.run(f"ip addr replace 10.0.1.2/32 dev {self.name}")

    def move(self):
        target = self.lab.a if self.inside else self.lab.pod_a
        self.host.run(f"ip link set {self.name} netns {target.pid}")
        self.inside = not self.inside

    def rename(self):
        self.n += 1
        name = f"pod{self.n}"
        self.host.run(f"ip link set {self.name} down && ip link set {self.name} name {name}")
        self.name = name

    def mtu(self):
        self.host.run(f"ip link set {self.name} mtu {self.random.choice((1280, 1350, 1420, 1440, 9000))}")

    def down_and_up(self):
        self.host.run(f"ip link set {self.name} down && ip link set {self.name} up")

    def address(self):
        self.host.run(f"ip link set {self.name} address 02:00:00:00:01:{self.random.randrange(256):02x}")

    def inner_address(self):
        self.host.run(f"ip addr replace 10.0.1.{self.random.randrange(100, 200)}/32 dev {self.name}")

    def wg(self, *arguments, stdin=None):
        wait_for(lambda: f"{self.name}.sock" in self.lab.a.run("ls /run/wireguard"), "the new name is used")
        # wg(8) opens the socket of this name; it does not look for the device.
        self.lab.a.run(["wg", "set", self.name, *map(str, arguments)], stdin=stdin)

    def key(self):
        private = self.lab.a.run("wg genkey").strip()
        public = self.lab.a.run("wg pubkey", stdin=private + "\n").strip()
        self.right.set("peer", self.left.public, "remove", "peer", public, "endpoint", f"172.18.0.1:{self.port}",
                       "allowed-ips", "10.0.1.0/24")
        self.wg("private-key", "/dev/stdin", stdin=private + "\n")
        self.left.public = public

    def listen(self):
        self.port = self.random.randrange(40000, 50000)
        self.wg("listen-port", self.port)
        self.right.set("peer", self.left.public, "endpoint", f"172.18.0.1:{self.port}")

    def step(self, stream):
        what = self.random.choice((self.move, self.rename, self.mtu, self.down_and_up, self.address,
                                   self.inner_address, self.key, self.listen))
        self.done.append(what.__name__)
        try:
            what()
            self.settle_route()
            wait_for(lambda: ping(self.lab.pod_a, "10.0.2.2", count=1, deadline=1) == 1, f"echoes after {self.done}", 15)
            stream.moves()
            mtu = int(self.host.run(f"cat /sys/class/net/{self.name}/mtu"))
            deliver(self.lab.pod_b, self.lab.pod_a, "10.0.1.2", [100, 1400, mtu + 500])
            wait_for(lambda: f"{self.name}.sock" in self.lab.a.run("ls /run/wireguard"), "the new name is used")
        except AssertionError as e:
            raise AssertionError(f"after {self.done}: {e}") from e


def run_moves(seed, seconds):
    with Lab() as lab:
        left, right = Device(lab.a, COMMAND), Device(lab.b, COMMAND)
        lab.connect(left, right)
        assert ping(lab.pod_a, "10.0.2.2") == 3
        moves = Moves(lab, left, right, seed)
        stream = Stream(lab.pod_b, lab.pod_a, "10.0.1.2")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            moves.step(stream)
        return moves.done


def test_any_sequence_of_changes():
    """Traffic flows after each of a random sequence of changes. To run it longer: python3 test_device_moves.py SECONDS SEED."""
    assert run_moves(7, 6)


if __name__ == "__main__":
    import sys
    print(run_moves(int(sys.argv[2]), float(sys.argv[1])))
