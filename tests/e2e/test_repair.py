# SPDX-License-Identifier: Apache-2.0
"""The agent puts back what is changed by hand: device, routes, programs, keys, records."""
import json
import os

from agents import FILTERS, RULE, TABLE, ask, enable, judge, peers_of, record, write_record
from lab import Capture, Failed, wait_for


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
    "guard": (f"{FILTERS} remove eth0 egress; {FILTERS} remove eth0 ingress",
              lambda n: n.run([FILTERS, "list", "eth0", "egress"]) == "guard\n"
              and n.run([FILTERS, "list", "eth0", "ingress"]) == "shield\n"),
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


def test_manual_changes_are_reverted(cluster):
    c, worker = cluster, cluster.nodes[1]
    worker.run("ip route add 192.0.2.0/24 via 172.18.0.1 table 1")
    enable(c)
    broken = []
    for name, (command, mended) in BREAKING.items():
        worker.run(command)
        try:
            wait_for(lambda: mended(worker), f"{name} comes back", 5)
        except Failed:
            broken.append(name)
            continue
        try:
            wait_for(lambda: c.client.run(f"ping -n -c 1 -W 0.2 {c.server.address}",
                                          check=False).returncode == 0, "traffic flows", 8)
        except Failed:
            broken.append(name + " (traffic)")
    assert not broken, worker.agent.log()
    # Foreign routes were never changed.
    assert "192.0.2.0/24 via 172.18.0.1" in worker.run(TABLE)


def test_manual_changes_before_a_settings_change_are_reverted(cluster):
    """A manual change just before a new setting is also put back. The agent checks twice a second, so it gets the setting
    first."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    peers = peers_of(worker)
    for level in ("debug", "info", "debug", "info"):
        worker.run(f"wg set wireguard.cali peer {min(peers)} remove")
        c.configure(podveilLogLevel=level)
        wait_for(lambda: peers_of(worker) == peers, f"the peer comes back, {level}", 2)


def test_a_lost_key_is_replaced_and_peers_follow(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    old = worker.run("wg show wireguard.cali public-key").strip()
    assert record(c, worker)["wireguardPublicKey"] == old
    assert worker.run("stat -c %a /run/podveil /run/podveil/wireguard.key /run/podveil/agent.sock").split() == [
        "700", "600", "600"]
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


def test_a_key_that_others_could_read_is_replaced(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    old = worker.run("wg show wireguard.cali public-key").strip()
    worker.agent.kill()
    worker.run("chmod 644 /run/podveil/wireguard.key")
    c.start_agent(worker)
    wait_for(lambda: worker.run("wg show wireguard.cali public-key").strip() not in ("", "(none)", old), "a new key")
    assert "a regular file of mode 0600" in worker.agent.log()
    assert worker.run("stat -c %a /run/podveil/wireguard.key").strip() == "600"
    wait_for(c.encrypted, "encrypting with the new key")


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
