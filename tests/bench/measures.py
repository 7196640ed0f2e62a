# SPDX-License-Identifier: Apache-2.0
"""The measures, and how they are taken in a contender's lab."""
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from contenders import FLOOD, PLAIN, is_podveil
from hosts import wait_for
from computer import Usage, process_seconds


@dataclass(frozen=True)
class Measure:
    title: str
    unit: str
    less: bool = False  # less is better
    digits: int = 2

    def __str__(self):
        return f"{self.title}, {self.unit}"


MEASURES = {
    "tcp1": Measure("TCP 1 stream", "Gbit/s"),
    "tcp4": Measure("TCP 4 streams", "Gbit/s"),
    "tcp_both": Measure("TCP both ways", "Gbit/s"),
    "udp64": Measure("UDP 64 B received", "kpkt/s", digits=1),
    "udp1300": Measure("UDP 1300 B received", "kpkt/s", digits=1),
    "udp64_loss": Measure("UDP 64 B, loss at 90 % of that", "%", less=True),
    "udp1300_loss": Measure("UDP 1300 B, loss at 90 % of that", "%", less=True),
    "http": Measure("HTTP, 100 connections", "kreq/s", digits=1),
    "ping": Measure("ping, idle path, median", "ms", less=True, digits=3),
    "ping_loaded": Measure("ping under a full TCP stream, p99", "ms", less=True, digits=3),
    "cpu": Measure("CPU of everything at full speed", "s/Gbit", less=True, digits=3),
    "cpu_paced": Measure("CPU of everything at 1 Gbit/s", "s/Gbit", less=True, digits=3),
    "cpu_idle": Measure("CPU of a node's process without traffic", "% of a core", less=True, digits=3),
}
JUMBO = {
    "tcp1": Measure("MTU 9000: TCP 1 stream", "Gbit/s"),
    "tcp4": Measure("MTU 9000: TCP 4 streams", "Gbit/s"),
    "tcp_both": Measure("MTU 9000: TCP both ways", "Gbit/s"),
    "udp8800": Measure("MTU 9000: UDP 8800 B received", "kpkt/s", digits=1),
}


@dataclass(frozen=True)
class Effort:
    rounds: int
    seconds: int  # of each run of iperf3 and wrk
    idle_pings: int  # in a round, 0.2 s apart: the processors sleep between them
    loaded_pings: int  # in a round, 8 ms apart
    idle_seconds: int
    everything: bool


QUICK = Effort(rounds=1, seconds=1, idle_pings=8, loaded_pings=150, idle_seconds=2, everything=False)
FULL = Effort(rounds=5, seconds=2, idle_pings=15, loaded_pings=520, idle_seconds=10, everything=True)


def iperf(contender, seconds, *arguments):
    """The "end" part of iperf3's report, and the busy seconds of the whole machine: both nodes, both pods, and polling.

    The load may break iperf3's control connection. Then we measure once more, and the result says so.
    (A server that has not finished the last run resets the next one. Seen once in 24 runs; the result does not mention it.)
    """
    for again in (True, True, False):
        usage = Usage()
        done = contender.lab.pod_a.run(["iperf3", "-J", "-c", contender.server, "-t", str(seconds), *arguments],
                                       check=False, timeout=seconds + 30)
        busy = usage.busy()
        try:
            said = json.loads(done.stdout)
            end, error = said["end"], said.get("error")
        except (ValueError, KeyError):
            end, error = {}, done.stdout[-200:] + done.stderr[-200:]
        if not error and ("sum" in end or "sum_received" in end):
            return end, busy
        trouble = f"iperf3 {' '.join(arguments)}: {error or 'ended without a sum'}"
        if not again:
            raise AssertionError(f"{contender.name}: {trouble}")
        if "unable to connect" not in trouble:
            contender.troubles.append(trouble)


def tcp(contender, seconds, *arguments):
    """(Gbit/s, busy seconds per Gbit)"""
    end, busy = iperf(contender, seconds, *arguments)
    received = end["sum_received"]
    bits, moved = received["bits_per_second"], received["bytes"] * 8
    if "--bidir" in arguments:
        bits += end["sum_received_bidir_reverse"]["bits_per_second"]
        moved += end["sum_received_bidir_reverse"]["bytes"] * 8
    return bits / 1e9, busy / (moved / 1e9)


def udp(contender, seconds, size, rate=0):
    """(datagrams received per second, percent lost) with a sender of `rate` datagrams per second; 0: as fast as it can."""
    end, _ = iperf(contender, seconds, "-u", "-w", contender.buffer, "-l", str(size),
                   "-b", str(int(rate * size * 8)))
    total = end["sum"]
    return ((total["packets"] - total["lost_packets"]) / total["seconds"],
            100 * total["lost_packets"] / max(1, total["packets"]))


