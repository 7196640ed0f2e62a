# SPDX-License-Identifier: Apache-2.0
"""The node agent in a cluster out of namespaces. A capture on the uplink is the judge."""
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lab import PODVEIL, Capture, Failed, wait_for
from cluster import Cluster, leaks
from traffic import counters, ping
import workload
from workload import Steady

TABLE = "ip route show table 1"
RULE = "99:\tnot from all fwmark 0x200000/0x200000 lookup 1"


def enabled_twice_in_a_moment(c, steady):
    """Off and on again while the others have noticed, or not: nothing is lost."""
    for pause in (0, 0.02, 0.2, 1):
        c.podveil("disable")
        time.sleep(pause)
        c.podveil("enable")
        wait_for(c.encrypted, "all nodes encrypt again", 10)
        steady.more(300)


@pytest.fixture
def cluster():
    """Three nodes with an agent each, not encrypting; .client on the second, .server on the third."""
    with Cluster(3) as c:
        c.client = c.pod(c.nodes[1], "frontend-client")
        c.server = c.pod(c.nodes[2], "backend-api")
        workload.backend(c.server)
        for node in c.nodes:
            c.start_agent(node)
        yield c


def ask(pod, address):
    """One request of the pod's; the answer."""
    host = f"[{address}]" if ":" in address else address
    return pod.run(["python3", "-c", "import sys, urllib.request; print(urllib.request.urlopen("
                    "sys.argv[1], timeout=5).read().decode())", f"http://{host}:8080/users"])


def enable(c, seconds=10, **options):
    c.podveil("enable")
    wait_for(c.encrypted, "all nodes encrypt", seconds)


def judge(capture):
    """Stops the capture: (packets that leak, UDP ports that were seen)."""
    capture.stop()
    packets = capture.packets()
    from scapy.layers.inet import UDP
    return leaks(packets), {p[UDP].dport for p in packets if p.haslayer(UDP)}


def guard(node):
    return node.agent.status()["guard"]


# --- on and off ---

def test_the_exercise(cluster):
    """Readable, enabled, what is there then, unreadable, disabled, readable."""
    c, worker = cluster, cluster.nodes[1]
    capture = Capture(worker, "eth0")
    assert "stripe_api_key" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert leaked and ports == {4789}
    enable(c)
    assert "UP" in worker.run("ip link show wireguard.cali")
    assert "mtu 1440" in worker.run("ip link show wireguard.cali")
    assert "inet 10.244.1.0/32" in worker.run("ip addr show wireguard.cali")
    assert RULE in worker.run("ip rule")
    routes = worker.run(TABLE)
    for line in ("10.244.0.0/26 dev wireguard.cali scope link", "throw 10.244.1.0/26",
                 "10.244.2.0/26 dev wireguard.cali scope link"):
        assert line in routes
    shown = worker.run("wg show wireguard.cali")
    assert "listening port: 51820" in shown and "fwmark: 0x200000" in shown
    assert shown.count("peer: ") == 2 and "endpoint: 172.18.0.4:51820" in shown
    assert "allowed ips: 10.244.2.0/26" in shown
    capture = Capture(worker, "eth0")
    assert "stripe_api_key" in ask(c.client, c.server.address)
    # What the host itself sends to a remote pod, too.
    assert "3 received" in worker.run(f"ping -n -c 3 -i 0.05 {c.server.address}")
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}
    transfer = worker.run("wg show wireguard.cali transfer")
    assert all(int(n) > 0 for line in transfer.splitlines() for n in line.split()[1:])
    c.podveil("disable")
    wait_for(lambda: "lookup 1\n" not in worker.run("ip rule"), "the rule goes")
    capture = Capture(worker, "eth0")
    assert "stripe_api_key" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert leaked and 4789 in ports
    wait_for(lambda: "wireguard.cali" not in worker.run("ip -br link"), "the device goes", 15)
    assert worker.run(TABLE) == ""
    assert "clsact" not in worker.run("tc qdisc show dev eth0")
    wait_for(lambda: worker.run("ls /sys/fs/bpf/podveil 2>/dev/null || true") == "", "the pins go")


def test_ipv6_beside_ipv4(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    c.podveil("enable", "--ipv6")
    wait_for(lambda: c.encrypted(family="ipv6"), "all nodes encrypt IPv6")
    assert "fd00:10:244:2::/64 dev wg-v6.cali" in worker.run("ip -6 route show table 1")
    assert "mtu 1420" in worker.run("ip link show wg-v6.cali")
    assert RULE in worker.run("ip -6 rule")
    capture = Capture(worker, "eth0")
    for address in (c.server.address, c.server.address6):
        assert "stripe_api_key" in ask(c.client, address)
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820, 51821}
    c.podveil("disable", "--ipv6")
    wait_for(lambda: "wg-v6.cali" not in worker.run("ip -br link"), "the device goes", 15)
    assert "stripe_api_key" in ask(c.client, c.server.address6)
    assert c.encrypted()


