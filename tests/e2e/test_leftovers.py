# SPDX-License-Identifier: Apache-2.0
"""What an agent has made is removed when it is no longer needed, also if settings changed while no agent ran. What other
programs have made stays."""
import random
import re
import time

import pytest

from agents import TABLE, enable, judge
from lab import PODVEIL, Capture, Failed, wait_for
from traffic import ping

# Everything that an agent could leave on a machine.
STATE = {
    "rules": "ip rule; ip -6 rule",
    "routes": "ip -N route show table all; ip -6 -N route show table all",
    "devices": "ip -br link | sort; ip -br addr | sort",
    "tc": "tc qdisc show; for d in $(ls /sys/class/net); do for side in ingress egress; do "
          "echo $d $side; tc filter show dev $d $side; done; done",
    "attached": "bpftool -j net show",
    "links": "bpftool -j link show | python3 -c 'import json, os, sys\n"
             "here = {os.path.basename(p) for p in os.listdir(\"/sys/class/net\")}\n"
             "print([l for l in json.load(sys.stdin) if l.get(\"devname\") in here])'",
    "pins": "find /sys/fs/bpf | sort",
    "nftables": "nft list ruleset",
    "files": "find /run/podveil /run/wireguard -type f -o -type s | sort",
    "sysctl": "sysctl -n net.ipv4.conf.all.src_valid_mark",
}


def state(node):
    def text(command):
        # Remove interface numbers, which only grow, and lifetimes.
        out = re.sub(r"@if\d+|\bexpires \d+sec|\"ifindex\":\d+,?|ifindex \d+", "", node.run(command))
        return "\n".join(line for line in out.splitlines() if "fe80" not in line and "multicast" not in line)
    return {what: text(command) for what, command in STATE.items()}


def difference(node, before):
    now = state(node)
    return {what: (before[what], now[what]) for what in STATE if now[what] != before[what]}


def start_and_stop(node, c, **settings):
    """Starts an agent with these settings, waits until it encrypts, and kills it."""
    c.configure(**settings)
    c.start_agent(node)
    wait_for(lambda: c.encrypted([node]), "it does")
    node.agent.kill()


FOREIGN = ("ip rule add priority 99 not fwmark 0x200000/0x200000 lookup 1; "
           "ip rule add priority 99 not fwmark 0x200000/0x200000 iif eth0 lookup 1; "
           "ip rule add priority 150 not fwmark 0x200000/0x200000 iif eth0 lookup 77; "
           "ip -6 rule add priority 99 not fwmark 0x200000/0x200000 iif eth0 lookup 1; "
           "ip route add 192.0.2.0/24 via 172.18.0.1 table 1; ip route add 192.0.2.0/24 via 172.18.0.1 table 77; "
           "ip route add blackhole 198.51.100.0/24 table 1; "
           "ip link add odd0 type veth peer name odd1")


@pytest.fixture
def worker(cluster):
    """A node whose agent has ended, with foreign rules and routes that are similar to ours."""
    c, node = cluster, cluster.nodes[1]
    node.agent.stop()
    node.run([PODVEIL, "agent", "--cleanup"])
    node.run(FOREIGN)
    return node


OTHERS = {"podveilRouteTable": 77, "wireguardRoutingRulePriority": 150, "wireguardInterfaceName": "pv-odd0",
          "wireguardInterfaceNameV6": "pv-odd6", "wireguardEnabled": True, "wireguardEnabledV6": True}


@pytest.mark.parametrize("strict", [False, True])
def test_what_is_changed_while_no_agent_runs(cluster, worker, strict):
    """Table, priority or name change while no agent runs; then encryption is switched off. The next agent removes the old
    state, and nothing leaves in plain meanwhile."""
    c = cluster
    before = state(worker)
    ranges = ["10.244.0.0/16", "fd00:10:244::/48"] if strict else []
    c.configure(podveilStrictMode=strict, podveilStrictCIDRs=ranges, **OTHERS)
    c.start_agent(worker)
    wait_for(lambda: c.encrypted() and c.encrypted(family="ipv6"), "all nodes encrypt")
    assert "lookup 77" in worker.run("ip rule") and "dev pv-odd0" in worker.run("ip route show table 77")
    worker.agent.kill()
    capture = Capture(worker, "eth0")
    c.configure(**{name: None for name in OTHERS if "Enabled" not in name})
    c.start_agent(worker)
    wait_for(lambda: c.encrypted() and c.encrypted(family="ipv6"), "all nodes encrypt")
    wait_for(lambda: "proto 92" not in worker.run("ip rule show table 77; ip -6 rule show table 77"), "the old rules are removed")
    assert worker.run("ip route show table 77") == "192.0.2.0/24 via 172.18.0.1 dev eth0 \n"
    assert worker.run("ip -6 route show table 77 2>/dev/null || true") == ""
    assert "pv-odd" not in worker.run("ip -br link; find /sys/fs/bpf /run/podveil /run/wireguard")
    assert ping(c.client, c.server.address) == 3 and ping(c.client, c.server.address6) == 3
    leaked, _ = judge(capture)
    assert not leaked, [p.summary() for p in leaked[:5]]
    worker.agent.kill()
    c.configure(wireguardEnabled=False, wireguardEnabledV6=False, podveilStrictMode=None, podveilStrictCIDRs=None)
    c.start_agent(worker)
    wait_for(lambda: ping(c.client, c.server.address, count=1) and ping(c.client, c.server.address6, count=1),
             "pods are free")
    worker.agent.stop()
    worker.run("rm -f /run/podveil/wireguard*.key")
    # The files that remember settings may differ; nothing else may.
    assert not {k: v for k, v in difference(worker, before).items() if k != "files"}


