#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the cost grows: throughput against flows, configured peers, packet size and workers.

scaling.py [--seconds N]: prints a table, and adds it to build/bench/scaling.json.
"""
import argparse
import base64
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
sys.path.insert(0, os.path.join(ROOT, "tests/bench"))

import bench  # noqa: E402
from lab import Device, Lab, implementation  # noqa: E402


def pair(lab, arguments=()):
    devices = [Device(node, implementation("podveil"), arguments=arguments)
               for node in (lab.a, lab.b)]
    lab.connect(*devices)
    bench.serve(lab)
    return devices


def flows(seconds):
    with Lab() as lab:
        pair(lab)
        # One iperf3 carries 128 streams at most.
        lab.pod_b.start("iperf3 -s -p 5202", stdout=subprocess.DEVNULL)
        for n in (1, 2, 4, 16, 64, 128):
            yield n, "Gbit/s", bench.tcp(lab, seconds, "-P", str(n))[0]
        second = lab.pod_a.start(["iperf3", "-J", "-p", "5202", "-c", "10.0.2.2", "-t", str(seconds),
                                  "-P", "128"])
        first, _ = bench.tcp(lab, seconds, "-P", "128")
        out, _ = second.communicate()
        yield 256, "Gbit/s", first + json.loads(out)["end"]["sum_received"]["bits_per_second"] / 1e9


def peers(seconds):
    with Lab() as lab:
        left, _ = pair(lab)
        have = 1
        for n in (1, 100, 1000, 10000):
            text = ""
            for i in range(have, n):
                key = base64.b64encode(i.to_bytes(4, "big") + os.urandom(28)).decode()
                text += (f"[Peer]\nPublicKey = {key}\n"
                         f"AllowedIPs = 10.{64 + (i >> 8)}.{i & 255}.0/24\n")
            if text:
                left.node.run(["wg", "addconf", left.name, "/dev/stdin"], stdin=text)
            have = n
            yield n, "Gbit/s", bench.tcp(lab, seconds)[0]
            yield n, "kpkt/s", bench.udp(lab, seconds, 64)


def sizes(seconds):
    with Lab() as lab:
        pair(lab)
        for n in (64, 128, 256, 512, 1024, 1400):
            yield n, "kpkt/s", bench.udp(lab, seconds, n)


def workers(seconds):
    for n in (1, 2, 3, 4):
        with Lab() as lab:
            pair(lab, ["--workers", str(n)])
            yield n, "Gbit/s", bench.tcp(lab, seconds, "-P", "4")[0]


SERIES = {"flows": flows, "peers configured": peers, "bytes of UDP payload": sizes,
          "workers (4 streams)": workers}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=2)
    options = parser.parse_args()
    result = {"machine": bench.processor()}
    for name, series in SERIES.items():
        print(f"\n{name}", flush=True)
        for n, unit, value in series(options.seconds):
            print(f"  {n:6}  {value:9.2f} {unit}", flush=True)
            result.setdefault(name, []).append([n, unit, value])
    os.makedirs(os.path.join(ROOT, "build/bench"), exist_ok=True)
    with open(os.path.join(ROOT, "build/bench/scaling.json"), "w") as f:
        json.dump(result, f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
