#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput, packet rate and latency, pod - node - node - pod, all contenders in one run.

bench.py [quick|full] [--contenders a,b]: medians of 1 or 5, the contenders in turn in each round, so
that what else the machine does hits all of them; a table with ratios, and in build/bench/ the table,
result.json and chart.svg.
"""
import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
sys.path.insert(0, os.path.join(ROOT, "tests/bench"))

import chart  # noqa: E402
from lab import Device, Lab, implementation, wait_for  # noqa: E402

CONTENDERS = {
    "unencrypted": None,
    "wireguard-go": ("wireguard-go-new", []),
    "boringtun": ("boringtun", []),
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
    out = lab.pod_a.run(["iperf3", "-J", "-c", lab.target, "-t", str(seconds), *arguments],
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
    out = lab.pod_a.run(["ping", "-n", "-c", str(count), "-i", str(interval), lab.target])
    times = sorted(float(t) for t in re.findall(r"time=([0-9.]+)", out))
    return statistics.median(times), times[int(len(times) * 0.99)]


# Measure -> which is better.
BETTER = {
    "TCP 1 stream, Gbit/s": "more",
    "TCP 4 streams, Gbit/s": "more",
    "TCP both ways, Gbit/s": "more",
    "UDP 64 B, kpkt/s": "more",
    "UDP 1300 B, kpkt/s": "more",
    "HTTP, 100 connections, kreq/s": "more",
    "ping median, ms": "less",
    "ping p99 under load, ms": "less",
    "CPU s a Gbit": "less",
    "CPU idle, % of a core": "less",
}

NGINX = """daemon off; worker_processes 1; pid /run/nginx.pid; error_log /dev/null;
events {} http { access_log off; keepalive_requests 1000000000;
server { listen 8080; location / { return 200 "hello\\n"; } } }"""


def serve(lab):
    """iperf3 and, where there is one, a web server in the right pod."""
    lab.pod_b.start("iperf3 -s", stdout=subprocess.DEVNULL)
    wait_for(lambda: "5201" in lab.pod_b.run("ss -ltn"), "iperf3 listens")
    if shutil.which("nginx") and shutil.which("wrk"):
        lab.pod_b.run("cat > /run/nginx.conf", stdin=NGINX)
        lab.pod_b.start("nginx -c /run/nginx.conf", stdout=subprocess.DEVNULL)
        wait_for(lambda: "8080" in lab.pod_b.run("ss -ltn"), "nginx listens")
    ping(lab, 3, 0.05)


def http(lab, seconds):
    """Thousand requests a second over connections that stay."""
    if not (shutil.which("nginx") and shutil.which("wrk")):
        return 0.0
    out = lab.pod_a.run(["wrk", "-t", "1", "-c", "100", "-d", str(seconds), f"http://{lab.target}:8080/"],
                        timeout=seconds + 30)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1)) / 1e3


def idle(devices, seconds):
    """Percent of a core that a device's process takes without traffic."""
    def ticks():
        total = 0
        for d in devices:
            with open(f"/proc/{d.pid()}/stat") as f:
                total += sum(int(n) for n in f.read().rsplit(")", 1)[1].split()[11:13])
        return total

    if not devices:
        return 0.0
    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds / len(devices) * 100


class Contender:
    """A lab of its own, where nothing happens while another one is measured."""

    def __init__(self, name):
        self.lab = Lab()
        self.devices = []
        spec = CONTENDERS[name]
        if spec is None:
            self.lab.plain()
        else:
            self.devices = [Device(node, implementation(spec[0]), arguments=spec[1])
                            for node in (self.lab.a, self.lab.b)]
            self.lab.connect(*self.devices)
        serve(self.lab)
        self.values = {}

    def round(self, seconds):
        lab = self.lab
        rate, cost = tcp(lab, seconds)
        loaded = lab.pod_a.start(["iperf3", "-c", lab.target, "-t", str(seconds)],
                                 stdout=subprocess.DEVNULL)
        under_load = ping(lab, seconds * 40, 0.02)
        loaded.wait()
        for key, value in (
                ("TCP 1 stream, Gbit/s", rate),
                ("TCP 4 streams, Gbit/s", tcp(lab, seconds, "-P", "4")[0]),
                ("TCP both ways, Gbit/s", tcp(lab, seconds, "--bidir")[0]),
                ("UDP 64 B, kpkt/s", udp(lab, seconds, 64)),
                ("UDP 1300 B, kpkt/s", udp(lab, seconds, 1300)),
                ("HTTP, 100 connections, kreq/s", http(lab, seconds)),
                ("ping median, ms", ping(lab, 100, 0.01)[0]),
                ("ping p99 under load, ms", under_load[1]),
                ("CPU s a Gbit", cost),
                ("CPU idle, % of a core", idle(self.devices, seconds))):
            self.values.setdefault(key, []).append(value)


def processor():
    with open("/proc/cpuinfo") as f:
        text = f.read()
    model = re.search(r"model name\s*: (.*)", text)
    return {"model": model.group(1) if model else platform.machine(), "cores": os.cpu_count(),
            "avx512": "avx512f" in text, "avx2": "avx2" in text, "kernel": platform.release()}


def table(results, median):
    """Each measure with its spread and its ratios."""
    plain, other = median.get("unencrypted"), median.get("wireguard-go")
    lines = []
    for key in next(iter(median.values())):
        lines.append(f"\n{key}")
        for name, values in median.items():
            spread = results[name][key]
            line = f"  {name:20} {values[key]:9.3f}  ({min(spread):.3f} to {max(spread):.3f})"
            if plain and plain[key] and name != "unencrypted":
                line += f"  {values[key] / plain[key]:6.2f} x unencrypted"
            if other and other[key] and name not in ("unencrypted", "wireguard-go"):
                line += f"  {values[key] / other[key]:6.2f} x wireguard-go"
            lines.append(line)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=["quick", "full"], default="quick")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    options = parser.parse_args()
    rounds, seconds = (5, 3) if options.mode == "full" else (1, 1)

    machine = processor()
    title = (f"{machine['model']}, {machine['cores']} cores, "
             f"{'AVX-512' if machine['avx512'] else 'AVX2' if machine['avx2'] else 'no AVX2'}, "
             f"Linux {machine['kernel']}; medians of {rounds}")
    print(title, flush=True)
    names = options.contenders.split(",")
    contenders = {}
    with contextlib.ExitStack() as labs:
        for name in names:
            contenders[name] = Contender(name)
            labs.callback(contenders[name].lab.close)
        for k in range(rounds):
            for name in names:
                contenders[name].round(seconds)
            print(f"  round {k + 1} of {rounds}: load {os.getloadavg()[0]:.1f}", flush=True)

    results = {name: c.values for name, c in contenders.items()}
    median = {n: {k: statistics.median(v) for k, v in r.items()} for n, r in results.items()}
    text = table(results, median)
    print(text)
    os.makedirs(os.path.join(ROOT, "build/bench"), exist_ok=True)
    directory = os.path.join(ROOT, "build/bench")
    with open(os.path.join(directory, "result.json"), "w") as f:
        json.dump({"machine": machine, "rounds": rounds, "seconds": seconds, "values": results}, f,
                  indent=1)
    with open(os.path.join(directory, "table.txt"), "w") as f:
        f.write(f"{title}\n{text}\n")
    if "unencrypted" in median:
        with open(os.path.join(directory, "chart.svg"), "w") as f:
            f.write(chart.svg(title, median, BETTER))
    print("\nbuild/bench/: result.json, table.txt, chart.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