def test_nothing_is_lost_whatever_changes():
    """Requests all the time: on, off, on, a node comes, goes, an agent starts anew, MTU, CIDRs."""
    with Cluster(8) as c:
        client, server = c.pod(c.nodes[1], "client"), c.pod(c.nodes[2], "server")
        workload.backend(server)
        for node in c.nodes:
            c.start_agent(node)
        steady = Steady(client, server.address, rate=1000)
        started = time.monotonic()
        c.podveil("enable")
        wait_for(c.encrypted, "8 nodes encrypt", 10)
        print(f"8 nodes encrypted after {time.monotonic() - started:.2f} s")
        c.podveil("disable")
        wait_for(lambda: not any(RULE in n.run("ip rule") for n in c.nodes), "the rules go")
        steady.more()
        enable(c)
        steady.more()
        enabled_twice_in_a_moment(c, steady)
        node = c.add_node()
        c.start_agent(node)
        wait_for(c.encrypted, "the new node encrypts, too")
        steady.more()
        node.agent.stop()
        c.remove_node(node)
        os.unlink(os.path.join(c.store, "nodes", node.name + ".json"))
        wait_for(lambda: c.nodes[1].run("wg show wireguard.cali peers").count("\n") == 7,
                 "the node that went is forgotten")
        c.configure(wireguardMTU=1400)
        wait_for(lambda: all("mtu 1400" in n.run("ip link show wireguard.cali") for n in c.nodes),
                 "the MTU follows")
        c.configure(wireguardRoutingRulePriority=150, podveilRouteTable=7)
        wait_for(lambda: all("150:" in n.run("ip rule") for n in c.nodes), "the rule follows")
        assert "wireguard.cali" in c.nodes[1].run("ip route show table 7")
        assert c.nodes[1].run(TABLE) == ""
        for port in (51999, 51820):
            c.configure(wireguardListeningPort=port)
            wait_for(lambda: all(f":{port}" in line for line in
                                 c.nodes[1].run("wg show wireguard.cali endpoints").splitlines()),
                     "the port follows")
            steady.more()
        for again in c.nodes[1:3]:
            again.agent.stop()
            c.start_agent(again)
            steady.more()
        outcome = steady.stop()
        assert outcome["failed"] == 0, outcome
        assert outcome["sent"] >= 2500, outcome
        print(outcome)


def test_strict_mode_leaks_nothing(cluster):
    """From the first packet on, over everything that happens to an agent and its device."""
    c, worker = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
    enable(c)
    capture = Capture(worker, "eth0")
    steady = Steady(c.client, c.server.address, rate=1000)
    # An address that nobody has published.
    worker.run("ip route add 10.244.77.0/26 via 10.244.2.1 dev vxlan.calico onlink")
    before = guard(worker)["dropLeak"]
    assert ping(c.client, "10.244.77.7", count=2, deadline=1) == 0
    assert guard(worker)["dropLeak"] >= before + 2
    for breaking in ("ip link del wireguard.cali", "ip route flush table 1",
                     "ip rule del priority 99", "ip link set wireguard.cali down",
                     "ip addr flush dev wireguard.cali", "tc filter del dev eth0 egress",
                     "ip link set pv4.xsk xdpgeneric off", "rm -r /sys/fs/bpf/podveil/*"):
        worker.run(breaking)
        time.sleep(0.2)
        wait_for(c.encrypted, f"encrypting again after: {breaking}", 10)
    pin = "/sys/fs/bpf/podveil/guard/guard_counters"
    wait_for(lambda: worker.run(f"ls {pin} 2>/dev/null || true"), "the pins are back")
    # The guard stands without the agent: what loses its way into the tunnel does not leave.
    worker.agent.kill()
    worker.run("ip rule del priority 99")
    dropped = f"bpftool -j map dump pinned {pin}"

    def total(command):
        return sum(e["formatted"]["value"]["drop_leak"] for e in json.loads(worker.run(command)))
    before = total(dropped)
    assert ping(c.client, c.server.address, count=1, deadline=1) == 0
    assert total(dropped) > before
    c.start_agent(worker)
    wait_for(c.encrypted, "encrypting again after kill -9")
    worker.agent.stop()
    c.start_agent(worker)
    wait_for(c.encrypted, "encrypting again after an ordinary end")
    outcome = steady.stop()
    leaked, _ = judge(capture)
    assert not leaked, [p.summary() for p in leaked[:5]]
    assert outcome["failed"] == 0, outcome  # slow at times, but nothing lost


def test_plaintext_does_not_come_in(cluster):
    """Somebody on the network who speaks in the name of a remote pod."""
    c, worker2 = cluster, cluster.nodes[2]
    c.configure(podveilStrictMode=True)
    enable(c)
    stranger = c.switch
    spoof = """
import sys
from scapy.all import sendp, Ether, IP, UDP, VXLAN, getmacbyip
mac = getmacbyip("172.18.0.4")
bare = IP(src="10.244.1.2", dst=sys.argv[1])/UDP(sport=9, dport=7777)/b"bare"
inner = Ether(dst="66:00:00:00:00:02")/IP(src="10.244.1.2", dst=sys.argv[1])/UDP(sport=9, dport=7777)/b"vxlan"
outer = IP(src="172.18.0.3", dst="172.18.0.4")/UDP(sport=4444, dport=4789)/VXLAN(vni=4096)/inner
sendp([Ether(dst=mac)/bare, Ether(dst=mac)/outer], iface="br0", verbose=0)
"""
    listener = c.server.start(["python3", "-c", "import socket\ns = socket.socket(socket.AF_INET, "
                               "socket.SOCK_DGRAM)\ns.bind(('', 7777))\ns.settimeout(1.5)\n"
                               "print('ready', flush=True)\ntry:\n  print(s.recv(99))\n"
                               "except TimeoutError: print('nothing')"])
    assert listener.stdout.readline() == "ready\n"
    stranger.run(["/usr/bin/python3", "-c", spoof, c.server.address])
    wait_for(lambda: guard(worker2)["dropPlainInward"] >= 2, "both packets are dropped")
    assert listener.communicate(timeout=5)[0] == "nothing\n"


