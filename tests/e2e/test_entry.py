# SPDX-License-Identifier: Apache-2.0
"""The fast path on entry: pods' devices that lead straight into the tunnel (podveilEntryInterfaces)."""
import json
import os
import re

import pytest

from lab import PODVEIL, Capture, wait_for
from cluster import Cluster, leaks
from traffic import counters, echo, ping, transfer

TUNNEL, TUNNEL6 = "wireguard.cali", "wg-v6.cali"


def entry(node, family="ipv4"):
    return next(t for t in node.agent.status()["tunnels"] if t["family"] == family)["entry"]


def filters(node, device):
    """How many of ours are at TC ingress of a device."""
    return node.run(f"tc filter show dev {device} ingress").count(" entry:[")


def device_of(pod):
    """The node's end: cali1n2."""
    return "cali" + pod.address.split(".")[2] + "n" + pod.address.split(".")[3]


def switch(c, patterns, families=("ipv4",)):
    """On all nodes, and for all pods that there are."""
    c.configure(podveilEntryInterfaces=patterns)
    wait_for(lambda: all(entry(n, f) == {"on": bool(patterns), "problem": None,
                                         "interfaces": len(n.pods) if patterns else 0}
                         for n in c.nodes for f in families), "the setting is in force")


def enable(c, ipv6=False):
    c.podveil("enable")
    if ipv6:
        c.podveil("enable", "--ipv6")
    wait_for(lambda: c.encrypted() and (not ipv6 or c.encrypted(family="ipv6")), "all nodes encrypt")


class Counted:
    """What a device's counters rose by meanwhile."""

    def __init__(self, node, device=TUNNEL):
        self.node, self.device = node, device
        self.before = counters(node, device)

    def __getitem__(self, name):
        return counters(self.node, self.device)[name] - self.before[name]


@pytest.fixture(scope="module")
def pair():
    """Two nodes that encrypt both families, a pod on each, .left and .right; the tests switch entry on and off."""
    with Cluster(2) as c:
        c.left, c.right = c.pod(c.nodes[0], "left"), c.pod(c.nodes[1], "right")
        for node in c.nodes:
            c.start_agent(node)
        enable(c, ipv6=True)
        yield c


@pytest.fixture
def cluster():
    """Three nodes that encrypt, .client on the second and .server on the third, entry on."""
    with Cluster(3) as c:
        c.client, c.server = c.pod(c.nodes[1], "client"), c.pod(c.nodes[2], "server")
        c.configure(podveilEntryInterfaces=["cali*"])
        for node in c.nodes:
            c.start_agent(node)
        enable(c)
        yield c


# --- on ---

def test_off_by_default(pair):
    node = pair.nodes[0]
    assert not filters(node, device_of(pair.left))
    assert "clsact" not in node.run(f"tc qdisc show dev {device_of(pair.left)}")
    assert "entry" not in node.run(f"ls /sys/fs/bpf/podveil/{TUNNEL}")
    assert entry(node) == {"on": False, "interfaces": 0, "problem": None}
    assert "entry" not in node.run([PODVEIL, "status"])
    seen = Counted(node)
    assert ping(pair.left, pair.right.address) == 3
    assert seen["entry_redirected"] == 0 and seen["classified"] >= 3


@pytest.mark.parametrize("device, address", [(TUNNEL, "address"), (TUNNEL6, "address6")])
def test_traffic_past_routing(pair, device, address):
    """TCP, UDP and ICMP, both ways, superpackets whole, and nothing in plain."""
    c = pair
    switch(c, ["cali*"], ("ipv4", "ipv6"))
    capture = Capture(c.nodes[0], "eth0")
    for node, source, sink in ((c.nodes[0], c.left, c.right), (c.nodes[1], c.right, c.left)):
        to = getattr(sink, address)
        seen = Counted(node, device)
        assert ping(source, to) == 3
        echo(source, sink, to, [1, 100, 1300])
        assert seen["entry_redirected"] >= 6 and seen["entry_passed"] == 0
        seen = Counted(node, device)
        transfer(source, sink, to, 20)
        assert seen["egress_packets"] > 5 * seen["entry_redirected"] > 0
        # A pod's MTU may be larger than the IPv6 tunnel's: the kernel says so, then it fits.
        assert seen["entry_passed"] < 10
        assert seen["steered"] <= seen["entry_redirected"] + seen["classified"]
        assert seen["classified"] < 15
    capture.stop()
    assert not leaks(capture.packets())


