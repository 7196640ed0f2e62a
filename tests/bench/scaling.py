#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How the cost grows: throughput against flows, peers, packet size and workers.

scaling.py [--rounds N] [--seconds N] [--contender NAME] [--series a,b]: medians of N, the points of a series in
turn in each round; prints a table, and leaves it in build/bench/ as scaling.txt and scaling.json.
"""
import argparse
import base64
import contextlib
import json
import os
import statistics
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import bench  # noqa: E402
import computer  # noqa: E402
import measures  # noqa: E402
import results  # noqa: E402
from contenders import PLAIN, SERVER, Contender, LeftOut, find, is_podveil  # noqa: E402
from star import Star  # noqa: E402

# A series is a context manager that yields point -> {name: function of the seconds that returns a number}.


def _open(stack, *arguments, **options):
    return stack.enter_context(contextlib.closing(Contender(*arguments, **options)))


def _both(stack, name):
    return {PLAIN: _open(stack, PLAIN), name: _open(stack, name)}


def _tcp(contender, *arguments):
    return lambda seconds: measures.tcp(contender, seconds, *arguments)[0]


def _flood(contender, streams):
    """Uses flood.py, because iperf3 has at most 128 streams, and the sum of two runs of iperf3 is not one rate."""
    return lambda seconds: measures.flood(contender, [SERVER] * streams, seconds)[0]


def _udp(contender, size):
    return lambda seconds: measures.udp(contender, seconds, size)[0] / 1e3


def _beside_plain(points, unit, measure):
    """A series that takes measure(contender, point) for the contender and for the unencrypted path."""
    @contextlib.contextmanager
    def series(name):
        with contextlib.ExitStack() as stack:
            there = _both(stack, name)
            yield {n: {f"{who}, {unit}": measure(c, n) for who, c in there.items()} for n in points}
    return series


def _configure(contender, peers):
    """Adds peers until there are `peers`, each with its own range and a key that no device has."""
    text = ""
    for i in range(1, peers):
        key = base64.b64encode(i.to_bytes(4, "big") + os.urandom(28)).decode()
        text += f"[Peer]\nPublicKey = {key}\nAllowedIPs = 10.{64 + (i >> 8)}.{i & 255}.0/24\n"
    if text:
        device = contender.devices[0]
        device.node.run(["wg", "addconf", device.name, "/dev/stdin"], stdin=text)


@contextlib.contextmanager
def configured(name):
    with contextlib.ExitStack() as stack:
        points = {}
        for n in (1, 100, 1000, 10000):
            contender = _open(stack, name)
            _configure(contender, n)
            points[n] = {"Gbit/s": _tcp(contender), "UDP 64 B, kpkt/s": _udp(contender, 64)}
        yield points


@contextlib.contextmanager
def active(name):
    counts = (1, 4, 16, 64)
    with contextlib.closing(Star(name, counts[-1])) as star:
        hub = star.devices[0].pid()

        def point(n):
            kept = {}

            def total(seconds):
                before = computer.process_seconds(hub)
                rate, kept["least"] = measures.flood(star, star.addresses[:n], seconds)
                kept["cpu"] = (computer.process_seconds(hub) - before) / (rate * seconds)
                return rate
            return {"Gbit/s": total, "Gbit/s of the slowest": lambda _: kept["least"],
                    "s/Gbit of the one device's process": lambda _: kept["cpu"]}
        yield {n: point(n) for n in counts}


@contextlib.contextmanager
def superpackets(name):
    """Limits the number of segments in a superpacket of the sender's kernel, with a lab for each limit.

    For the limit 1, superpackets are switched off: with gso_max_segs 1 the sender itself becomes slow (0.4 Gbit/s without
    encryption, instead of 2.4).
    """
    with contextlib.ExitStack() as stack:
        points = {}
        for n in (1, 2, 4, 8, 16, 44):
            there = _both(stack, name)
            for contender in there.values():
                contender.lab.pod_a.run(f"ip link set eth0 gso_max_segs {n}" if n > 1 else
                                        "ethtool -K eth0 tso off gso off")
            points[n] = {f"{who}, Gbit/s": _tcp(c) for who, c in there.items()}
        yield points


@contextlib.contextmanager
def workers(name):
    with contextlib.ExitStack() as stack:
        yield {n: {"Gbit/s": _tcp(_open(stack, name, more=["--workers", str(n)]), "-P", "4")}
               for n in (1, 2, 3, 4)}


SERIES = {
    "flows": (_beside_plain((1, 2, 4, 16, 64, 256), "Gbit/s", _flood), "TCP streams"),
    "configured": (configured, "peers configured, one of them active"),
    "active": (active, "peers active, of 64, one TCP stream each"),
    "sizes": (_beside_plain((64, 128, 256, 512, 1024, 1400), "kpkt/s", _udp), "bytes of UDP payload"),
    "superpackets": (superpackets, "segments in a superpacket at most, one TCP stream"),
    "workers": (workers, "workers, 4 TCP streams"),
}


def run(series, name, rounds, seconds):
    """point -> name -> a value for each round"""
    values = {}
    with series(name) as points:
        for _ in range(rounds):
            for point, whats in points.items():
                for what, measure in whats.items():
                    values.setdefault(point, {}).setdefault(what, []).append(measure(seconds))
    return values


def table(head, values):
    whats = list(next(iter(values.values())))
    lines = [f"\n{head}", " " * 8 + "".join(f"{w:>36}" for w in whats)]
    for point, row in values.items():
        cells = [f"{statistics.median(v):.3f} ({min(v):.3f} to {max(v):.3f})" for v in row.values()]
        lines.append(f"{point:8}" + "".join(f"{c:>36}" for c in cells))
    return "\n".join(lines)


def save_table(key, options, values):
    """The table for the pages."""
    whats = list(next(iter(values.values())))
    results.save(key, "tests/bench/scaling.py", f"medians of {options.rounds} runs of {options.seconds} s", whats,
                 [results.row(f"{point:,}", [statistics.median(v) for v in line.values()]) for point, line in values.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--contender", default="socket", help="socket, xdp or per-packet")
    parser.add_argument("--series", default=",".join(SERIES), help="comma between; all: %(default)s")
    options = parser.parse_args()
    options.contender = find(options.contender)
    if not is_podveil(options.contender or ""):
        parser.error("--contender: socket, xdp or per-packet")
    here, usage, started = computer.describe(), computer.Usage(), time.time()
    title = f"{options.contender}: {computer.title(here)}; medians of {options.rounds} runs of {options.seconds} s"
    print(title, flush=True)
    result, texts = {"machine": here, "contender": options.contender, "series": {}, "busyBefore": {}}, [title]
    for key in options.series.split(","):
        series, head = SERIES[key]
        result["busyBefore"][key] = computer.others()
        try:
            result["series"][key] = run(series, options.contender, options.rounds, options.seconds)
        except (AssertionError, LeftOut) as e:
            texts.append(f"\n{head}: not measured: {e}")
            print(texts[-1], flush=True)
            continue
        texts.append(table(head, result["series"][key]))
        save_table(key, options, result["series"][key])
        if result["busyBefore"][key] > computer.BUSY_WITH_OTHERS:
            texts[-1] += (f"\n  WARNING: something else used {result['busyBefore'][key]:.0f} % of the processors "
                          "just before")
        print(texts[-1], flush=True)
    result["stolenPercent"] = usage.stolen()
    texts.append(f"\nstolen by the host: {result['stolenPercent']:.2f} % of the processors; "
                 f"measured in {time.time() - started:.0f} s")
    print(texts[-1])
    bench.write("scaling.txt", "\n".join(texts) + "\n")
    bench.write("scaling.json", json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