def flood(contender, addresses, seconds):
    """(Gbit/s, Gbit/s of the slowest) of one TCP stream to each address; one process sends, one receives."""
    out = contender.lab.pod_a.run([sys.executable, FLOOD, "source", str(seconds), *addresses], timeout=seconds + 60)
    total, least, took = map(float, out.split())
    return total * 8 / took / 1e9, least * 8 / took / 1e9


def ping(contender, count, interval):
    """Sorted round trip times in ms; an unanswered ping counts as one second."""
    out = contender.lab.pod_a.run(["ping", "-n", "-c", str(count), "-i", str(interval), "-W", "1", contender.server],
                                  check=False).stdout
    times = [float(t) for t in re.findall(r"time=([0-9.]+)", out)]
    return sorted(times + [1000.0] * (count - len(times)))


def ping_loaded(contender, count):
    """The 99th percentile of the round trip times while one TCP stream uses the whole path."""
    pod = contender.lab.pod_a

    def sent():
        return int(pod.run("cat /sys/class/net/eth0/statistics/tx_bytes"))

    before = sent()
    load = pod.start([sys.executable, FLOOD, "source", "600", contender.server])
    wait_for(lambda: sent() - before > 8 << 20, "the stream runs")
    times = ping(contender, count, 0.008)
    if load.poll() is not None:
        raise AssertionError(f"{contender.name}: the stream ended before the last ping: {load.stdout.read()}")
    load.kill()
    load.wait()
    return times[int(count * 0.99)]


def http(contender, seconds):
    """Requests per second over kept-alive connections; None if nginx or wrk is not installed."""
    if not (shutil.which("nginx") and shutil.which("wrk")):
        return None
    out = contender.lab.pod_a.run(["wrk", "-t", "1", "-c", "100", "-d", str(seconds), f"http://{contender.server}:8080/"],
                                  timeout=seconds + 30)
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", out).group(1))


# The measures that report.switched() compares without and with a feature: name -> function of (contender, seconds).
SWITCHED = {
    "TCP 1 stream, Gbit/s": lambda c, seconds: tcp(c, seconds)[0],
    "TCP 4 streams, Gbit/s": lambda c, seconds: tcp(c, seconds, "-P", "4")[0],
    "UDP 64 B, kpkt/s": lambda c, seconds: udp(c, seconds, 64)[0] / 1e3,
    "UDP 1300 B, kpkt/s": lambda c, seconds: udp(c, seconds, 1300)[0] / 1e3,
    "HTTP, 100 connections, kreq/s": lambda c, seconds: (http(c, seconds) or 0) / 1e3,
}


def measure_round(contender, effort):
    """Takes all measures once; returns measure -> value."""
    seconds, values = effort.seconds, {}
    values["ping"] = statistics.median(ping(contender, effort.idle_pings, 0.2))
    values["tcp1"], values["cpu"] = tcp(contender, seconds)
    values["ping_loaded"] = ping_loaded(contender, effort.loaded_pings)
    values["tcp4"] = tcp(contender, seconds, "-P", "4")[0]
    values["tcp_both"] = tcp(contender, seconds, "--bidir")[0]
    for size in (64, 1300):
        rate, _ = udp(contender, seconds, size)
        values[f"udp{size}"] = rate / 1e3
        if contender.name == PLAIN or is_podveil(contender.name):
            values[f"udp{size}_loss"] = udp(contender, seconds, size, 0.9 * rate)[1]
    if (requests := http(contender, seconds)) is not None:
        values["http"] = requests / 1e3
    if effort.everything:
        values["cpu_paced"] = tcp(contender, seconds, "-b", "1G")[1]
    return values


def jumbo_round(contender):
    return {"tcp1": tcp(contender, 1)[0],
            "tcp4": tcp(contender, 1, "-P", "4")[0],
            "tcp_both": tcp(contender, 1, "--bidir")[0],
            "udp8800": udp(contender, 1, 8800)[0] / 1e3}


def idle(contenders, seconds):
    """Contender -> percent of a core that a node's process uses while nothing is sent."""
    pids = {name: c.pids() for name, c in contenders.items() if c.devices}
    before = {name: sum(map(process_seconds, p)) for name, p in pids.items()}
    time.sleep(seconds)
    return {name: (sum(map(process_seconds, p)) - before[name]) / seconds / len(p) * 100
            for name, p in pids.items()}