@pytest.mark.parametrize("on", [False, True])
def test_flows_are_spread_over_workers(pair, on):
    c = pair
    c.configure(podveilWorkers=2)
    wait_for(lambda: all(n.agent.status()["tunnels"][0].get("workers") == 2 for n in c.nodes), "two workers")
    wait_for(c.encrypted, "encrypting again")
    switch(c, ["cali*"] if on else [], ("ipv4", "ipv6"))

    def taken():
        text = c.nodes[0].run(f"bpftool -j map dump pinned /sys/fs/bpf/podveil/{TUNNEL}/counters")
        return [e["formatted"]["value"]["egress_superpackets"] for e in json.loads(text)[:2]]
    before = taken()
    c.left.run(["python3", "-c", "import socket, sys\n"
                "for i in range(200):\n"
                "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b'x', (sys.argv[1], 9))",
                c.right.address])
    wait_for(lambda: sum(taken()) >= sum(before) + 200, "all of them have arrived")
    assert all(now - then > 50 for now, then in zip(taken(), before))
    c.configure(podveilWorkers=0)
    wait_for(c.encrypted, "encrypting again")


def test_what_is_said(pair):
    c, node = pair, pair.nodes[0]
    switch(c, ["cali*"], ("ipv4", "ipv6"))
    assert node.run([PODVEIL, "status"]).count("entry: 1 interfaces lead straight into it, past NetworkPolicy") == 2
    metrics = node.run("curl -s localhost:9586/metrics")
    assert f'podveil_entry_interfaces{{iface="{TUNNEL}"}} 1' in metrics
    assert re.search(rf'podveil_entry_redirected_total{{iface="{TUNNEL}"}} [0-9]+', metrics)
    found = node.run([PODVEIL, "doctor"], check=False).stdout
    assert re.search(r"note  entry +on for 1 interfaces", found), found
    # Conntrack sees one half of each connection, and calls the rest invalid.
    node.run("nft 'add table ip t; add chain ip t f { type filter hook forward priority 0; }; "
             "add rule ip t f ct state invalid counter drop'")
    found = node.run([PODVEIL, "doctor"], check=False)
    node.run("nft delete table ip t")
    assert found.returncode == 1 and re.search(r"BAD +entry +on for 1 interfaces, and: ct state invalid", found.stdout)
    switch(c, [], ("ipv4", "ipv6"))
    assert re.search(r"ok +entry +off", node.run([PODVEIL, "doctor"], check=False).stdout)


# --- what only the kernel can do ---

@pytest.mark.parametrize("on", [False, True])
def test_ttl_runs_out(pair, on):
    """The same answers as without: at this node, and at the other."""
    c = pair
    switch(c, ["cali*"] if on else [], ("ipv4", "ipv6"))
    seen = Counted(c.nodes[0])

    def answer(address, ttl):
        return c.left.run(["ping", "-n", "-c", "1", "-W", "2", "-t", str(ttl), address], check=False).stdout
    for address, near in ((c.right.address, "172.18.0.2|10.244.0.[01]"), (c.right.address6, "fd00:.*")):
        assert re.search(rf"From ({near}).*(Time to live exceeded|Time exceeded)", answer(address, 1))
        far = answer(address, 2)
        assert re.search(r"Time to live exceeded|Time exceeded", far) and "From 172.18.0.2" not in far
        assert "1 received" in answer(address, 3)
    if on:
        assert seen["entry_passed"] == 1 and seen["entry_redirected"] == 2


@pytest.mark.parametrize("on", [False, True])
def test_too_large(pair, on):
    """Whoever must not be cut is told what fits; others are cut."""
    c = pair
    switch(c, ["cali*"] if on else [], ("ipv4", "ipv6"))
    for pod, node in ((c.left, c.nodes[0]), (c.right, c.nodes[1])):
        pod.run("ip link set eth0 mtu 1500; ip route flush cache; ip -6 route flush cache")
        node.run(f"ip link set {device_of(pod)} mtu 1500")
    told = c.left.run(f"ping -n -c 1 -W 1 -M do -s 1450 {c.right.address}", check=False).stdout
    assert "mtu = 1440" in told, told
    told = c.left.run(f"ping -n -c 1 -W 1 -M do -s 1450 {c.right.address6}", check=False).stdout
    assert "mtu=1420" in told.replace(" = ", "="), told
    # Told so, it cuts; and who may be cut is, on the way.
    assert ping(c.left, c.right.address, size=1450) == 3
    echo(c.left, c.right, c.right.address, [1450, 3000, 20000])
    echo(c.left, c.right, c.right.address6, [1450, 3000, 20000])
    transfer(c.left, c.right, c.right.address, 5)
    transfer(c.left, c.right, c.right.address6, 5)
    told = c.left.run(f"ip route flush cache; ping -n -c 3 -i 0.05 -W 1 -M dont -s 1450 {c.right.address}")
    assert "3 received" in told, told


