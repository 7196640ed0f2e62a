#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs on the other kernel: Podveil against that kernel's own WireGuard, both roles, both IP versions; then two
agents."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from lab import Device, Lab, implementation, wait_for  # noqa: E402
from cluster import Cluster  # noqa: E402
from traffic import counters, echo, ping, transfer  # noqa: E402

KERNEL = ["sh", "-c", 'ip link add "$1" type wireguard', "sh"]


def release():
    return tuple(int(n) for n in os.uname().release.split("-")[0].split("+")[0].split(".")[:2])


def check(what, true):
    print(f"{'ok' if true else 'NOT OK'}: {what}", flush=True)
    if not true:
        raise SystemExit(1)


def pair(arguments, initiator, psk=False):
    with Lab() as lab:
        left = Device(lab.a, implementation("podveil"), arguments=arguments)
        right = Device(lab.b, KERNEL)
        lab.connect(left, right, preshared=lab.a.run("wg genpsk").strip() if psk else None)
        if initiator:
            check("ping, Podveil initiates", ping(lab.pod_a, "10.0.2.2", deadline=20) == 3)
        else:
            check("ping, the kernel initiates", ping(lab.pod_b, "10.0.1.2", deadline=20) == 3)
        check("handshake is known to both", left.handshake(right) and right.handshake(left))
        loaded = lab.a.run("bpftool -j prog show")
        whole = "--per-packet" in arguments or release() < (6, 9)
        check(f"mode is {'per-packet' if whole else 'superpackets'}",
              ('"classify_whole"' in loaded) == whole)
        for there, back in (("10.0.2.2", "10.0.1.2"), ("fd00:2::2", "fd00:1::2")):
            transfer(lab.pod_a, lab.pod_b, there, 4)
            transfer(lab.pod_b, lab.pod_a, back, 4)
            echo(lab.pod_a, lab.pod_b, there, [0, 1, 100, 1392, 4000])
        check("TCP and UDP both ways, IPv4 and IPv6", True)
        total = counters(lab.a)
        if "xdp" in arguments:
            check("frames went through AF_XDP both ways",
                  total["wire_frames_sent"] > 1000 and total["wire_frames_received"] > 1000)
        check("nothing was dropped as damaged", not any(
            total[r] for r in ("drop_bad_tag", "drop_bad_inner", "drop_malformed", "drop_source")))


def agents():
    """Two agents, a pod each: what the programs on tunnel and uplink need of a kernel."""
    with Cluster(2) as c:
        left, right = c.pod(c.nodes[0], "left"), c.pod(c.nodes[1], "right")
        c.configure(wireguardEnabled=True)
        for node in c.nodes:
            c.start_agent(node, ready=False)
        wait_for(c.encrypted, "both nodes encrypt", 60)
        check("ping between pods", ping(left, right.address, deadline=20) == 3)
        transfer(left, right, right.address, 4)
        transfer(right, left, left.address, 4)
        echo(left, right, right.address, [0, 1, 100, 1392])


def main():
    subprocess.run(["modprobe", "-a", "wireguard", "veth", "cls_bpf", "sch_ingress"], check=True)
    print(f"Linux {os.uname().release}", flush=True)
    pair([], True)
    pair([], False, psk=True)
    pair(["--wire", "xdp"], True)
    if release() >= (6, 9):
        pair(["--per-packet"], True)
    agents()
    return 0


if __name__ == "__main__":
    sys.exit(main())
