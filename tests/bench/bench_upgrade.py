#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long packets wait when a process takes a device over from a running one, with a datagram a millisecond in each
direction and a request a millisecond in a TCP connection: on an idle device, and beside a TCP stream that takes all there is.
Two builds of different versions take turns, so that half of it are rollbacks.

    bench_upgrade.py [--upgrades N] [--first] [--times] [idle|loaded...]

The time of one upgrade is the longest silence around it, in the direction that waits longer. Silences below 5 ms are not
counted; `without` is the longest silence while nothing is upgraded, in as much time.
"""
import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import time

import results
from bench_restart import PAUSE, BareDevice, Talk, others, percentile
from lab import PODVEIL, wait_for
from traffic import Requests

BUILDS = (os.path.join(os.path.dirname(PODVEIL), "next/podveil"), PODVEIL)
TARGETS = {"idle": 20, "loaded": 100}  # ms


@contextlib.contextmanager
def stream(on, it):
    if not on:
        yield
        return
    (source, sink), (_, address) = it.ends
    server = sink.start(["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    wait_for(lambda: sink.run("ss -Htln sport = 5201"), "iperf3 listens")
    client = source.start(["iperf3", "-c", address, "-t", "1000"], stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        for process in (client, server):
            process.kill()
            process.wait()


def silence(begin, end, told):
    """Milliseconds."""
    return 1000 * max([0.005] + [b - a for t in told for a, b in t["silences"] if a < end and b > begin])


def measure(kind, upgrades):
    """(ms of each upgrade, ms without, datagrams lost, why the TCP connection ended)"""
    with contextlib.closing(BareDevice()) as it, stream(kind == "loaded", it):
        (source, sink), (_, address) = it.ends
        talk, connection, times = Talk(*it.ends), Requests(source, sink, address, "tcp", patience=20), []
        time.sleep(1)
        start = time.monotonic()
        time.sleep(upgrades * PAUSE)
        stop = time.monotonic()
        for number in range(upgrades):
            begin = time.monotonic()
            it.node.run([BUILDS[number % 2], "device", "wg0", "--take-over"])
            times.append((begin, time.monotonic() + 0.1))
            time.sleep(PAUSE)
        told, connected = talk.stop(), connection.stop()
        lost = sum(t["sent"] for t in told) - sum(t["got"] for t in told)
        return ([silence(a, b, told) for a, b in times], silence(start, stop, told), lost,
                connected["broken"] or (connected["lost"] and f"{connected['lost']} without an answer"))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upgrades", type=int, default=20)
    parser.add_argument("--first", action="store_true", help="go before other work on the machine, with SCHED_RR")
    parser.add_argument("--times", action="store_true", help="print the time of each upgrade")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(TARGETS))
    options = parser.parse_args()
    print(f"{'silence at an upgrade':24} {'n':>5} {'median':>8} {'p99':>8} {'worst':>8} {'without':>8} {'lost':>6} TCP")
    rows, busy = [], others(options.first)
    for kind in options.kinds or TARGETS:
        took, without, lost, broken = measure(kind, options.upgrades)
        figures = statistics.median(took), percentile(took, 0.99), max(took), without
        verdict = "reached" if max(took) <= TARGETS[kind] and not lost and not broken else "MISSED"
        print(f"{kind:24} {len(took):5} " + " ".join(f"{ms:6.1f}ms" for ms in figures) +
              f" {lost:6} {broken or 'lives'}  {verdict}", flush=True)
        if options.times:
            print(" ".join(f"{t:.0f}" for t in took))
        rows.append(results.row(kind, [len(took), *figures, lost, broken or "lives"], 0))
    results.save("upgrade", "tests/bench/bench_upgrade.py", f"the longest silence around an upgrade, {busy}",
                 ["upgrades", "median, ms", "p99, ms", "worst, ms", "without an upgrade, ms", "datagrams lost",
                  "TCP connection"], rows)


if __name__ == "__main__":
    sys.exit(main())
