# SPDX-License-Identifier: Apache-2.0
"""Nodes with several uplinks, and peers that are reached by other ways than the default route."""
import json
import re
from base64 import b64encode

import pytest

from agents import ask, enable, judge, record, write_record
from lab import PODVEIL, Capture, wait_for
from test_exits import add_uplink
from workload import Steady, backend


@pytest.fixture
def private(cluster):
    """The second and the third node have a private network beside the public one, and reach each other by it."""
    for node, other in ((1, 2), (2, 1)):
        add_uplink(cluster, cluster.nodes[node])
        set_private_mtu(cluster, node, 1400)
        cluster.nodes[node].run(f"ip route add {cluster.nodes[other].address} via 172.19.0.{2 + other} dev eth1")
        cluster.nodes[node].run(f"ip -6 addr add fd00:19::{2 + node}/64 dev eth1 nodad")
        cluster.nodes[node].run(f"ip -6 route add {cluster.nodes[other].address6} via fd00:19::{2 + other} dev eth1")
    return cluster


def set_private_mtu(c, node, mtu):
    c.switch.run(f"ip link set second{node} mtu {mtu}")
    c.nodes[node].run(f"ip link set eth1 mtu {mtu}")


def device_mtu(node, device="wireguard.cali"):
    return json.loads(node.run(f"ip -j link show {device}"))[0]["mtu"]


def route_mtus(node, family=4):
    """{range: MTU of its route through the tunnel}; None: the device's."""
    device = "wireguard.cali" if family == 4 else "wg-v6.cali"
    return {r["dst"]: r.get("metrics", [{}])[0].get("mtu") for r in
            json.loads(node.run(f"ip -{family} -j route show table 1 dev {device}") or "[]")}


def ping(pod, address, size):
    """Sends packets of `size` bytes that must not be fragmented; returns what ping says."""
    return pod.run(f"ping -n -M do -c 2 -i 0.05 -W 5 -s {size - 28} {address}", check=False).stdout


def test_the_mtu_is_that_of_the_path_to_each_peer(private):
    """The tunnel has the MTU of the path with the largest one. Routes to peers with less have their own. Nothing is lost when
    paths change. What is too large is answered, and no WireGuard message is fragmented."""
    c, (control, worker, other) = private, private.nodes
    enable(c)
    c.podveil("enable", "--ipv6")
    wait_for(lambda: c.encrypted(family="ipv6"), "all nodes encrypt IPv6")
    steady = Steady(c.client, c.server.address, rate=200)
    wait_for(lambda: route_mtus(worker) == {control.pods4: None, other.pods4: 1328}, "the route has the MTU of its path")
    wait_for(lambda: route_mtus(worker, 6) == {"fd00:10:244::/64": None, "fd00:10:244:2::/64": 1312}, "that for IPv6, too")
    assert device_mtu(worker) == 1440 and device_mtu(worker, "wg-v6.cali") == 1420
    capture = Capture(worker, "eth1", "ip")
    assert "mtu = 1328" in ping(c.client, c.server.address, 1329)
    assert " 0% packet loss" in ping(c.client, c.server.address, 1328)
    assert "stripe_api_key" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}
    from scapy.layers.inet import IP
    assert {int(p[IP].flags) & 1 | p[IP].frag for p in capture.packets()} == {0}
    # The private network carries more than the public one.
    for node in (1, 2):
        set_private_mtu(c, node, 9000)
    wait_for(lambda: device_mtu(worker) == 8940 and route_mtus(worker) == {control.pods4: 1440, other.pods4: None},
             "the tunnel follows the larger one")
    # It goes, and the peer is reached by the public one; a router on the way carries less, and the kernel learns it.
    c.switch.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.br0.send_redirects=0 && "
                 f"ip route add {other.address} dev br0 mtu 1300")
    worker.run(f"ip route replace {other.address} via 172.18.0.1 dev eth0")
    other.run(f"ip route del {worker.address} via 172.19.0.3")
    wait_for(lambda: device_mtu(worker) == 1440 and route_mtus(worker) == {control.pods4: None, other.pods4: None},
             "the tunnel follows the public one")
    assert "mtu = 1300" in ping(worker, other.address, 1400)
    wait_for(lambda: route_mtus(worker)[other.pods4] == 1232, "the route has what the kernel learned", 5)
    assert "mtu = 1232" in ping(c.client, c.server.address, 1300)
    assert " 0% packet loss" in ping(c.client, c.server.address, 1232)
    # A setting goes before what the paths say.
    c.configure(wireguardMTU=1400)
    wait_for(lambda: device_mtu(worker) == 1400 and not any(route_mtus(worker).values()), "the setting is in force")
    c.configure(wireguardMTU=None)
    wait_for(lambda: route_mtus(worker)[other.pods4] == 1232, "the path again")
    outcome = steady.stop()
    assert outcome["failed"] == 0, outcome


