# SPDX-License-Identifier: Apache-2.0
"""The agent and its surroundings: other nodes and their ranges, the uplink, a port in use."""
import json
import subprocess

from agents import TABLE, ask, enable, guard, judge, peers_of, record, write_record
from lab import PODVEIL, Capture, wait_for
from traffic import ping
from workload import Steady


REMOTE, ENCRYPTED = 1, 3  # enum pv_guard_kind

# What a hostile node may write in its record, and the reason that is reported. Its name sorts first, and its key is its own
# unless given. worker2's pods are in 10.244.2.0/26; the server is .2 there.
HOSTILE = [
    ("key_held", {"wireguardPublicKey": None}),  # None: worker2's key
    ("range_held", {"podCIDRs": ["10.244.2.0/26"]}),
    ("range_held", {"podCIDRs": ["10.244.2.2/32"]}),
    ("range_held", {"podCIDRs": ["10.0.0.0/8", "10.192.0.0/10"]}),
    ("range_held", {"tunnelIPv4": "10.244.2.2"}),
    ("range_held", {"wireguardPublicKey": "", "podCIDRs": ["10.244.2.2/32"]}),
    ("never_pods", {"podCIDRs": ["0.0.0.0/0", "127.0.0.0/8", "169.254.169.254/32"]}),
    ("never_pods", {"podCIDRs": ["0.0.0.0/1", "128.0.0.0/1"]}),
    ("node_address", {"podCIDRs": ["172.18.0.0/16"]}),
    ("node_address", {"podCIDRs": ["172.18.0.4/32", "172.18.0.3/32"]}),
    ("in_pods", {"ipv4": "10.244.2.2"}),
]


def test_no_node_speaks_for_another(cluster):
    """Whatever a record claims of another node's keys and ranges, that node's traffic continues, encrypted, and the claim is
    reported."""
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    c.configure(wireguardHostEncryptionEnabled=True)
    enable(c)
    key = record(c, worker2)["wireguardPublicKey"]
    wait_for(lambda: "proved.json" in worker.run("ls /run/podveil"), "the proof is saved", 20)
    hostile = {"name": "a-hostile", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.99.0/26"],
               "wireguardPublicKey": "02SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="}
    write_record(c, hostile)
    wait_for(lambda: "10.244.99.0/26" in worker.run(TABLE), "it is a node like others")
    wait_for(lambda: "172.18.0.4 dev wireguard.cali" in worker.run(TABLE), "nodes' addresses are routed")
    routes = set(worker.run(TABLE).splitlines())
    steady, capture = Steady(c.client, c.server.address, rate=300), Capture(worker, "eth0")

    def reasons():
        return {r["reason"] for r in worker.agent.status()["recordsRefused"] if r["node"] == "a-hostile"}
    for reason, says in HOSTILE:
        write_record(c, {**hostile, **says, **({"wireguardPublicKey": key} if None in says.values() else {})})
        wait_for(lambda: reasons() == {reason}, f"{says} is refused as {reason}")
        steady.more()
        assert "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE), says
        assert f"{key}\t10.244.2.0/26 {worker2.address}/32" in worker.run("wg show wireguard.cali allowed-ips"), says
        # Only unreachable routes may be new: for the rest of a claimed range, until it is clear which node has it.
        assert {r for r in worker.run(TABLE).splitlines() if not r.startswith("unreachable ")} <= routes, says
    # An agent that starts now has only what it remembers.
    worker.agent.kill()
    write_record(c, {**hostile, "podCIDRs": ["10.244.2.2/32"], "wireguardPublicKey": key})
    c.start_agent(worker)
    wait_for(lambda: {"key_held", "range_held"} == reasons(), "it knows the owner of each key and range")
    wait_for(lambda: ping(c.client, c.server.address, count=1, deadline=1) == 1, "the session is back")
    assert f"{key}\t10.244.2.0/26" in worker.run("wg show wireguard.cali allowed-ips")
    said = worker.run([PODVEIL, "status"])
    assert "conflict: 10.244.2.2 of a-hostile: the range belongs to another node (wireguard-worker2)" in said
    assert "nodes contradict each other" in worker.agent.log()
    assert 'podveil_records_refused{reason="range_held"} 1' in worker.run("curl -s http://127.0.0.1:9586/metrics")
    write_record(c, hostile)
    wait_for(lambda: not worker.agent.status()["conflicts"], "no conflict is left")
    steady.more()
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}


def test_a_lost_key_is_held_and_a_withdrawn_key_is_not(cluster):
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    enable(c)
    worker2.agent.kill()  # it would write its key again
    document = record(c, worker2)
    del document["wireguardPublicKey"]
    write_record(c, document)
    wait_for(lambda: [r["reason"] for r in worker.agent.status()["recordsRefused"]] == ["key_missing"], "it is held")
    assert "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE)
    write_record(c, {**document, "wireguardEnabled": False})
    wait_for(lambda: "throw 10.244.2.0/26" in worker.run(TABLE), "its key is withdrawn")
    assert worker.agent.status()["recordsRefused"] == []
    c.start_agent(worker2)
    wait_for(c.encrypted, "it is there again")
    assert "wireguardEnabled" not in record(c, worker2)
    c.podveil("disable")
    wait_for(lambda: record(c, worker2).get("wireguardEnabled") is False, "it publishes that it does not encrypt")