@pytest.mark.parametrize("strict", [False, True])
def test_cleanup_needs_no_settings(cluster, worker, strict):
    """--cleanup removes everything without knowing table, priority and name, also after the default route has moved."""
    c = cluster
    c.switch.run("ip link add port-two type veth peer name eth1 netns " + str(worker.pid) +
                 " && ip link set port-two master br0 up")
    worker.run("ip link set eth1 up && ip addr add 172.18.1.3/16 dev eth1")
    before = state(worker)
    c.configure(podveilStrictMode=strict, podveilStrictCIDRs=["10.244.0.0/16"], wireguardHostEncryptionEnabled=not strict,
                **OTHERS)
    c.start_agent(worker)
    wait_for(lambda: c.encrypted(c.nodes), "all nodes encrypt", 30)
    worker.agent.kill()
    worker.run("ip route replace default via 172.18.0.1 dev eth1")
    assert worker.run([PODVEIL, "agent", "--cleanup"]) == ""
    worker.run("ip route replace default via 172.18.0.1 dev eth0")
    assert not difference(worker, before)
    # So does an agent with --cleanup-on-exit that was started after a killed one.
    c.start_agent(worker)
    wait_for(lambda: c.encrypted([worker]), "it encrypts")
    worker.agent.kill()
    c.configure(podveilRouteTable=78)
    c.start_agent(worker, "--cleanup-on-exit", ready=False)
    wait_for(lambda: worker.agent.status(), "it runs")
    assert worker.agent.stop() == 0 and not difference(worker, before), worker.agent.log()
    # A second --cleanup finds nothing.
    assert worker.run([PODVEIL, "agent", "--cleanup"]) == "" and not difference(worker, before)


def test_cleanup_reports_what_is_left(cluster, worker):
    c = cluster
    enable_only(c)
    c.start_agent(worker)
    wait_for(c.encrypted, "all nodes encrypt")
    worker.agent.kill()
    worker.run("mount --bind /run/podveil/wireguard.key /run/podveil/wireguard.key")
    done = worker.run([PODVEIL, "agent", "--cleanup"], check=False)
    assert done.returncode == 1 and "these are left:\nfile /run/podveil/wireguard.key\n" in done.stderr
    assert "proto 92" not in worker.run("ip rule") and "pv4.xsk" not in worker.run("ip -br link")
    worker.run("umount /run/podveil/wireguard.key")
    assert worker.run([PODVEIL, "agent", "--cleanup"]) == ""


def enable_only(c):
    c.podveil("enable")


def test_foreign_rules_and_routes_stay(cluster, worker):
    """What is similar to ours stays: foreign rules with the same priority and table, foreign routes in the same table, and bare
    devices with their pins, also a device that was moved into a pod."""
    c = cluster
    for name in ("wg0", "wg1"):
        worker.run([PODVEIL, "device", name])
    worker.run(f"ip link set wg1 netns {c.client.pid}")
    before = state(worker)
    enable_only(c)
    c.start_agent(worker)
    wait_for(c.encrypted, "all nodes encrypt")
    assert ping(c.client, c.server.address) == 3
    c.podveil("disable")
    wait_for(lambda: "pv4.xsk" not in worker.run("ip -br link"), "the device is removed", 30)
    worker.agent.stop()
    worker.run([PODVEIL, "agent", "--cleanup"])
    assert not difference(worker, before)
    worker.run("ip link del wg0")
    c.client.run("ip link del wg1")


@pytest.mark.parametrize("broken", ["rm -r /run/podveil", "rm /run/podveil/*; mount -t tmpfs -o size=4k,nr_inodes=2 full "
                                    "/run/podveil; touch /run/podveil/fills"])