def endpoint(node, other):
    """The IPv4 address to which the node's device sends what is for the other node."""
    key = next(p["publicKey"] for p in node.agent.status()["tunnels"][0]["peers"] if p["node"] == other.name)
    lines = dict(line.split() for line in node.run("wg show wireguard.cali endpoints").splitlines())
    return lines[key].rsplit(":", 1)[0]


def test_a_peer_is_reached_by_another_uplink_at_once(private):
    """A node that answers a peer's handshake sends to where the handshake came from: the peer's address in the private network.
    When this network is gone, it sends to the peer's own address again, also if the peer itself sends nothing."""
    c, (_, worker, other) = private, private.nodes
    backend(c.client)
    enable(c)
    wait_for(lambda: "172.19" in endpoint(worker, other) + endpoint(other, worker), "one node has an address of the private network")
    node, peer, pod, target = (worker, other, c.client, c.server) if "172.19" in endpoint(worker, other) else \
        (other, worker, c.server, c.client)
    # An agent that starts again finds the session, and leaves it where it is.
    node.agent.kill(tunnel=False)
    c.start_agent(node)
    assert "172.19" in endpoint(node, peer)
    for n in (worker, other):
        n.run("ip link set eth1 down")
    wait_for(lambda: endpoint(node, peer) == peer.address, "it sends to the peer's own address", 5)
    assert "stripe_api_key" in ask(pod, target.address)


SILENT = {  # node: its address, and why it does not answer
    "nobody": ("172.18.0.99", "the node 172.18.0.99 does not answer ARP on eth0"),
    "behind-nobody": ("198.51.100.1", "the router 172.18.0.98 does not answer ARP on eth0"),
    "unreachable": ("198.51.100.2", "this node has no route to 198.51.100.2: No route to host"),
    "blackhole": ("198.51.100.3", "this node has no route to 198.51.100.3: a blackhole route is there"),
    "without-agent": ("172.18.0.1", "messages to 172.18.0.1:51820 leave through eth0, and nothing comes back: is UDP blocked "
                                    "on the way, or does no agent run there?"),
}


def silences(node):
    return {p["node"]: p["silence"] for p in node.agent.status()["tunnels"][0]["peers"] if p["silence"]}


def test_why_a_peer_does_not_answer(cluster):
    """`status` and `doctor` say what this node can see of it; of peers that answer they say nothing."""
    c, worker = cluster, cluster.nodes[1]
    worker.run("ip route add 198.51.100.1 via 172.18.0.98 && ip route add unreachable 198.51.100.2 && "
               "ip route add blackhole 198.51.100.3")
    enable(c)
    for i, (name, (address, _)) in enumerate(SILENT.items()):
        write_record(c, {"name": name, "ipv4": address, "podCIDRs": [f"10.99.{i}.0/24"],
                         "wireguardPublicKey": b64encode(b"%031d" % i + b"\x01").decode()})
    wait_for(lambda: silences(worker) == {name: why for name, (_, why) in SILENT.items()}, "each reason is there")
    screen = worker.run([PODVEIL, "status"])
    for name, (_, why) in SILENT.items():
        assert re.search(rf"^  {name} .*\n    {re.escape(why)}$", screen, re.M), screen
    assert re.search(r"^note +peers +2 of 7 answered; no answer: .*; behind-nobody: the router", worker.run([PODVEIL, "doctor"]), re.M)
    worker.run("ip route del unreachable 198.51.100.2")
    wait_for(lambda: "leave through eth0" in silences(worker).get("unreachable", ""), "the reason follows")