# --- fail closed ---

def test_kill_9_under_traffic(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    capture = Capture(worker, "eth0")
    steady = Steady(c.client, c.server.address, rate=200)
    worker.agent.kill()
    # Nobody is there: the tunnel's packets are dropped, not sent in the clear.
    assert ping(c.client, c.server.address, count=2, deadline=1) == 0
    before = counters(worker, "wireguard.cali")
    assert before["drop_no_socket"] > 0
    started = time.monotonic()
    c.start_agent(worker, ready=False)
    while c.client.run(f"ping -n -c 1 -W 0.05 {c.server.address}", check=False).returncode:
        assert time.monotonic() - started < 5
    print(f"back after {1000 * (time.monotonic() - started):.0f} ms")
    outcome = steady.stop()
    leaked, _ = judge(capture)
    assert not leaked
    assert outcome["failed"] == 0, outcome
    # It counts on where the other ended.
    assert counters(worker, "wireguard.cali")["drop_no_socket"] >= before["drop_no_socket"]


def test_sigterm_stays_closed_and_cleanup_removes_all(cluster):
    c, worker = cluster, cluster.nodes[1]
    worker.run("ip route add 192.0.2.0/24 via 172.18.0.1 table 1; ip rule add priority 98 from "
               "192.0.2.1 lookup 1; tc qdisc add dev cali1n2 clsact")
    before = worker.run(f"ip -br addr; ip rule; {TABLE}; tc qdisc show")
    enable(c)
    assert worker.agent.stop() == 0
    assert RULE in worker.run("ip rule") and "wireguard.cali" in worker.run(TABLE)
    capture = Capture(worker, "eth0")
    assert ping(c.client, c.server.address, count=2, deadline=1) == 0
    assert not judge(capture)[0]
    worker.run([PODVEIL, "agent", "--cleanup"])
    assert worker.run(f"ip -br addr; ip rule; {TABLE}; tc qdisc show") == before
    assert worker.run("find /run/podveil /sys/fs/bpf/podveil /run/wireguard -type f -o -type s 2>/dev/null "
                      "|| true") == ""
    assert worker.run([PODVEIL, "agent", "--cleanup"]) == ""


def test_a_store_that_says_nothing_switches_nothing_off(cluster):
    """Not mounted when the agent starts: the tunnel stays closed until the store speaks."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.agent.kill()
    for folder in ("nodes", "config"):
        os.rename(os.path.join(c.store, folder), os.path.join(c.store, folder + ".away"))
    capture = Capture(worker, "eth0", "udp port 4789 or net 10.244.0.0/16")
    c.start_agent(worker)
    wait_for(lambda: "the store has no settings" in worker.agent.log(), "it is said")
    assert ping(c.client, c.server.address, count=1, deadline=1) == 0
    leaked, _ = judge(capture)
    assert not leaked
    c.podveil("disable")
    wait_for(lambda: ping(c.client, c.server.address) == 3, "plain again")
    assert "wireguard.cali" not in worker.run("ip -br link")


def test_two_agents_on_one_machine(cluster):
    node = cluster.nodes[1]
    done = node.run([PODVEIL, "agent", "--node", "other", "--store", f"dir:{cluster.store}"],
                    check=False)
    assert done.returncode == 1 and "another agent" in done.stderr
    done = node.run([PODVEIL, "agent", "--cleanup"], check=False)
    assert done.returncode == 1 and "an agent is running" in done.stderr


# --- what somebody changes is put back ---

BREAKING = {
    "rule": ("ip rule del priority 99", lambda n: RULE in n.run("ip rule")),
    "routes": ("ip route del 10.244.2.0/26 table 1; ip route del 10.244.2.0/26 table 1; "
               "ip route del throw 10.244.1.0/26 table 1",
               lambda n: n.run(TABLE).count("dev wireguard.cali") == 2
               and "throw 10.244.1.0/26" in n.run(TABLE)
               and "blackhole 10.244.2.0/26" in n.run(TABLE)),
    "address": ("ip addr del 10.244.1.0/32 dev wireguard.cali",
                lambda n: "10.244.1.0/32" in n.run("ip addr show wireguard.cali")
                and n.run(TABLE).count("dev wireguard.cali") == 2),
    "device": ("ip link del wireguard.cali", lambda n: n.run(TABLE).count("dev wireguard.cali") == 2),
    "down": ("ip link set wireguard.cali down", lambda n: n.run(TABLE).count("dev wireguard.cali") == 2),
    "mtu": ("ip link set wireguard.cali mtu 1300", lambda n: "mtu 1440" in n.run("ip link show wireguard.cali")),
    "name": ("ip link set wireguard.cali down; ip link set wireguard.cali name odd0; ip link set odd0 up || true",
             lambda n: "wireguard.cali" in n.run("ip -br link")),
    "classifier": ("tc filter del dev wireguard.cali egress",
                   lambda n: "classify" in n.run("tc filter show dev wireguard.cali egress")),
    "guard": ("tc filter del dev eth0 egress; tc filter del dev eth0 ingress",
              lambda n: "guard" in n.run("tc filter show dev eth0 egress")
              and "shield" in n.run("tc filter show dev eth0 ingress")),
    "qdisc": ("tc qdisc del dev eth0 clsact", lambda n: "guard" in n.run("tc filter show dev eth0 egress")),
    "steer": ("ip link set pv4.xsk xdpgeneric off", lambda n: "xdpgeneric" in n.run("ip link show pv4.xsk")),
    "pin": ("rm /sys/fs/bpf/podveil/wireguard.cali/peers",
            lambda n: "peers" in n.run("ls /sys/fs/bpf/podveil/wireguard.cali")),
    "pins": ("rm -r /sys/fs/bpf/podveil/wireguard.cali",
             lambda n: "peers" in n.run("ls /sys/fs/bpf/podveil/wireguard.cali 2>/dev/null || true")),
    "key": ("rm /run/podveil/wireguard.key", lambda n: os.path.exists(f"/proc/{n.pid}/root/run/podveil/wireguard.key")),
    "peer": ("wg set wireguard.cali peer $(wg show wireguard.cali peers | head -1) remove",
             lambda n: n.run("wg show wireguard.cali peers").count("\n") == 2),
    "stranger": ("wg set wireguard.cali peer $(wg genkey | wg pubkey) allowed-ips 10.244.2.2/32",
                 lambda n: n.run("wg show wireguard.cali peers").count("\n") == 2),
    "port": ("wg set wireguard.cali listen-port 4000",
             lambda n: "51820" in n.run("wg show wireguard.cali listen-port")),
    "inner": ("ip link set pv4.xsk down", lambda n: "state UP" in n.run("ip link show pv4.xsk")),
    "sysctl": ("sysctl -qw net.ipv4.conf.wireguard/cali.rp_filter=1",
               lambda n: n.run("sysctl -n net.ipv4.conf.wireguard/cali.rp_filter").strip() == "2"),
}


def test_what_is_changed_by_hand_comes_back(cluster):
    c, worker = cluster, cluster.nodes[1]
    worker.run("ip route add 192.0.2.0/24 via 172.18.0.1 table 1")
    enable(c)
    slow, broken = [], []
    for name, (command, mended) in BREAKING.items():
        worker.run(command)
        started = time.monotonic()
        try:
            wait_for(lambda: mended(worker), f"{name} comes back", 5)
        except Failed:
            broken.append(name)
            continue
        if time.monotonic() - started > 1.0:
            slow.append((name, time.monotonic() - started))
        try:
            wait_for(lambda: c.client.run(f"ping -n -c 1 -W 0.2 {c.server.address}",
                                          check=False).returncode == 0, "traffic flows", 8)
        except Failed:
            broken.append(name + " (traffic)")
    assert not broken, worker.agent.log()
    assert not slow
    # What is not ours was never touched.
    assert "192.0.2.0/24 via 172.18.0.1" in worker.run(TABLE)


# --- keys ---

def peers_of(node):
    return set(node.run("wg show wireguard.cali peers").split())


def record(c, node):
    with open(os.path.join(c.store, "nodes", node.name + ".json")) as f:
        return json.load(f)


def write_record(c, document):
    path = os.path.join(c.store, "nodes", document["name"] + ".json")
    with open(path + ".tmp", "w") as f:
        json.dump(document, f)
    os.rename(path + ".tmp", path)


def test_a_lost_key_is_replaced_and_peers_follow(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    old = worker.run("wg show wireguard.cali public-key").strip()
    assert record(c, worker)["wireguardPublicKey"] == old
    assert worker.run("stat -c %a /run/podveil /run/podveil/wireguard.key").split() == ["700", "600"]
    worker.agent.kill()
    worker.run("rm /run/podveil/wireguard.key")
    capture = Capture(worker, "eth0")
    c.start_agent(worker)
    wait_for(c.encrypted, "encrypting with a new key")
    new = worker.run("wg show wireguard.cali public-key").strip()
    assert new != old and record(c, worker)["wireguardPublicKey"] == new
    assert new in peers_of(c.nodes[2]) and old not in peers_of(c.nodes[2])
    assert "stripe" in ask(c.client, c.server.address)
    assert not judge(capture)[0]
    for node in c.nodes:
        private = node.run("wg show wireguard.cali private-key").strip()
        assert private not in node.agent.log() and private not in json.dumps(node.agent.status())


def test_a_port_that_is_taken(cluster):
    """The old one stays; when it is free, it is taken."""
    c, worker = cluster, cluster.nodes[1]
    holder = worker.start(["python3", "-c", "import socket; s = socket.socket(socket.AF_INET, "
                           "socket.SOCK_DGRAM); s.bind(('', 51820)); print('held', flush=True); input()"],
                          stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    c.podveil("enable")
    wait_for(lambda: "cannot listen on the UDP port" in worker.agent.log(), "it is said")
    assert "stripe" in ask(c.client, c.server.address)  # in plain
    holder.communicate("")
    wait_for(c.encrypted, "the port is taken", 15)
    assert worker.agent.log().count("cannot listen on the UDP port") <= 2


def test_our_record_is_put_back(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    mine = record(c, worker)
    write_record(c, {**mine, "wireguardPublicKey": record(c, c.nodes[2])["wireguardPublicKey"]})
    wait_for(lambda: record(c, worker) == mine, "our key is published again", 2)
    os.unlink(os.path.join(c.store, "nodes", worker.name + ".json"))
    wait_for(lambda: os.path.exists(os.path.join(c.store, "nodes", worker.name + ".json"))
             and record(c, worker) == mine, "our record is published again", 2)
    wait_for(c.encrypted, "all nodes encrypt")


def test_two_nodes_with_one_key(cluster):
    """Neither is a peer of the third one, which names both, until one of them changes."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    key = record(c, c.nodes[2])["wireguardPublicKey"]
    write_record(c, {"name": "impostor", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.99.0/26"],
                     "wireguardPublicKey": key})
    wait_for(lambda: key not in peers_of(worker), "neither is a peer")
    wait_for(lambda: "throw 10.244.2.0/26" in worker.run(TABLE), "no route without a peer")
    conflict = worker.agent.status()["conflicts"]
    assert len(conflict) == 1 and "impostor" in conflict[0] and "wireguard-worker2" in conflict[0]
    assert "impostor" in worker.agent.log()
    assert "conflict: " in worker.run([PODVEIL, "status"])
    write_record(c, {"name": "impostor", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.99.0/26"]})
    wait_for(c.encrypted, "repaired")
    wait_for(lambda: not worker.agent.status()["conflicts"], "no conflict is left")


# --- addresses ---

def test_ranges_move_and_tunnel_addresses_change(cluster):
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=300)
    # A range that another node claims as well, then has for itself, then shares in parts.
    other = {"name": "zz-other", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.2.0/26", "10.99.0.0/16"]}
    write_record(c, other)
    wait_for(lambda: worker.agent.status()["conflicts"], "both are named")
    assert "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE)
    write_record(c, {**other, "podCIDRs": ["10.99.0.0/16"]})
    wait_for(lambda: not worker.agent.status()["conflicts"], "it is settled")
    write_record(c, {**record(c, c.nodes[0]), "podCIDRs": ["10.244.0.0/26", "10.99.7.0/24"]})
    # Its agent was told its ranges by a flag and says so again.
    wait_for(lambda: "10.99.7.0/24" not in record(c, c.nodes[0])["podCIDRs"], "the flag wins")
    steady.more()
    # The tunnel address is assigned, changed, taken away: routes stay, and so does the traffic.
    for address in ("10.244.1.60", "10.200.0.1", None):
        document = record(c, worker)
        document.pop("tunnelIPv4", None)
        if address:
            document["tunnelIPv4"] = address
        write_record(c, document)
        expected = address or "10.244.1.0"
        wait_for(lambda: f"src {expected}" in worker.run(TABLE), f"routes from {expected}")
        wait_for(lambda: worker.run("ip -br addr show wireguard.cali").split()[2:] == [expected + "/32"],
                 "the address follows")
        wait_for(lambda: expected in worker2.run("wg show wireguard.cali allowed-ips")
                 or expected == "10.244.1.0" or expected == "10.244.1.60", "peers allow it")
        assert ping(worker, c.server.address) == 3
        steady.more()
    outcome = steady.stop()
    assert outcome["failed"] == 0, outcome


def test_the_uplinks_mtu_is_followed(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.run("ip link set eth0 mtu 1400")
    wait_for(lambda: "mtu 1340" in worker.run("ip link show wireguard.cali"), "60 less than the uplink's")
    # And so is its address.
    worker.run("ip addr add 172.18.0.77/16 dev eth0 && ip addr del 172.18.0.3/16 dev eth0 && "
               "ip addr del 172.18.0.77/16 dev eth0; ip addr add 172.18.0.77/16 dev eth0; "
               "ip route replace default via 172.18.0.1")
    wait_for(lambda: "172.18.0.77:51820" in c.nodes[2].run("wg show wireguard.cali endpoints"),
             "peers know the new address")
    assert ping(c.client, c.server.address) == 3


# --- others on the network ---

def test_a_node_without_encryption_is_talked_to_in_plain(cluster):
    """And in strict mode not at all."""
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    c.configure(node=worker2.name, wireguardEnabled=False)
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "the two others encrypt")
    assert "throw 10.244.2.0/26" in worker.run(TABLE)
    assert "stripe" in ask(c.client, c.server.address)
    wait_for(lambda: guard(worker)["leaks"] > 0, "leaks are counted")
    c.configure(podveilStrictMode=True)
    wait_for(lambda: ping(c.client, c.server.address, count=1, deadline=1) == 0, "strict mode")
    assert guard(worker)["dropLeak"] > 0
    c.configure(node=worker2.name, wireguardEnabled=None)
    wait_for(c.encrypted, "all encrypt")
    assert ping(c.client, c.server.address) == 3


def test_beside_a_wireguard_go_node(cluster):
    """A node that runs another WireGuard, by hand, with its key in the store."""
    c, worker, other = cluster, cluster.nodes[1], cluster.nodes[2]
    other.agent.stop()
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "the two others encrypt")
    other.run("WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 wireguard-go wg0 && wg genkey > /run/key && "
              "wg set wg0 private-key /run/key listen-port 51820 fwmark 0x200000 && ip link set wg0 up mtu 1440")
    public = other.run("wg show wg0 public-key").strip()
    mine = worker.run("wg show wireguard.cali public-key").strip()
    other.run(f"wg set wg0 peer {mine} endpoint {worker.address}:51820 allowed-ips 10.244.1.0/26 && "
              "ip route replace 10.244.1.0/26 dev wg0")
    write_record(c, {**record(c, other), "wireguardPublicKey": public})
    wait_for(lambda: "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE), "a session stands")
    capture = Capture(worker, "eth0")
    assert "stripe" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}


def test_host_encryption(cluster):
    """What nodes say to each other goes through the tunnel, too; a node that lost its key is not
    locked out."""
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    c.configure(wireguardHostEncryptionEnabled=True)
    enable(c)
    wait_for(lambda: "172.18.0.4 dev wireguard.cali" in worker.run(TABLE), "nodes' addresses are routed")
    assert worker.run("sysctl -n net.ipv4.conf.all.src_valid_mark").strip() == "1"
    capture = Capture(worker, "eth0")
    assert ping(worker, worker2.address) == 3
    assert ping(c.client, c.server.address) == 3
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}
    from scapy.layers.inet import ICMP
    assert not any(p.haslayer(ICMP) for p in capture.packets())
    # With strict reverse-path filtering as well.
    for node in (worker, worker2):
        node.run("sysctl -qw net.ipv4.conf.eth0.rp_filter=1 net.ipv4.conf.all.rp_filter=1")
    assert ping(worker, worker2.address) == 3
    # It comes back with another key, and reaches the others outside the tunnel meanwhile.
    worker2.agent.kill()
    worker2.run("ip link del wireguard.cali; rm /run/podveil/wireguard.key; ip rule del priority 99")
    wait_for(lambda: ping(worker2, worker.address, count=1, deadline=1) == 1,
             "the node without a key is reached outside the tunnel", 40)
    c.start_agent(worker2)
    wait_for(c.encrypted, "encrypted again")
    wait_for(lambda: "172.18.0.4 dev wireguard.cali" in worker.run(TABLE), "routed again")
    c.configure(wireguardHostEncryptionEnabled=False)
    wait_for(lambda: worker.run("sysctl -n net.ipv4.conf.all.src_valid_mark").strip() == "0", "undone")
    assert ping(worker, worker2.address) == 3


# --- bad input ---

BAD_SETTINGS = [
    ("wireguardListeningPort", 70000, "1 to 65535"),
    ("wireguardListeningPort", "many", "1 to 65535"),
    ("wireguardEnabled", "maybe", "true or false"),
    ("wireguardMTU", 100, "576 to 65535"),
    ("wireguardInterfaceName", "a/b", "a device name"),
    ("wireguardInterfaceName", "name-that-is-too-long", "a device name"),
    ("wireguardRoutingRulePriority", 0, "1 to 32765"),
    ("wireguardKeepAlive", "soon", "a duration"),
    ("podveilStrictCIDRs", ["10.0.0.0/33"], "address ranges"),
    ("podveilWire", "carrier-pigeon", "auto, socket or xdp"),
    ("podveilWorkers", 99, "0 to 8"),
    ("podveilRouteTable", 254, "1 to 252"),
    ("wireguardListeningPort", {"a": 1}, "1 to 65535"),
]


def test_bad_settings_are_refused_and_the_last_good_ones_stay(cluster):
    c, worker = cluster, cluster.nodes[1]
    c.configure(wireguardListeningPort=51900)
    enable(c)
    for name, value, needs in BAD_SETTINGS:
        c.configure(**{"wireguardListeningPort": 51900, name: value})
        wait_for(lambda: worker.agent.status()["refused"], f"{name}={value} is refused")
        refused = worker.agent.status()["refused"]
        assert name in refused and needs in refused and "default.json" in refused, refused
        assert "51900" in worker.run("wg show wireguard.cali listen-port")
        c.configure(**{name: None, "wireguardListeningPort": 51900, "wireguardEnabled": True})
        wait_for(lambda: not worker.agent.status()["refused"], "nothing is refused any more")
    # What is refused cannot write lines of its own into the log.
    c.configure(wireguardInterfaceName="x\npodveil: level=info event=forged\x1b[31m")
    wait_for(lambda: worker.agent.status()["refused"], "refused")
    assert "forged" in worker.agent.log() and "\npodveil: level=info event=forged" not in worker.agent.log()
    c.configure(wireguardInterfaceName=None)
    wait_for(lambda: not worker.agent.status()["refused"], "nothing is refused any more")
    # Changed for standing peers, too.
    c.configure(wireguardKeepAlive="25s")
    wait_for(lambda: "every 25 seconds" in worker.run("wg show wireguard.cali"), "the keepalive follows")
    # A document that is none leaves everything as it is.
    with open(os.path.join(c.store, "config/default.json"), "w") as f:
        f.write("{ half")
    wait_for(lambda: "default.json" in worker.agent.log().split("setting refused")[-1], "it is named")
    wait_for(c.encrypted, "all nodes encrypt")
    assert worker.run([PODVEIL, "enable", "--store", f"dir:{c.store}"], check=False).returncode == 1


def test_bad_records_are_named_and_others_go_on(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    nodes = os.path.join(c.store, "nodes")
    bad = {
        "half.json": "{\"name\": \"half\", ",
        "array.json": "[]",
        "wrong-name.json": json.dumps({"name": "other"}),
        "bad-cidr.json": json.dumps({"name": "bad-cidr", "podCIDRs": ["10.0.0.0/40"]}),
        "Upper.json": json.dumps({"name": "Upper"}),
        "huge.json": "{" + " " * (2 << 20) + "}",
    }
    for name, text in bad.items():
        with open(os.path.join(nodes, name), "w") as f:
            f.write(text)
    os.mkdir(os.path.join(nodes, "directory.json"))
    os.mkfifo(os.path.join(nodes, "pipe.json"))
    with open(os.path.join(nodes, "README"), "w") as f:
        f.write("not ours")
    for name in bad:
        wait_for(lambda: f"/{name} " in worker.agent.log(), f"{name} is named")
    # A peer's record that breaks stays in force as it was; one that is gone is gone.
    good = record(c, c.nodes[2])
    with open(os.path.join(nodes, "zz-peer.json"), "w") as f:
        json.dump({"name": "zz-peer", "ipv4": "172.18.0.88", "podCIDRs": ["10.88.0.0/24"]}, f)
    wait_for(lambda: "throw 10.88.0.0/24" in worker.run(TABLE), "a good one is taken up")
    with open(os.path.join(nodes, "zz-peer.json"), "w") as f:
        f.write("{ now it is broken")
    wait_for(lambda: "zz-peer.json" in worker.agent.log(), "it is named")
    assert "throw 10.88.0.0/24" in worker.run(TABLE)
    os.unlink(os.path.join(nodes, "zz-peer.json"))
    wait_for(lambda: "10.88.0.0/24" not in worker.run(TABLE), "it is gone")
    assert record(c, c.nodes[2]) == good and c.encrypted()


def test_bad_arguments(cluster):
    node = cluster.nodes[0]
    for arguments, code, message in (
            (["--node", "Bad_Name"], 2, "lower-case letters"),
            (["--pod-cidr", "10.0.0.0/99"], 2, "no address range"),
            (["--node-ip", "there"], 2, "no IPv4 or IPv6 address"),
            (["--wireguardMTU", "12"], 2, "576 to 65535"),
            (["extra"], 2, "no option"),
            (["--log-level", "loud"], 2, "error, warn, info or debug")):
        done = node.run([PODVEIL, "agent", *arguments], check=False)
        assert done.returncode == code and message in done.stderr, (arguments, done.stderr)
    fresh = cluster.add_node()
    done = fresh.run([PODVEIL, "agent", "--store", "cloud:9"], check=False)
    assert done.returncode == 1 and "no such kind of store" in done.stderr
    done = fresh.run([PODVEIL, "agent", "--store", "dir:relative"], check=False)
    assert done.returncode == 1 and "absolute path" in done.stderr
    done = fresh.run([PODVEIL, "status"], check=False)
    assert done.returncode == 1 and "is podveil agent running" in done.stderr
    done = fresh.run([PODVEIL, "enable", "--node", "No!"], check=False)
    assert done.returncode == 2


# --- what the node says of itself ---

def get(node, path, method="GET"):
    """(status, body)"""
    out = node.run(["python3", "-c", """
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", 9586, timeout=5)
c.request(sys.argv[1], sys.argv[2]); r = c.getresponse(); print(r.status); print(r.read().decode(), end="")
""", method, path])
    status, _, body = out.partition("\n")
    return int(status), body


def test_metrics(cluster):
    c, worker = cluster, cluster.nodes[1]
    assert get(worker, "/healthz") == (200, "ok\n")
    assert get(worker, "/readyz") == (200, "ready\n")
    enable(c)
    assert ping(c.client, c.server.address) == 3
    wait_for(lambda: get(worker, "/readyz") == (200, "ready\n"), "ready")
    status, text = get(worker, "/metrics")
    assert status == 200
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    # The names of Calico's own metrics are not promtool's taste.
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if line and not line.startswith("wireguard_")]
    assert not complaints, complaints
    key = worker.run("wg show wireguard.cali public-key").strip()
    other = c.nodes[2].run("wg show wireguard.cali public-key").strip()
    labels = (f'hostname="wireguard-worker",public_key="{key}",iface="wireguard.cali",listen_port="51820",'
              f'peer_key="{other}",peer_endpoint="172.18.0.4:51820"')
    assert f'wireguard_meta{{hostname="wireguard-worker",public_key="{key}",iface="wireguard.cali",' \
           'listen_port="51820"} 1' in text
    sent = re.search(re.escape("wireguard_bytes_sent{" + labels + "}") + r" (\S+)", text)
    received, transmitted = next(line.split()[1:] for line in worker.run(
        "wg show wireguard.cali transfer").splitlines() if line.startswith(other))
    assert 0 < float(sent.group(1)) <= int(transmitted)
    assert f"wireguard_latest_handshake_seconds{{{labels}}} " in text
    assert 'podveil_drops_total{iface="wireguard.cali",reason="bad_tag"} 0' in text
    assert 'podveil_leaks_total{iface="eth0"}' in text
    assert 'podveil_setting_info{name="wireguardEnabled",value="true"} 1' in text
    samples = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples)), "one sample a label set"
    c.configure(prometheusWireGuardMetricsEnabled=False)
    wait_for(lambda: "wireguard_meta" not in get(worker, "/metrics")[1], "switched off")
    assert json.loads(get(worker, "/status")[1])["node"] == "wireguard-worker"
    assert get(worker, "/metrics", "HEAD") == (200, "")
    assert get(worker, "/metrics", "POST")[0] >= 400
    assert get(worker, "/nothing")[0] == 404
    # A peer that never answers.
    write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: get(worker, "/readyz") == (503, "no session with silent yet\n"), "not ready")
    # Out of reach, it is no reason to wait for it.
    wait_for(lambda: get(worker, "/readyz") == (200, "ready\n"), "ready all the same", 30)