def test_an_agent_repairs_without_its_files(cluster, broken):
    """If /run/podveil is deleted or full, an agent still repairs everything else and reports what it cannot do."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.run(broken)
    for breaking, mended in (("ip rule del priority 99", lambda: "lookup 1 " in worker.run("ip rule")),
                             ("ip route flush table 1", lambda: worker.run(TABLE).count("dev wireguard.cali") == 2),
                             ("tc filter del dev wireguard.cali egress",
                              lambda: "classify" in worker.run("tc filter show dev wireguard.cali egress"))):
        worker.run(breaking)
        wait_for(mended, f"repaired after: {breaking}", 5)
    assert ping(c.client, c.server.address) == 3
    if "full" in broken:
        wait_for(lambda: "the private key cannot be saved" in worker.agent.log(), "the log says so")
        assert worker.agent.log().count("the private key cannot be saved") == 1
        worker.run("umount /run/podveil")
    wait_for(lambda: worker.run("cat /run/podveil/wireguard.key 2>/dev/null | wg pubkey 2>/dev/null || true") ==
             worker.run("wg show wireguard.cali public-key"), "the key's file is there again")
    wait_for(lambda: worker.agent.status(), "status answers again")
    done = worker.run([PODVEIL, "agent", "--cleanup"], check=False)
    assert done.returncode == 1 and "an agent runs on this machine" in done.stderr


def test_killed_at_any_time(cluster, worker):
    """After kill -9 at any moment, also while the agent changes something, --cleanup removes everything."""
    c = cluster
    before = state(worker)
    dice = random.Random(14)
    for i in range(6):
        c.configure(wireguardEnabled=dice.random() < 0.7, wireguardEnabledV6=dice.random() < 0.5,
                    podveilStrictMode=i % 2 == 0, podveilStrictCIDRs=["10.244.0.0/16"],
                    podveilRouteTable=dice.choice([1, 77]), wireguardRoutingRulePriority=dice.choice([99, 150]),
                    wireguardInterfaceName=dice.choice(["wireguard.cali", "pv-odd0"]))
        c.start_agent(worker, ready=False)
        time.sleep(dice.random() * 0.4)
        c.configure(wireguardEnabled=dice.random() < 0.7, podveilRouteTable=dice.choice([1, 77]))
        time.sleep(dice.random() * 0.2)
        worker.agent.kill()
    # A tunnel process that the last agent had just started may come up after it.
    wait_for(lambda: not worker.run("pgrep --ns $$ --nslist net -x podveil-starter || true"), "nobody starts one any more")

    def clean():
        worker.run([PODVEIL, "agent", "--cleanup"])
        return not difference(worker, before)
    wait_for(clean, "all is removed")


def problem(node):
    return node.agent.status()["tunnels"][0]["problem"]


def test_a_foreign_device_has_the_name(cluster, worker):
    """A foreign device with the tunnel's name is left alone, and so are its routes. The agent reports whose it is until the
    name is free."""
    c = cluster
    worker.run("ip link add wireguard.cali type vxlan id 9 dstport 9999 dev eth0 && ip link set wireguard.cali up && "
               "ip route add 203.0.113.0/24 dev wireguard.cali table 1; ip addr add 203.0.113.1 dev wireguard.cali")
    before = state(worker)
    c.start_agent(worker)
    worker.agent.stop()
    assert not {k: v for k, v in difference(worker, before).items() if k != "files"}
    enable_only(c)
    c.start_agent(worker, ready=False)
    wait_for(lambda: worker.agent.status() and problem(worker), "the log says so")
    assert "device of kind vxlan that another program created" in problem(worker)
    assert "ip link delete wireguard.cali" in worker.run([PODVEIL, "status"])
    time.sleep(1.5)  # it tries again
    assert worker.agent.log().count("the tunnel device cannot be created") == 1
    assert "203.0.113.0/24 dev wireguard.cali" in worker.run(TABLE)
    worker.run("ip link delete wireguard.cali")
    wait_for(c.encrypted, "all nodes encrypt", 20)
    assert not problem(worker)


def test_the_device_is_deleted_repeatedly(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    for _ in range(3):
        wait_for(lambda: c.encrypted([worker]), "the device is in use")
        index = worker.run("cat /sys/class/net/wireguard.cali/ifindex")
        worker.run("ip link delete wireguard.cali")
        wait_for(lambda: worker.run("cat /sys/class/net/wireguard.cali/ifindex 2>/dev/null || true") not in ("", index),
                 "it is created again")
    wait_for(lambda: "again and again" in (problem(worker) or ""), "the problem is reported")
    assert worker.agent.log().count("again and again") == 1 and "Felix" in worker.agent.log()
