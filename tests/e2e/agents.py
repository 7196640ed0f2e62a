# SPDX-License-Identifier: Apache-2.0
"""What tests of agents share: commands and checks in a cluster of namespaces (fixture `cluster`)."""
import json
import os

from cluster import leaks
from hosts import wait_for

# Lists and removes the TCX programs of a device.
FILTERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "filters.py")
TABLE = "ip route show table 1"
RULE = "99:\tnot from all fwmark 0x200000/0x200000 lookup 1"


def ask(pod, address):
    """Makes one HTTP request from the pod to the backend; returns the answer."""
    host = f"[{address}]" if ":" in address else address
    return pod.run(["python3", "-c", "import sys, urllib.request; print(urllib.request.urlopen("
                    "sys.argv[1], timeout=5).read().decode())", f"http://{host}:8080/users"])


def enable(c, seconds=10):
    c.podveil("enable")
    wait_for(c.encrypted, "all nodes encrypt", seconds)


def judge(capture):
    """Stops the capture; returns (readable packets, UDP ports that were seen)."""
    capture.stop()
    packets = capture.packets()
    from scapy.layers.inet import UDP
    return leaks(packets), {p[UDP].dport for p in packets if p.haslayer(UDP)}


def guard(node):
    return node.agent.status()["guard"]


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


def get(node, path, method="GET", address="127.0.0.1"):
    """Makes one request to an agent's HTTP server; returns (status, body)."""
    out = node.run(["python3", "-c", """
import http.client, sys
c = http.client.HTTPConnection(sys.argv[3], 9586, timeout=5)
c.request(sys.argv[1], sys.argv[2]); r = c.getresponse(); print(r.status); print(r.read().decode(), end="")
""", method, path, address])
    status, _, body = out.partition("\n")
    return int(status), body