def test_ranges_move_and_tunnel_addresses_change(cluster):
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=300)
    # A range that another node also claims, then has alone, then shares in parts.
    other = {"name": "zz-other", "ipv4": "172.18.0.99", "podCIDRs": ["10.244.2.0/26", "10.99.0.0/16"]}
    write_record(c, other)
    wait_for(lambda: worker.agent.status()["conflicts"], "both are named")
    assert "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE)
    write_record(c, {**other, "podCIDRs": ["10.99.0.0/16"]})
    wait_for(lambda: not worker.agent.status()["conflicts"], "the conflict is resolved")
    write_record(c, {**record(c, c.nodes[0]), "podCIDRs": ["10.244.0.0/26", "10.99.7.0/24"]})
    # Its agent has its ranges from an option, and publishes them again.
    wait_for(lambda: "10.99.7.0/24" not in record(c, c.nodes[0])["podCIDRs"], "the flag wins")
    steady.more()
    # The tunnel address is assigned, changed and removed: routes stay, and traffic continues.
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


def test_a_port_that_is_taken(cluster):
    """If the new listening port is in use, the old one stays. The agent takes the new port when it is free."""
    c, worker = cluster, cluster.nodes[1]
    holder = worker.start(["python3", "-c", "import socket; s = socket.socket(socket.AF_INET, "
                           "socket.SOCK_DGRAM); s.bind(('', 51820)); print('held', flush=True); input()"],
                          stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    c.podveil("enable")
    wait_for(lambda: "cannot listen on the UDP port" in worker.agent.log(), "the log says so")
    assert "stripe" in ask(c.client, c.server.address)  # in plain
    holder.communicate("")
    wait_for(c.encrypted, "the port is taken", 15)
    assert worker.agent.log().count("cannot listen on the UDP port") <= 2


def test_the_mtu_follows_the_uplinks(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.run("ip link set eth0 mtu 1400")
    wait_for(lambda: "mtu 1340" in worker.run("ip link show wireguard.cali"), "60 less than the uplink's")
    # The agent follows a new address of the node too.
    worker.run("ip addr add 172.18.0.77/16 dev eth0 && ip addr del 172.18.0.3/16 dev eth0 && "
               "ip addr del 172.18.0.77/16 dev eth0; ip addr add 172.18.0.77/16 dev eth0; "
               "ip route replace default via 172.18.0.1")
    wait_for(lambda: "172.18.0.77:51820" in c.nodes[2].run("wg show wireguard.cali endpoints"),
             "peers know the new address")
    assert ping(c.client, c.server.address) == 3


def test_traffic_with_a_node_without_encryption_is_plain(cluster):
    """Traffic to a node without encryption is in plain; in strict mode, there is none."""
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    c.configure(node=worker2.name, wireguardEnabled=False)
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "the two others encrypt")
    assert "throw 10.244.2.0/26" in worker.run(TABLE)
    assert "stripe" in ask(c.client, c.server.address)
    wait_for(lambda: guard(worker)["leaks"] > 0, "leaks are counted")
    c.configure(podveilStrictMode=True)
    wait_for(lambda: ping(c.client, c.server.address, count=1, deadline=1) == 0, "strict mode")
    assert "Unreachable" in c.client.run(f"ping -n -c 1 -W 1 {c.server.address}", check=False).stdout
    c.configure(node=worker2.name, wireguardEnabled=None)
    wait_for(c.encrypted, "all encrypt")
    assert ping(c.client, c.server.address) == 3


PLAIN = ("leaked", "plainBeforeEncryption", "leakedInward", "plainInwardBeforeEncryption")


def plain(node):
    """The values of the guard's counters in PLAIN, on a node."""
    g = guard(node)
    assert g["leaks"] == g["leaked"] + g["plainBeforeEncryption"], g
    assert g["plainInward"] == g["leakedInward"] + g["plainInwardBeforeEncryption"], g
    return [g[name] for name in PLAIN]


def guard_kind(node, prefix):
    """The kind of a range in the guard's map, an enum pv_guard_kind."""
    dump = json.loads(node.run("bpftool -j map dump pinned /sys/fs/bpf/podveil/guard/guard_ranges4"))
    return {".".join(map(str, e["key"]["address"])): e["value"]["kind"]
            for e in (entry["formatted"] for entry in dump)}[prefix]


def test_what_was_plain_before_encryption_is_no_leak(cluster):
    """Plaintext before encryption began is no leak. Plaintext after it is one, also for the next agent, until the peer itself
    says that it leaves encryption. Only leaks cause an alert and an Event."""
    c, worker, worker2 = cluster, cluster.nodes[1], cluster.nodes[2]
    c.configure(node=worker2.name, wireguardEnabled=False)
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "the two others encrypt")
    assert "stripe" in ask(c.client, c.server.address)
    leaked, before, leaked_inward, before_inward = plain(worker)
    assert leaked == leaked_inward == 0 and before >= 3 and before_inward >= 3
    c.configure(node=worker2.name, wireguardEnabled=None)
    wait_for(c.encrypted, "all encrypt")
    for node, prefix in ((worker, "10.244.2.0"), (worker2, "10.244.1.0")):
        wait_for(lambda: guard_kind(node, prefix) == ENCRYPTED, f"the kernel of {node.name} knows that encryption had begun")
    _, before, _, before_inward = first = plain(worker)
    assert first[0] == first[2] == 0
    # A foreign rule routes around the tunnel.
    around = "priority 50 to 10.244.2.0/26 lookup main"
    worker.run(f"ip rule add {around}")
    assert ping(c.client, c.server.address) == 3
    leaked, *rest = plain(worker)
    assert leaked >= 3 and rest == [before, 0, before_inward], "the answers are encrypted"
    assert plain(worker2)[2] >= 3
    assert f"outward: leaked {leaked}, plain before encryption {before}," in worker.run([PODVEIL, "status"])
    worker.agent.kill()
    assert guard_kind(worker, "10.244.2.0") == ENCRYPTED
    assert ping(c.client, c.server.address, count=1, deadline=1) == 0, "nobody decrypts the answer"
    c.start_agent(worker)
    wait_for(c.encrypted, "the next agent encrypts")
    assert ping(c.client, c.server.address) == 3
    then, (leaked, *rest) = leaked, plain(worker)
    assert leaked >= then + 4 and rest == [before, 0, before_inward]
    worker.run(f"ip rule del {around}")
    # When the node itself says that its encryption is off, plaintext to it is no leak.
    c.configure(node=worker2.name, wireguardEnabled=False)
    wait_for(lambda: "throw 10.244.2.0/26" in worker.run(TABLE), "it is no peer")
    assert guard_kind(worker, "10.244.2.0") == REMOTE
    assert "stripe" in ask(c.client, c.server.address)
    now = plain(worker)
    assert now[0] == leaked and now[1] > before


