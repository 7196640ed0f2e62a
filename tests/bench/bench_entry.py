#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the fast path on entry (podveilEntryInterfaces) gains: two nodes with agents, encrypting, the setting off
and on in turn in each round.

bench_entry.py [--rules N] [--rounds N] [--seconds N]: with --rules, each node tracks connections and has so many
rules in its forward chain that do not match, as kube-proxy and network policies make them.
"""
import argparse
import os
import statistics
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy/lab"))
sys.path.insert(0, os.path.join(ROOT, "tests/bench"))

import contenders  # noqa: E402
import measures  # noqa: E402
from cluster import Cluster  # noqa: E402
from computer import socket_buffer  # noqa: E402
from hosts import wait_for  # noqa: E402
from report import switched  # noqa: E402


class Pods:
    """Two pods of a cluster, as the measures want to know a contender and its lab."""

    name, buffer = "agents", str(socket_buffer())

    def __init__(self, left, right):
        self.lab, self.pod_a, self.pod_b = self, left, right
        self.server, self.troubles = right.address, []


def filter_rules(n):
    rules = ["add table ip busy",
             "add chain ip busy forward { type filter hook forward priority 0; policy accept; }",
             "add rule ip busy forward ct state established counter"]
    return "\n".join(rules + [f"add rule ip busy forward ip daddr 192.168.{i // 250}.{1 + i % 250} counter drop"
                              for i in range(n)]) + "\n"


def switch(c, on):
    """Everywhere, and for the pods that there are."""
    c.configure(podveilEntryInterfaces=["cali*"] if on else [])

    def all_have_it():
        views = [n.agent.status()["tunnels"][0]["entry"] for n in c.nodes]
        return all(v["on"] == on and v["interfaces"] == on for v in views)
    wait_for(all_have_it, "the setting is in force")


MEASURES = {
    **measures.SWITCHED,
    "ping median, us": lambda pods, _: statistics.median(measures.ping(pods, 100, 0.01)) * 1000,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rules", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=1)
    options = parser.parse_args()

    values = {key: {False: [], True: []} for key in MEASURES}
    with Cluster(2) as c:
        pods = Pods(c.pod(c.nodes[0], "client"), c.pod(c.nodes[1], "server"))
        for node in c.nodes:
            c.start_agent(node)
            if options.rules:
                node.run("nft -f -", stdin=filter_rules(options.rules))
        c.podveil("enable")
        wait_for(c.encrypted, "both nodes encrypt")
        contenders.serve(pods, pods.server)
        for _ in range(options.rounds):
            for on in (False, True):
                switch(c, on)
                for key, measure in MEASURES.items():
                    values[key][on].append(measure(pods, options.seconds))
    print(switched(f"fast path on entry, {options.rules} rules, medians of {options.rounds}", values))


if __name__ == "__main__":
    main()
