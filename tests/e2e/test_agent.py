# SPDX-License-Identifier: Apache-2.0
"""The node agent in a cluster of namespaces: encryption on and off, and refused settings. Captures on the uplink are checked."""
import os
import time

import workload
from agents import RULE, TABLE, ask, enable, judge
from cluster import Cluster
from lab import PODVEIL, Capture, wait_for
from workload import Steady


def test_the_exercise(cluster):
    """Traffic is readable before `enable` and after `disable`, and not between them. Device, rule and routes are as promised."""
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
    # The host's own traffic to a remote pod is encrypted too.
    assert "3 received" in worker.run(f"ping -n -c 3 -i 0.05 {c.server.address}")
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}
    transfer = worker.run("wg show wireguard.cali transfer")
    assert all(int(n) > 0 for line in transfer.splitlines() for n in line.split()[1:])
    c.podveil("disable")
    wait_for(lambda: "fwmark" not in worker.run("ip rule"), "the rule is removed")
    capture = Capture(worker, "eth0")
    assert "stripe_api_key" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert leaked and 4789 in ports
    wait_for(lambda: "wireguard.cali" not in worker.run("ip -br link"), "the device is removed", 15)
    assert worker.run(TABLE) == ""
    assert "clsact" not in worker.run("tc qdisc show dev eth0")
    wait_for(lambda: worker.run("ls /sys/fs/bpf/podveil 2>/dev/null || true") == "", "the pins are removed")


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
    wait_for(lambda: "wg-v6.cali" not in worker.run("ip -br link"), "the device is removed", 15)
    assert "stripe_api_key" in ask(c.client, c.server.address6)
    assert c.encrypted()


def enabled_twice_in_a_moment(c, steady):
    """Switches off and on again, after different pauses: other nodes may have noticed or not. No request is lost."""
    for pause in (0, 0.02, 0.2, 1):
        c.podveil("disable")
        time.sleep(pause)
        c.podveil("enable")
        wait_for(c.encrypted, "all nodes encrypt again", 10)
        steady.more(300)


def test_nothing_is_lost_whatever_changes():
    """No request is lost when encryption is switched, a node joins or leaves, an agent restarts, or MTU and CIDRs change."""
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
        wait_for(lambda: not any(RULE in n.run("ip rule") for n in c.nodes), "the rules are removed")
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
        wait_for(lambda: all("150:" in n.run("ip rule") for n in c.nodes), "the rule has the new priority")
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


def test_two_agents_on_one_machine(cluster):
    """The second agent waits, changes nothing, can be ended, and goes on when the first one ends."""
    c, node = cluster, cluster.nodes[1]
    first = node.agent
    waits = "another agent runs on this machine"

    def start_second():
        agent = c.start_agent(node, ready=False)
        wait_for(lambda: waits in agent.log() or agent.process.poll() is not None, "the second agent says that it waits")
        assert agent.process.poll() is None, agent.log()
        return agent

    try:
        second = start_second()
        assert second.stop(tunnel=False) == 0 and "cannot start" not in second.log()
    finally:
        node.agent = first
    done = node.run([PODVEIL, "agent", "--cleanup"], check=False)
    assert done.returncode == 1 and "an agent runs on this machine" in done.stderr
    second = start_second()
    assert "agent started" not in second.log()
    first.stop(tunnel=False)
    wait_for(lambda: c._synced(second), "the second agent goes on")
    assert second.log().count(waits) == 1 and "cannot" not in second.log()


def test_bad_arguments(cluster):
    node = cluster.nodes[0]
    for arguments, code, message in (
            (["--node", "Bad_Name"], 2, "lower-case letters"),
            (["--pod-cidr", "10.0.0.0/99"], 2, "not an address range"),
            (["--node-ip", "there"], 2, "not an IPv4 or IPv6 address"),
            (["--wireguardMTU", "12"], 2, "576 to 65535"),
            (["extra"], 2, "unexpected argument"),
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
