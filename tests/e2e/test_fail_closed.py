# SPDX-License-Identifier: Apache-2.0
"""Nothing leaves in plain: with strict mode, when agents end, and when a store does not answer."""
import json
import os
import subprocess
import time

from agents import FILTERS, RULE, TABLE, enable, guard, judge, record, write_record
from cluster import Cluster
from lab import PODVEIL, Capture, wait_for
from traffic import counters, ping
from workload import Steady


def test_strict_mode_leaks_nothing(cluster):
    """In strict mode, no packet leaves in plain from the start, whatever happens to the agent and its device."""
    c, worker = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
    enable(c)
    capture = Capture(worker, "eth0")
    steady = Steady(c.client, c.server.address, rate=1000)
    # An address that nobody has published.
    worker.run("ip route add 10.244.77.0/26 via 10.244.2.1 dev vxlan.calico onlink")
    assert "Unreachable" in c.client.run("ping -n -c 1 -W 1 10.244.77.7", check=False).stdout
    for breaking in ("ip link del wireguard.cali", "ip route flush table 1",
                     "ip rule del priority 99", "ip link set wireguard.cali down",
                     "ip addr flush dev wireguard.cali", f"{FILTERS} remove eth0 egress",
                     "ip link set pv4.xsk xdpgeneric off", "rm -r /sys/fs/bpf/podveil/*"):
        worker.run(breaking)
        time.sleep(0.2)
        wait_for(c.encrypted, f"encrypting again after: {breaking}", 10)
    pin = "/sys/fs/bpf/podveil/guard/guard_counters"
    wait_for(lambda: worker.run(f"ls {pin} 2>/dev/null || true"), "the pins are back")
    # The guard works without the agent and without the first line (test_first_line.py): packets that miss the tunnel do
    # not leave.
    worker.agent.kill()
    worker.run("ip rule del priority 99; ip rule del priority 100; nft delete table inet podveil")
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
    # Slow at times, but nothing is lost without a word: while no route leads into the tunnel, a sender learns that at once.
    assert outcome["failed"] == sum("No route to host" in e for e in outcome["errors"]), outcome


def test_plaintext_does_not_come_in(cluster):
    """In strict mode, plaintext from a stranger that pretends to be a remote pod does not reach a pod."""
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
    assert listener.communicate(timeout=60)[0] == "nothing\n"


def test_kill_9_under_traffic(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    capture = Capture(worker, "eth0")
    steady = Steady(c.client, c.server.address, rate=200)
    worker.agent.kill()
    # Without the agent, the tunnel's packets are dropped, not sent in plain.
    assert ping(c.client, c.server.address, count=2, deadline=1) == 0
    before = counters(worker, "wireguard.cali")
    assert before["drop_no_socket"] > 0
    started = time.monotonic()
    c.start_agent(worker, ready=False)
    wait_for(lambda: c.client.run(f"ping -n -c 1 -W 0.05 {c.server.address}", check=False).returncode == 0, "traffic flows", 5)
    print(f"back after {1000 * (time.monotonic() - started):.0f} ms")
    outcome = steady.stop()
    leaked, _ = judge(capture)
    assert not leaked
    assert outcome["failed"] == 0, outcome
    # It continues the counters of the killed agent.
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


def test_an_empty_store_switches_nothing_off(cluster):
    """An agent without memory that starts while its store is not mounted keeps the tunnel closed until the store is back."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.agent.kill()
    worker.run("rm /run/podveil/store.json")
    for folder in ("nodes", "config"):
        os.rename(os.path.join(c.store, folder), os.path.join(c.store, folder + ".away"))
    capture = Capture(worker, "eth0", "udp port 4789 or net 10.244.0.0/16")
    c.start_agent(worker)
    wait_for(lambda: "the store has no settings" in worker.agent.log(), "the log says so")
    assert ping(c.client, c.server.address, count=1, deadline=1) == 0
    leaked, _ = judge(capture)
    assert not leaked
    c.podveil("disable")
    wait_for(lambda: ping(c.client, c.server.address) == 3, "plain again")
    assert "wireguard.cali" not in worker.run("ip -br link")


def test_strict_mode_does_not_wait_for_a_session():
    """In strict mode, packets for a peer that has not answered yet wait in the tunnel; they are not refused."""
    with Cluster(1) as c:
        node = c.nodes[0]
        c.configure(wireguardEnabled=True, podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16"])
        c.start_agent(node, ready=False)
        wait_for(lambda: os.path.isdir(os.path.join(c.store, "nodes")), "the agent has made the store")
        write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.99.0/26"],
                         "wireguardPublicKey": node.run("wg genkey | wg pubkey").strip()})
        wait_for(lambda: "10.244.99.0/26 dev wireguard.cali" in node.run(TABLE, check=False).stdout, "its pods are routed into the tunnel")
        assert node.run("wg show wireguard.cali latest-handshakes").split()[-1] == "0"


def test_a_range_that_two_claim_is_not_reached_in_plain():
    """A freshly booted node does not know yet which node proved its range. A hostile record that claims the same range does
    not make it send in plain."""
    with Cluster(2) as c:
        fresh, victim = c.nodes
        client, server = c.pod(fresh, "client"), c.pod(victim, "server")
        c.configure(wireguardEnabled=True)
        c.start_agent(victim)
        wait_for(lambda: os.path.exists(os.path.join(c.store, "nodes", victim.name + ".json"))
                 and record(c, victim).get("wireguardPublicKey"), "the victim publishes its key")
        write_record(c, {"name": "hostile", "ipv4": "172.18.0.99", "podCIDRs": [victim.pods4],
                         "wireguardPublicKey": fresh.run("wg genkey | wg pubkey").strip()})
        capture = Capture(c.switch, "any", "udp port 4789 or net 10.244.0.0/16")
        c.start_agent(fresh, ready=False)
        wait_for(lambda: f"unreachable {victim.pods4}" in fresh.run(TABLE, check=False).stdout, "it is unreachable")
        assert "Unreachable" in client.run(f"ping -n -c 1 -W 1 {server.address}", check=False).stdout
        refused = fresh.agent.status()["recordsRefused"]
        assert {r["node"] for r in refused if r["reason"] == "range_contested"} == {"hostile", victim.name}
        # The conflict ends when one of the two gives the range up.
        os.unlink(os.path.join(c.store, "nodes", "hostile.json"))
        wait_for(lambda: ping(client, server.address, count=1, deadline=1), "and reached again")
        leaked, _ = judge(capture)
        assert not leaked, [p.summary() for p in leaked[:5]]


def test_strict_mode_encrypts_nothing_without_its_guard():
    """If the guard cannot be attached, nothing is encrypted, no key is published, and the first line is in force."""
    with Cluster(2) as c:
        node = c.nodes[0]
        # Other programs have all the places on the uplink.
        others = node.start(["python3", FILTERS, "stand", "eth0", "egress", "63"], stdin=subprocess.PIPE)
        assert others.stdout.readline() == "stands\n"
        c.configure(wireguardEnabled=True, podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16"])
        c.start_agent(node, ready=False)
        wait_for(lambda: "the guard cannot be attached" in node.agent.log(), "the log says so")
        assert "lookup 20566" in node.run("ip rule") and "99:" not in node.run("ip rule")
        assert "wireguardPublicKey" not in (record(c, node) if os.path.exists(
            os.path.join(c.store, "nodes", node.name + ".json")) else {})
        others.communicate("\n")
        c.configure(wireguardMTU=1400)  # it tries again at once
        wait_for(lambda: RULE in node.run("ip rule"), "it encrypts")
        assert record(c, node)["wireguardPublicKey"]