# --- where it is, and where not ---

def test_devices_come_and_go(cluster):
    c, worker = cluster, cluster.nodes[1]
    assert filters(worker, device_of(c.client)) == 1
    late = c.pod(worker, "late")
    wait_for(lambda: filters(worker, device_of(late)) == 1, "the new pod has it")
    wait_for(lambda: entry(worker)["interfaces"] == 2, "it is counted")
    seen = Counted(worker)
    assert ping(late, c.server.address) == 3
    assert seen["entry_redirected"] >= 3
    # Of a pod that goes there is nothing to remove.
    worker.pods.remove(late)
    c.hosts.remove(late)
    late.close()
    wait_for(lambda: entry(worker)["interfaces"] == 1, "it is not counted any more")
    # What somebody removes comes back.
    worker.run(f"tc filter del dev {device_of(c.client)} ingress")
    wait_for(lambda: filters(worker, device_of(c.client)) == 1, "it is back")
    worker.run(f"tc qdisc del dev {device_of(c.client)} clsact; rm /sys/fs/bpf/podveil/{TUNNEL}/entry_ranges4")
    wait_for(lambda: filters(worker, device_of(c.client)) == 1, "and again")
    # The agent may have mended the qdisc before the pin went.
    wait_for(lambda: "entry_ranges4" in worker.run(f"ls /sys/fs/bpf/podveil/{TUNNEL}"), "the pin is back")
    # A device that leads to no pod, and the uplink, whatever they are called.
    c.configure(podveilEntryInterfaces=["nobody", "*"])
    worker.run("ip link add caliextra type bridge && ip link set caliextra up")
    wait_for(lambda: entry(worker)["interfaces"] == 1, "pods' devices alone")
    for device in ("eth0", TUNNEL, "vxlan.calico", "caliextra"):
        assert not filters(worker, device)
    assert ping(c.client, c.server.address) == 3
    # Another name.
    c.configure(podveilEntryInterfaces=["veth*"])
    wait_for(lambda: not filters(worker, device_of(c.client)), "it goes from what does not match")
    assert "clsact" not in worker.run(f"tc qdisc show dev {device_of(c.client)}")
    assert entry(worker) == {"on": True, "interfaces": 0, "problem": None}
    worker.run(f"ip link set {device_of(c.client)} name veth7")
    wait_for(lambda: filters(worker, "veth7") == 1, "and comes to what does")


def test_goes_with_the_tunnel(cluster):
    c, worker, device = cluster, cluster.nodes[1], device_of(cluster.client)
    assert filters(worker, device) == 1
    c.podveil("disable")
    wait_for(lambda: "lookup 1\n" not in worker.run("ip rule"), "the rule goes")
    assert not filters(worker, device)  # which was before
    assert ping(c.client, c.server.address) == 3
    c.podveil("enable")
    wait_for(c.encrypted, "all nodes encrypt")
    wait_for(lambda: filters(worker, device) == 1, "it is back")
    # The device is deleted and made anew.
    worker.run(f"ip link del {TUNNEL}")
    capture = Capture(worker, "eth0")
    wait_for(lambda: ping(c.client, c.server.address, count=1, deadline=1) == 1, "there again")
    wait_for(lambda: filters(worker, device) == 1, "it is back")
    wait_for(c.encrypted, "all nodes encrypt")
    seen = Counted(worker)
    assert ping(c.client, c.server.address) == 3
    assert seen["entry_redirected"] >= 3
    capture.stop()
    assert not leaks(capture.packets())
    # An ordinary end leaves it, cleanup does not.
    worker.agent.stop()
    assert filters(worker, device) == 1
    worker.run([PODVEIL, "agent", "--cleanup"])
    assert not filters(worker, device)
    assert "clsact" not in worker.run(f"tc qdisc show dev {device}")