def test_hostile_http_clients(cluster):
    """Slow, huge, malformed, many: traffic and honest clients do not notice."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=200)
    before = len(os.listdir(f"/proc/{worker.agent.process.pid}/fd"))
    hostile = worker.start(["python3", "-c", """
import os, socket
held = []
def talk(data):
    s = socket.create_connection(("127.0.0.1", 9586), timeout=5); held.append(s)
    try: s.sendall(data)
    except OSError: pass
    return s
for i in range(400): talk(b"GET /metrics HTTP/1.1\\r\\nX: ")               # never ends
for i in range(20): talk(b"GET /metrics HTTP/1.1\\r\\nX: " + b"a" * 1000000)
for i in range(20): talk(b"POST /metrics HTTP/1.1\\r\\nContent-Length: 999999999999\\r\\n\\r\\n")
for i in range(50): talk(os.urandom(500))
for i in range(20): talk(b"GET /metrics HTTP/1.1\\r\\n\\r\\n" * 50)           # and nobody reads
print("done", flush=True); input()
"""], stdin=subprocess.PIPE)
    assert hostile.stdout.readline() == "done\n"
    # However many come: 64 at a time, and an honest client is served at once.
    wait_for(lambda: len(os.listdir(f"/proc/{worker.agent.process.pid}/fd")) <= before + 64, "64 at most")
    for path in ("/", "/status", "/page.js"):
        assert get(worker, path)[0] == 200
    assert get(worker, "/healthz") == (200, "ok\n")
    assert get(worker, "/metrics")[0] == 200
    steady.more(200)
    hostile.communicate("")
    wait_for(lambda: len(os.listdir(f"/proc/{worker.agent.process.pid}/fd")) <= before, "all are gone")
    outcome = steady.stop()
    assert outcome["failed"] == 0, outcome
    assert worker.agent.process.poll() is None


def test_doctor(cluster):
    c, worker = cluster, cluster.nodes[1]
    out = worker.run([PODVEIL, "doctor"])
    assert "BAD" not in out and re.search(r"^ok +uplink +eth0, MTU 1500", out, re.M)
    enable(c)
    findings = {f["check"]: f for f in json.loads(worker.run([PODVEIL, "doctor", "--json"]))}
    assert findings["port"]["found"] == "51820 is in use, an agent runs here"
    assert findings["agent"]["verdict"] == findings["wireguard.cali"]["verdict"] == "ok"
    sick = c.add_node()
    sick.run("ip link add wireguard.cali type vxlan id 9 dstport 9999 dev eth0; "
             "ip route del default; mount -t tmpfs tmpfs /sys/kernel/btf; "
             "sysctl -qw net.ipv4.conf.all.rp_filter=1")
    holder = sick.start(["python3", "-c", "import socket; s = socket.socket(socket.AF_INET6, "
                         "socket.SOCK_DGRAM); s.bind(('', 51820)); print('held', flush=True); input()"],
                        stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    done = sick.run([PODVEIL, "doctor"], check=False)
    assert done.returncode == 1
    for line in (r"^BAD +wireguard.cali +a device of kind vxlan", r"^BAD +kernel types +no BTF",
                 r"^BAD +uplink +no default route", r"^BAD +port +51820 is in use"):
        assert re.search(line, done.stdout, re.M), done.stdout
    done = sick.run([PODVEIL, "doctor", "--uplink", "eth0"], check=False)
    assert re.search(r"^note +rp_filter", done.stdout, re.M), done.stdout
    # Around the node: pods whose packets are too large, a firewall, a peer that is silent.
    c.configure(wireguardMTU=None)
    write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: len(worker.agent.status()["tunnels"][0]["peers"]) == 3, "the silent one")
    worker.run("ip link set cali1n2 mtu 1500; nft add table inet t; nft add chain inet t input "
               "'{ type filter hook input priority 0; policy accept; }'; "
               "nft add rule inet t input iifname \"nix\" udp dport 51800-51900 drop")
    out = worker.run([PODVEIL, "doctor"], check=False).stdout
    for line in (r"^note +MTU of pods +1500 at most, cali1n2; the tunnel has 1440",
                 r"^BAD +firewall +51820: .*udp dport 51800-51900 drop",
                 r"^note +peers +2 of 3 answered; not: silent"):
        assert re.search(line, out, re.M), out
    worker.run("nft delete table inet t; nft add table inet t; nft add chain inet t input "
               "'{ type filter hook input priority 0; policy drop; }'")
    out = worker.run([PODVEIL, "doctor"], check=False).stdout
    assert re.search(r"^note +firewall +51820: no rule accepts it, and: .*policy drop", out, re.M), out
    assert sick.run([PODVEIL, "doctor", "--what"], check=False).returncode == 2