def test_beside_a_wireguard_go_node(cluster):
    """The agent encrypts with a node that runs another WireGuard, set up by hand, with its key in the store."""
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
    wait_for(lambda: "10.244.2.0/26 dev wireguard.cali" in worker.run(TABLE), "there is a session")
    capture = Capture(worker, "eth0")
    assert "stripe" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert not leaked and ports == {51820}
    # After encryption is switched off, we still read what that node sends encrypted. When it stops, the device is removed.
    c.podveil("disable")
    wait_for(lambda: worker.agent.status()["tunnels"][0]["state"] == "ending", "it is switched off")
    assert not [p for p in worker.agent.status()["tunnels"][0]["peers"] if p["encrypting"]], "no route leads there"
    write_record(c, record_without_key(c, other))
    assert ping(c.server, c.client.address, count=18, interval=0.5, deadline=20) == 18
    assert "wireguard.cali" in worker.run("ip -br link")
    wait_for(lambda: "wireguard.cali" not in worker.run("ip -br link"), "the device is removed", 15)


def record_without_key(c, node):
    return {k: v for k, v in record(c, node).items() if k != "wireguardPublicKey"}


def test_a_nodes_answer_to_a_pod_without_masquerade(cluster):
    """Without masquerade, a node answers a pod through the tunnel with its own address, which is not in its allowed IPs. The
    agent reports why such packets are dropped."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    assert ping(c.client, c.nodes[2].address, deadline=1) == 0
    wait_for(lambda: "source is not among the peer's allowed IPs" in worker.agent.log(), "the log says so")
    assert "natOutgoing" in worker.agent.log() and "  source: the source address is not in" in worker.run([PODVEIL, "status"])
    assert ping(c.client, c.nodes[2].address, deadline=1) == 0
    assert worker.agent.log().count("allowed IPs") == 1


def test_host_encryption(cluster):
    """With host encryption, traffic between nodes goes through the tunnel too, and a node that has lost its key is not locked
    out."""
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
    # The node comes back with another key; meanwhile it reaches the others outside the tunnel. A client that requests
    # an agent's status all the time does not keep that agent from noticing.
    asking = worker.start(["python3", "-c", "import urllib.request\nwhile True: "
                           "urllib.request.urlopen('http://127.0.0.1:9586/status').read()"])
    worker2.agent.kill()
    worker2.run("ip link del wireguard.cali; rm /run/podveil/wireguard.key; ip rule del priority 99")
    wait_for(lambda: ping(worker2, worker.address, count=1, deadline=1) == 1,
             "the node without a key is reached outside the tunnel", 40)
    asking.kill()
    asking.wait()
    c.start_agent(worker2)
    wait_for(c.encrypted, "encrypted again")
    wait_for(lambda: "172.18.0.4 dev wireguard.cali" in worker.run(TABLE), "routed again")
    c.configure(wireguardHostEncryptionEnabled=False)
    wait_for(lambda: worker.run("sysctl -n net.ipv4.conf.all.src_valid_mark").strip() == "0", "the change is undone")
    assert ping(worker, worker2.address) == 3
