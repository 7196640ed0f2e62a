#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows what an eavesdropper reads without and with encryption: a frontend on one node and a backend on another exchange
secrets, and one command switches encryption on or off for the whole cluster of three nodes.

Each command runs exactly as it is shown. At the end, also after Ctrl-C, everything is removed.
"""
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import workload  # noqa: E402
from cluster import Cluster, leaks  # noqa: E402
from hosts import PODVEIL, Capture, Failed, on_sigterm, wait_for  # noqa: E402

COLOUR = sys.stdout.isatty()
GREP = "password|Bearer|API-Key|session=|aws_|stripe_"


def title(text):
    print(f"\n\033[1m== {text}\033[0m" if COLOUR else f"\n== {text}", flush=True)


def show(host, command, lines=None):
    """Runs a command; prints the command and the first `lines` lines (default: all) of its output."""
    print(f"{host.name}# {command}", flush=True)
    out = host.run(command, env=ENVIRONMENT).rstrip().splitlines()
    for line in out[:lines]:
        print(f"  {line}")
    if lines and len(out) > lines:
        print(f"  ... {len(out) - lines} lines more")
    return "\n".join(out)


ENVIRONMENT = {}


def eavesdrop(node, seconds=2, expression="ip and not port 22"):
    """Captures on the node's uplink, and prints and counts the secrets and the kinds of packets that it sees."""
    print(f"{node.name}# timeout {seconds} tcpdump -i eth0 -A '{expression}' | grep -E '{GREP}'", flush=True)
    capture = Capture(node, "eth0", expression)
    time.sleep(seconds)
    data = capture.stop()
    found = sorted({m.group(0).decode(errors="replace") for m in workload.SECRETS.finditer(data)})
    for line in found:
        print(f"  {line}")
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6
    seen = {}
    packets = capture.packets()
    for p in packets:
        ip = p.getlayer(IP) or p.getlayer(IPv6)
        if ip:
            kind = f"UDP {p[UDP].dport}" if p.haslayer(UDP) else "other"
            who = " <-> ".join(sorted([ip.src, ip.dst]))
            seen[(kind, who)] = seen.get((kind, who), 0) + 1
    for (kind, who), n in sorted(seen.items()):
        print(f"  [{n} packets: {kind}, {who}]")
    if not found:
        print("  (nothing readable)")
    return {"secrets": len(found), "pods": len(leaks(packets)),
            "kinds": ", ".join(sorted({k for k, _ in seen}))}


def requests_go_on(frontend, n=3):
    for _ in range(n):
        line = frontend.stdout.readline()
        if not line or line.startswith("failed"):
            raise Failed(f"a request of the frontend failed: {line}")


def compare(before, after, again, wire="UDP 51820"):
    """Prints the table at the end; Failed if a figure in it is not as expected."""
    title("Before and after")
    print(f"  {'':28} {'without':>12} {'with':>12} {'without':>12}")
    for what, key in (("secrets that can be read", "secrets"),
                      ("packets with pod addresses", "pods"), ("on the wire", "kinds")):
        print(f"  {what:28} {before[key]:>12} {after[key]:>12} {again[key]:>12}")
    if not before["secrets"] or after["secrets"] or after["pods"] or after["kinds"] != wire or not again["secrets"]:
        raise Failed("this is not what it should be")


def main():
    on_sigterm(SystemExit(143))
    with Cluster(3) as c:
        ENVIRONMENT.update({"PODVEIL_STORE": f"dir:{c.store}",
                            "PATH": os.path.dirname(PODVEIL) + ":" + os.environ["PATH"]})
        control, worker, worker2 = c.nodes
        client, server = c.pod(worker, "frontend-client"), c.pod(worker2, "backend-api")
        workload.backend(server)
        for node in c.nodes:
            c.start_agent(node)

        title("Three nodes, an agent on each, VXLAN between their pods; nothing is encrypted")
        show(worker, "ip -br addr show eth0")
        show(worker, "ip route get " + server.address + " | head -1")
        show(worker, "podveil status")
        frontend = workload.frontend(client, server.address)
        requests_go_on(frontend)

        title("What everybody on the network reads")
        before = eavesdrop(worker)

        title("Encryption is switched on, once, for all nodes")
        started = time.monotonic()
        show(control, "podveil enable")
        wait_for(c.encrypted, "all nodes encrypt", 20)
        print(f"  [all nodes encrypt with all others after {time.monotonic() - started:.2f} s]")
        requests_go_on(frontend)
        show(worker, "podveil status")

        title("What that made")
        show(worker, "ip addr show wireguard.cali")
        show(worker, "wg show wireguard.cali")
        show(worker, "ip rule")
        show(worker, "ip route show table 1")

        title("The same capture")
        after = eavesdrop(worker)
        requests_go_on(frontend)
        show(worker, "wg show wireguard.cali transfer")
        print(f"{worker.name}# bpftool map dump pinned /sys/fs/bpf/podveil/wireguard.cali/counters "
              "  (summed, what is not zero)")
        total = {}
        for entry in json.loads(worker.run("bpftool -j map dump pinned "
                                           "/sys/fs/bpf/podveil/wireguard.cali/counters")):
            for field, value in entry["formatted"]["value"].items():
                if isinstance(value, int):  # the others are histograms
                    total[field] = total.get(field, 0) + value
        for field in ("classified", "steered", "egress_packets", "ingress_packets",
                      "wire_messages_sent", "wire_messages_received"):
            print(f"  {field:24} {total[field]}")
        dropped = [f"{k.removeprefix('drop_')} {v}" for k, v in total.items() if k.startswith("drop_") and v]
        print(f"  {'dropped':24} {', '.join(dropped) or 'nothing'}")

        title("And off again")
        show(control, "podveil disable")
        wait_for(lambda: "fwmark" not in worker.run("ip rule"), "the rule is removed")
        again = eavesdrop(worker)
        requests_go_on(frontend)

        compare(before, after, again)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
