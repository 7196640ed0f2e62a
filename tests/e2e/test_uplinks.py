# SPDX-License-Identifier: Apache-2.0
"""Nodes with several uplinks, and peers that are reached by other ways than the default route."""
import json
import re
from base64 import b64encode

import pytest

from agents import ask, enable, judge, write_record
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