# What the switch does for a node behind it: its port 4500 is the node's 51820, and the node sees the switch as the sender.
NAT = """sysctl -qw net.ipv4.ip_forward=1
nft add table ip nat
nft add chain ip nat prerouting '{{ type nat hook prerouting priority -100; }}'
nft add chain ip nat postrouting '{{ type nat hook postrouting priority 100; }}'
nft add rule ip nat prerouting ip daddr 172.18.0.1 udp dport 4500 dnat to {inside}:51820
nft add rule ip nat postrouting ip daddr {inside} udp dport 51820 masquerade
"""
# A node drops WireGuard's messages to and from another one.
APART = """nft add table inet apart
nft add chain inet apart output '{{ type filter hook output priority 0; }}'
nft add chain inet apart input '{{ type filter hook input priority 0; }}'
nft add rule inet apart output ip daddr {other} udp dport 51820 drop
nft add rule inet apart input ip saddr {other} udp dport 51820 drop
"""


class Names:
    """A DNS server on the switch, and the worker asks it. It ends with the lab."""

    def __init__(self, c, node):
        self.c = c
        c.switch.run("mkdir -p /run/names && touch /run/names/hosts")
        self.server = c.switch.start(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--user=root", "--no-resolv", "--no-hosts",
                                      "--addn-hosts=/run/names/hosts", "--local-ttl=0", "--pid-file=/run/names/pid",
                                      "--listen-address=172.18.0.1", "--bind-interfaces"])
        wait_for(lambda: "172.18.0.1:53" in c.switch.run("ss -lun"), "the DNS server listens")
        node.run("mkdir -p /run/names && echo nameserver 172.18.0.1 > /run/names/resolv.conf && "
                 "mount --bind /run/names/resolv.conf /etc/resolv.conf")

    def set(self, name, *addresses):
        lines = "".join(f"{a} {name}\\n" for a in addresses)
        self.c.switch.run(f"printf '{lines}' > /run/names/hosts && kill -HUP $(cat /run/names/pid)")

    def stop(self):
        self.server.terminate()
        self.server.wait(10)


def test_a_node_behind_nat_is_reached_at_its_endpoint(cluster):
    """Its record has a name. The name is looked up again while the node does not answer, and what was known outlives the DNS server, and
    the agent."""
    c, (_, worker, other) = cluster, cluster.nodes
    c.switch.run(NAT.format(inside=other.address))
    worker.run(APART.format(other=other.address))
    other.run(APART.format(other=worker.address))
    names = Names(c, worker)
    c.podveil("enable")
    wait_for(lambda: "nothing comes back" in silences(worker).get(other.name, ""), "it cannot be reached at its own address")
    write_record(c, {**record(c, other), "endpoint": "inside.example:4500"})
    wait_for(lambda: "inside.example" in worker.agent.log() and "has no address" in worker.agent.log(), "the name is not known yet")
    names.set("inside.example", "127.0.0.1", "172.18.0.99")
    wait_for(lambda: endpoint(worker, other) == "172.18.0.99", "the name has an address that a node can have")
    names.set("inside.example", "172.18.0.1")
    wait_for(lambda: endpoint(worker, other) == "172.18.0.1", "the name is looked up again")
    wait_for(c.encrypted, "all nodes encrypt")
    assert "stripe_api_key" in ask(c.client, c.server.address)
    assert record(c, other)["endpoint"] == "inside.example:4500", "the node keeps what others wrote"
    # The DNS server is gone, and the agent starts again: the tunnel process still knows where the node is.
    names.stop()
    steady = Steady(c.client, c.server.address)
    worker.agent.kill(tunnel=False)
    c.start_agent(worker)
    assert endpoint(worker, other) == "172.18.0.1" and "stripe_api_key" in ask(c.client, c.server.address)
    assert steady.stop()["failed"] == 0
    # An address that no node can have is refused, and told.
    write_record(c, {**record(c, other), "endpoint": "224.0.0.1:4500"})
    wait_for(lambda: [r["reason"] for r in worker.agent.status()["recordsRefused"]] == ["endpoint"], "it is refused")
