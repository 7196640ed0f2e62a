#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput, packet rate and latency, pod - node - node - pod, all contenders in one run.

bench.py [quick|full] [--contenders a,b]: medians of 1 or 5; a table with ratios and
build/bench/result.json.
"""
import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from lab import Device, Lab, implementation, wait_for  # noqa: E402

CONTENDERS = {
    "unencrypted": None,
    "wireguard-go": ("wireguard-go-new", []),
    "podveil": ("podveil", []),
    "podveil per-packet": ("podveil", ["--per-packet"]),
}


def cpu_seconds():
    """Busy seconds of the whole machine: user, system, interrupts."""
    with open("/proc/stat") as f:
        fields = [int(n) for n in f.readline().split()[1:8]]
    user, nice, system, _idle, _iowait, irq, softirq = fields
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def iperf(lab, seconds, *arguments):
    before = cpu_seconds()
    out = lab.pod_a.run(["iperf3", "-J", "-c", "10.0.2.2", "-t", str(seconds), *arguments],
                        timeout=seconds + 30)
    return json.loads(out)["end"], cpu_seconds() - before


def tcp(lab, seconds, *arguments):
    end, cpu = iperf(lab, seconds, *arguments)
    bits = end["sum_received"]["bits_per_second"]
    if "--bidir" in arguments:
        bits += end["sum_received_bidir_reverse"]["bits_per_second"]
    return bits / 1e9, cpu / (bits / 1e9 * seconds)


def udp(lab, seconds, size):
    """Received datagrams a second, in thousands, of a sender that goes as fast as it can."""
    end, _ = iperf(lab, seconds, "-u", "-b", "0", "-l", str(size))
    total = end["sum"]
    return (total["packets"] - total["lost_packets"]) / total["seconds"] / 1e3


def ping(lab, count, interval):
    out = lab.pod_a.run(["ping", "-n", "-c", str(count), "-i", str(interval), "10.0.2.2"])
    times = sorted(float(t) for t in re.findall(r"time=([0-9.]+)", out))
    return statistics.median(times), times[int(len(times) * 0.99)]


def measure(name, rounds, seconds):
    with Lab() as lab:
        spec = CONTENDERS[name]
        if spec is None:
            lab.plain()
        else:
            devices = [Device(node, implementation(spec[0]), arguments=spec[1])
                       for node in (lab.a, lab.b)]
            lab.connect(*devices)
        lab.pod_b.start("iperf3 -s", stdout=subprocess.DEVNULL)
        wait_for(lambda: "5201" in lab.pod_b.run("ss -ltn"), "iperf3 listens")
        ping(lab, 3, 0.05)
        values = {}
        for _ in range(rounds):
            rate, cost = tcp(lab, seconds)
            loaded = lab.pod_a.start(["iperf3", "-c", "10.0.2.2", "-t", str(seconds)],
                                     stdout=subprocess.DEVNULL)
            under_load = ping(lab, seconds * 40, 0.02)
            loaded.wait()
            idle = ping(lab, 100, 0.01)
            for key, value in (
                    ("TCP 1 stream, Gbit/s", rate),
                    ("TCP 4 streams, Gbit/s", tcp(lab, seconds, "-P", "4")[0]),
                    ("TCP both ways, Gbit/s", tcp(lab, seconds, "--bidir")[0]),
                    ("UDP 64 B, kpkt/s", udp(lab, seconds, 64)),
                    ("UDP 1300 B, kpkt/s", udp(lab, seconds, 1300)),
                    ("ping median, ms", idle[0]),
                    ("ping p99 under load, ms", under_load[1]),
                    ("CPU s a Gbit", cost)):
                values.setdefault(key, []).append(value)
        return values


def processor():
    with open("/proc/cpuinfo") as f:
        text = f.read()
    model = re.search(r"model name\s*: (.*)", text)
    return {"model": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "avx512": "avx512f" in text, "avx2": "avx2" in text, "kernel": platform.release()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=["quick", "full"], default="quick")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    options = parser.parse_args()
    rounds, seconds = (5, 4) if options.mode == "full" else (1, 2)

    machine = processor()
    print(f"{machine['model']}, {machine['cores']} cores, "
          f"{'AVX-512' if machine['avx512'] else 'AVX2' if machine['avx2'] else 'no AVX2'}, "
          f"Linux {machine['kernel']}; medians of {rounds}", flush=True)
    results = {}
    for name in options.contenders.split(","):
        results[name] = measure(name, rounds, seconds)
        print(f"  {name}: measured", flush=True)

    median = {n: {k: statistics.median(v) for k, v in r.items()} for n, r in results.items()}
    plain, other = median.get("unencrypted"), median.get("wireguard-go")
    keys = list(next(iter(median.values())))
    for key in keys:
        print(f"\n{key}")
        for name, values in median.items():
            spread = results[name][key]
            line = f"  {name:20} {values[key]:9.3f}  ({min(spread):.3f} to {max(spread):.3f})"
            if plain and name != "unencrypted":
                line += f"  {values[key] / plain[key]:6.2f} x unencrypted"
            if other and name not in ("unencrypted", "wireguard-go"):
                line += f"  {values[key] / other[key]:6.2f} x wireguard-go"
            print(line)
    os.makedirs(os.path.join(ROOT, "build/bench"), exist_ok=True)
    where = os.path.join(ROOT, "build/bench/result.json")
    with open(where, "w") as f:
        json.dump({"machine": machine, "rounds": rounds, "seconds": seconds, "values": results}, f,
                  indent=1)
    print(f"\nAll values: {os.path.relpath(where, ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
