# SPDX-License-Identifier: Apache-2.0
"""A request a millisecond, by UDP and by TCP, while settings are switched: none is lost."""
import contextlib
import os
import time

from cluster import Cluster
from hosts import wait_for
from traffic import Requests


def link(node, name="wireguard.cali"):
    return node.run(["ip", "-d", "link", "show", name], check=False).stdout


def workers(node):
    """Threads of the agent that carry packets."""
    names = set()
    tasks = f"/proc/{node.agent.process.pid}/task"
    for task in os.listdir(tasks):
        with contextlib.suppress(OSError), open(f"{tasks}/{task}/comm") as f:  # it may end meanwhile
            names.add(f.read().strip())
    return {n for n in names if n.startswith("podveil-w")}


def port(node):
    return node.run("wg show wireguard.cali listen-port").strip()


def keepalives(node):
    return set(node.run("wg show wireguard.cali persistent-keepalive").split()[1::2])


def tunnel(node):
    return next(t for t in node.agent.status()["tunnels"] if t["family"] == "ipv4")


# Setting, value, and how it shows on a node that it holds.
SWITCHES = [
    ("wireguardMTU", 1400, lambda n: "mtu 1400" in link(n)),
    ("wireguardMTU", 0, lambda n: "mtu 1440" in link(n)),
    ("wireguardListeningPort", 51999, lambda n: port(n) == "51999"),
    ("wireguardListeningPort", 51820, lambda n: port(n) == "51820"),
    ("podveilRouteTable", 7, lambda n: "lookup 7" in n.run("ip rule") and "lookup 1\n" not in n.run("ip rule")),
    ("podveilRouteTable", 1, lambda n: "lookup 1" in n.run("ip rule") and "lookup 7" not in n.run("ip rule")),
    ("wireguardRoutingRulePriority", 77, lambda n: "77:" in n.run("ip rule") and "99:" not in n.run("ip rule")),
    ("wireguardRoutingRulePriority", 99, lambda n: "99:" in n.run("ip rule") and "77:" not in n.run("ip rule")),
    ("wireguardKeepAlive", "1s", lambda n: keepalives(n) == {"1"}),
    ("wireguardKeepAlive", "0s", lambda n: keepalives(n) == {"off"}),
    ("wireguardHostEncryptionEnabled", True, lambda n: "172.18.0.0/16" not in n.run("ip route show table 1")
     and "172.18.0." in n.run("ip route show table 1")),
    ("wireguardHostEncryptionEnabled", False, lambda n: "172.18.0." not in n.run("ip route show table 1")),
    ("podveilWorkers", 3, lambda n: len(workers(n)) == 3),
    ("podveilWorkers", 2, lambda n: len(workers(n)) == 2),
    ("podveilWorkers", 8, lambda n: len(workers(n)) == 8),
    ("podveilWorkers", 1, lambda n: len(workers(n)) == 1),
    ("podveilWire", "xdp", lambda n: tunnel(n)["wire"] == "xdp"),
    ("podveilWorkers", 2, lambda n: len(workers(n)) == 2),
    ("podveilWorkers", 1, lambda n: len(workers(n)) == 1),
    ("podveilWire", "socket", lambda n: tunnel(n)["wire"] == "socket"),
    ("podveilLowLatency", True, lambda n: tunnel(n)["lowLatency"]),
    ("podveilLowLatency", False, lambda n: not tunnel(n)["lowLatency"]),
]


def test_no_request_is_lost_by_a_switch():
    with Cluster(2) as c:
        pods = [c.pod(c.nodes[0], f"client{i}") for i in range(2)] + [c.pod(c.nodes[1], f"server{i}") for i in range(2)]
        for node in c.nodes:
            c.start_agent(node)
        datagrams = Requests(pods[0], pods[2], pods[2].address)
        stream = Requests(pods[1], pods[3], pods[3].address, kind="tcp")
        begun = [(time.time(), "enable")]
        c.podveil("enable")
        wait_for(c.encrypted, "both encrypt")
        indices = {n.name: link(n).split(":")[0] for n in c.nodes}
        for setting, value, shows in SWITCHES:
            begun.append((time.time(), f"{setting}={value}"))
            c.configure(**{setting: value})
            for node in c.nodes:
                wait_for(lambda: shows(node), f"{setting} {value} on {node.name}")
        assert c.encrypted()
        assert indices == {n.name: link(n).split(":")[0] for n in c.nodes}, "a device was made anew"
        begun.append((time.time(), "disable"))
        c.podveil("disable")
        for node in c.nodes:
            wait_for(lambda: not link(node), f"the device of {node.name} goes", 20)
        udp, tcp = datagrams.stop(), stream.stop()
        blame = sorted({max(b for b in begun if b[0] <= at)[1] if at >= begun[0][0] else "before" for at in udp["lost_at"]})
        assert udp["lost"] == 0 and udp["refused"] == 0, (blame, udp["lost"])
        assert not tcp["broken"] and tcp["lost"] == 0
