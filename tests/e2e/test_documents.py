# SPDX-License-Identifier: Apache-2.0
"""Invalid settings and records are reported, and the last valid ones stay in force."""
import json
import os
import re

from agents import TABLE, enable, record
from lab import PODVEIL, wait_for


def every_setting(node):
    """{name: allowed values}, from --help."""
    return dict(re.findall(r"^  --(\w+) .*\(([^()]*); default [^()]*\)$", node.run([PODVEIL, "agent", "--help"]), re.M))


BAD_SETTINGS = [
    ("wireguardListeningPort", 70000, "1 to 65535"),
    ("wireguardListeningPort", "many", "1 to 65535"),
    ("wireguardEnabled", "maybe", "true or false"),
    ("wireguardMTU", 100, "576 to 65535"),
    ("wireguardInterfaceName", "a/b", "a device name"),
    ("wireguardInterfaceName", "name-that-is-too-long", "a device name"),
    ("wireguardRoutingRulePriority", 0, "1 to 32764"),
    ("wireguardKeepAlive", "soon", "a duration"),
    ("podveilStrictCIDRs", ["10.0.0.0/33"], "address ranges"),
    ("podveilWire", "carrier-pigeon", "auto, socket or xdp"),
    ("podveilLowLatency", "very", "true or false"),
    ("podveilWorkers", 99, "0 to 8"),
    ("podveilRouteTable", 254, "1 to 252"),
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
    # A refused value cannot add lines to the log.
    c.configure(wireguardInterfaceName="x\npodveil: level=info event=forged\x1b[31m")
    wait_for(lambda: worker.agent.status()["refused"], "refused")
    assert "forged" in worker.agent.log() and "\npodveil: level=info event=forged" not in worker.agent.log()
    c.configure(wireguardInterfaceName=None)
    wait_for(lambda: not worker.agent.status()["refused"], "nothing is refused any more")
    # A new keepalive also applies to existing peers.
    c.configure(wireguardKeepAlive="25s")
    wait_for(lambda: "every 25 seconds" in worker.run("wg show wireguard.cali"), "the keepalive is set")
    # Each setting, with a value that is invalid for all. We look at the status, because the log is rate-limited by now.
    settings = every_setting(worker)
    assert len(settings) > 20
    for name, needs in settings.items():
        c.configure(**{"wireguardListeningPort": 51900, name: {"no": 1}})
        wait_for(lambda: f'{name}: "{{"no":1}}" is not {needs}' in (worker.agent.status()["refused"] or ""), f"{name} is refused")
        c.configure(**{name: None})
    c.configure(wireguardListeningPort=51900, wireguardEnabled=True, wireguardKeepAlive="25s")
    wait_for(lambda: not worker.agent.status()["refused"], "nothing is refused any more")
    # An unreadable document changes nothing.
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
    # If a peer's record becomes invalid, its last valid version stays in force; if it is deleted, it ends.
    good = record(c, c.nodes[2])
    with open(os.path.join(nodes, "zz-peer.json"), "w") as f:
        json.dump({"name": "zz-peer", "ipv4": "172.18.0.88", "podCIDRs": ["10.88.0.0/24"]}, f)
    wait_for(lambda: "throw 10.88.0.0/24" in worker.run(TABLE), "a good one is taken up")
    with open(os.path.join(nodes, "zz-peer.json"), "w") as f:
        f.write("{ now it is broken")
    wait_for(lambda: "zz-peer.json" in worker.agent.log(), "it is named")
    assert "throw 10.88.0.0/24" in worker.run(TABLE)
    os.unlink(os.path.join(nodes, "zz-peer.json"))
    wait_for(lambda: "10.88.0.0/24" not in worker.run(TABLE), "it is removed")
    assert record(c, c.nodes[2]) == good and c.encrypted()
