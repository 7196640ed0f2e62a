# SPDX-License-Identifier: Apache-2.0
"""Which sources the device accepts from a peer, and how it learns a peer's endpoint from authentic messages."""
import os
import signal
import sys

import pytest

from hosts import wait_for
from lab import MARK, PORT, Device, Lab, implementation
from traffic import counters, ping

PODVEIL = implementation("podveil")
OTHER = implementation("wireguard-go-new")

# Sends `count` numbered datagrams with a given source address.
SPEAK = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
s.bind((sys.argv[1], 0))
for i in range(int(sys.argv[3])):
    s.sendto(b"%d" % i, (sys.argv[2], 9))
"""


@pytest.fixture(scope="module")
def three():
    """The lab with a third node, .c. The devices are .left, .right and .third. The left one's pods are in 10.0.1.0/24, the
    right one's in 10.0.2.0/24, the third's in 10.0.3.0/24."""
    with Lab(switch=True) as lab:
        lab.c = lab.host("node-c")
        lab.switch.run(f"ip link add port-c type veth peer name eth0 netns {lab.c.pid} && "
                       "ip link set port-c master br0 up")
        lab.c.run("ip addr add 172.18.0.3/24 dev eth0 && ip link set eth0 up")
        lab.left, lab.right = Device(lab.a, PODVEIL), Device(lab.b, OTHER)
        lab.connect(lab.left, lab.right)
        lab.third = Device(lab.c, OTHER)
        lab.third.set("listen-port", PORT, "fwmark", hex(MARK), "peer", lab.left.public, "endpoint", lab.endpoint(1),
                      "allowed-ips", "10.0.0.0/8")
        lab.c.run(f"ip link set {lab.third.name} mtu 1440 up && ip addr add 10.0.3.2/32 dev {lab.third.name} && "
                  f"ip route add 10.0.1.0/24 dev {lab.third.name}")
        lab.left.set("peer", lab.third.public, "endpoint", lab.endpoint(3), "allowed-ips", "10.0.3.0/24")
        lab.a.run(f"ip route add 10.0.3.0/24 dev {lab.left.name}")
        assert ping(lab.pod_a, "10.0.2.2") == 3
        assert ping(lab.c, "10.0.1.2") == 3
        yield lab


def accepted_and_refused(lab, node, source, count=5):
    """Sends `count` packets with that source through a node's tunnel; returns how many the left device accepted and refused."""
    before = counters(lab.a)
    node.run(["python3", "-c", SPEAK, source, "10.0.1.2", str(count)])

    def change():
        now = counters(lab.a)
        both = [now[n] - before[n] for n in ("ingress_packets", "drop_source")]
        return both if sum(both) >= count else None
    return wait_for(change, f"{count} packets from {source} arrive")


def test_a_peer_speaks_for_its_own_addresses_alone(three):
    assert accepted_and_refused(three, three.c, "10.0.3.2") == [5, 0]
    assert accepted_and_refused(three, three.c, "10.0.2.2") == [0, 5]  # another peer's address
    assert accepted_and_refused(three, three.c, "10.9.9.9") == [0, 5]  # no peer's address


def test_who_owns_an_address_may_change(three):
    """A source that was accepted once is checked again for later packets, because an address may move to another peer."""
    lab = three
    assert accepted_and_refused(lab, lab.c, "10.0.3.2") == [5, 0]
    lab.left.set("peer", lab.right.public, "allowed-ips", "10.0.2.0/24,fd00:2::/64,10.0.3.0/24")
    try:
        assert accepted_and_refused(lab, lab.c, "10.0.3.2") == [0, 5]
    finally:
        lab.left.set("peer", lab.third.public, "allowed-ips", "10.0.3.0/24")
    assert accepted_and_refused(lab, lab.c, "10.0.3.2") == [5, 0]


# A relay between a node and the left node. After the command "hold 2" it keeps the next two data messages of that node;
# then it sends the newer one from its first port, and after it the older one from its second port.
RELAY = """
import select, socket, sys
listen, left, node = (sys.argv[1], int(sys.argv[2])), (sys.argv[3], int(sys.argv[2])), (sys.argv[4], int(sys.argv[2]))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(listen)
second = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); second.bind((sys.argv[1], 0))
print(second.getsockname()[1], flush=True)
holding, held = False, []
while True:
    ready, _, _ = select.select([s, second, sys.stdin], [], [])
    if sys.stdin in ready:
        if not sys.stdin.readline(): break
        holding, held = True, []; print("holding", flush=True)
    for one in (s, second):
        if one not in ready: continue
        data, who = one.recvfrom(65536)
        if who[0] != node[0]:
            s.sendto(data, node)
        elif holding and data[0] == 4:
            held.append(data)
            if len(held) == 2:
                s.sendto(held[1], left); second.sendto(held[0], left)
                holding = False; print("sent", flush=True)
        else:
            s.sendto(data, left)
"""


def test_a_straggler_does_not_move_a_peer(three):
    """When two messages arrive together, the newer one sets the peer's endpoint, even if it arrives first."""
    lab = three
    lab.switch.run("ip addr add 172.18.0.9/24 dev br0")
    import subprocess
    relay = lab.switch.start([sys.executable, "-u", "-c", RELAY, "172.18.0.9", str(PORT), "172.18.0.1", "172.18.0.3"],
                             stdin=subprocess.PIPE)
    second = relay.stdout.readline().strip()
    lab.third.set("peer", lab.left.public, "endpoint", f"172.18.0.9:{PORT}")

    def where():
        return dict(line.split() for line in lab.left.show("endpoints").splitlines())[lab.third.public]
    try:
        assert ping(lab.c, "10.0.1.2") == 3
        wait_for(lambda: where() == f"172.18.0.9:{PORT}", "the third node is where the relay is")
        relay.stdin.write("hold 2\n")
        relay.stdin.flush()
        assert relay.stdout.readline() == "holding\n"
        before = counters(lab.a)["ingress_packets"]
        os.kill(lab.left.pid(), signal.SIGSTOP)  # so that the device reads both messages at once
        try:
            lab.c.run(["python3", "-c", SPEAK, "10.0.3.2", "10.0.1.2", "2"])
            assert relay.stdout.readline() == "sent\n"
        finally:
            os.kill(lab.left.pid(), signal.SIGCONT)
        wait_for(lambda: counters(lab.a)["ingress_packets"] == before + 2, "both were taken")
        assert where() == f"172.18.0.9:{PORT}", f"the older message came from port {second}"
    finally:
        relay.kill()
        lab.third.set("peer", lab.left.public, "endpoint", lab.endpoint(1))