def test_leads_nowhere_where_routes_do_not(cluster):
    """A node with a key that does not answer is talked to in plain, until it does."""
    c, worker, silent = cluster, cluster.nodes[1], cluster.nodes[2]
    c.podveil("disable")
    wait_for(lambda: not filters(worker, device_of(c.client)), "off")
    silent.agent.kill()
    silent.run([PODVEIL, "agent", "--cleanup"])
    path = os.path.join(c.store, "nodes", silent.name + ".json")
    with open(path) as f:
        record = json.load(f)
    record["wireguardPublicKey"] = silent.run("wg genkey | wg pubkey").strip()
    with open(path + ".tmp", "w") as f:
        json.dump(record, f)
    os.rename(path + ".tmp", path)
    c.podveil("enable")
    wait_for(lambda: filters(worker, device_of(c.client)) == 1, "on")
    assert "10.244.2.0/26" in worker.run(f"wg show {TUNNEL} allowed-ips")
    seen = Counted(worker)
    assert ping(c.client, c.server.address) == 3
    assert seen["entry_redirected"] == 0 and seen["steered"] == 0
    c.start_agent(silent)
    wait_for(c.encrypted, "all nodes encrypt")
    assert ping(c.client, c.server.address) == 3
    assert seen["entry_redirected"] >= 3


def test_an_address_of_ours_in_a_range_of_others():
    """The other node claims all that is not claimed more closely."""
    with Cluster(2) as c:
        left, right = c.nodes
        one, two = c.pod(left, "one"), c.pod(left, "two")
        far = c.pod(right, "far")
        c.configure(podveilEntryInterfaces=["cali*"])
        c.start_agent(left)
        c.start_agent(right, "--pod-cidr", "10.244.0.0/16", pod_cidrs=False)
        enable(c)
        wait_for(lambda: filters(left, device_of(one)) == 1, "on")
        seen = Counted(left)
        assert ping(one, two.address) == 3
        assert seen["entry_redirected"] == 0
        assert ping(one, far.address) == 3
        assert seen["entry_redirected"] >= 3


# --- fail closed ---

def test_kill_9(cluster):
    """Dropped and counted while nobody is there; then taken over, though peers have other slots."""
    c, first, worker, device = cluster, cluster.nodes[0], cluster.nodes[1], device_of(cluster.client)
    capture = Capture(worker, "eth0")
    worker.agent.kill()
    assert filters(worker, device) == 1
    seen = Counted(worker)
    assert ping(c.client, c.server.address, count=3, deadline=1) == 0
    assert seen["drop_no_socket"] >= 3 and seen["entry_redirected"] >= 3
    os.unlink(os.path.join(c.store, "nodes", first.name + ".json"))
    first.agent.stop()
    c.start_agent(worker)
    wait_for(lambda: c.encrypted([worker, c.nodes[2]]), "encrypting again")
    wait_for(lambda: filters(worker, device) == 1, "on again")
    seen = Counted(worker)
    assert ping(c.client, c.server.address) == 3
    assert seen["entry_redirected"] >= 3 and seen["drop_stale_peer"] == 0
    # Switched off while nobody was there to do it.
    worker.agent.kill()
    c.configure(podveilEntryInterfaces=None)
    c.start_agent(worker)
    wait_for(lambda: c.encrypted([worker, c.nodes[2]]), "encrypting again")
    assert not filters(worker, device)
    assert "clsact" not in worker.run(f"tc qdisc show dev {device}")
    seen = Counted(worker)
    assert ping(c.client, c.server.address) == 3
    assert seen["entry_redirected"] == 0 and seen["drop_stale_peer"] == 0
    capture.stop()
    assert not leaks(capture.packets())


def test_strict_mode(cluster):
    """Nothing in plain, whatever happens to the device that entry leads to."""
    c, worker = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True)
    wait_for(lambda: worker.agent.status()["strict"], "strict")
    capture = Capture(worker, "eth0")
    for breaking in (f"ip link set {TUNNEL} down", "ip link set pv4.xsk xdpgeneric off", f"ip link del {TUNNEL}",
                     "ip rule del priority 99", "ip route flush table 1"):
        worker.run(breaking)
        ping(c.client, c.server.address, count=20, interval=0.01, deadline=1)
        # A handshake that is lost under way is repeated after 5 s.
        wait_for(c.encrypted, f"encrypting again after: {breaking}", 30)
    wait_for(lambda: filters(worker, device_of(c.client)) == 1, "on again")
    assert ping(c.client, c.server.address) == 3
    capture.stop()
    assert not leaks(capture.packets())
