#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster of three nodes under traffic, while pods come and go, settings change, links fail, processes are killed and
upgraded, keys change, and the store is cut off, for as long as SOAK_SECONDS says (3600). It needs root.

    soak.py            the soak
    soak.py --broken   only what comes before each soak: everything it judges is broken on purpose, and must be found

The same SOAK_SEED gives the same sequence of events; the first line prints it. Every kind of event happens once before one
happens again. At the end, the soak demands:

- no request failed. Datagrams and new connections of a node may fail while its link is down or its tunnel process was killed,
  until the first answer after it. Connections that exist never fail, and bytes are always those that were sent.
- no packet was readable on the switch.
- rules, routes, devices, pins, entries of maps and files of each node are those of the start, after every setting had been
  switched once. No process has more descriptors, maps and threads, nor much more memory, than then.

A pause follows each event, at least as long as requests were excused, so at least half of the time is judged. The last
line has the figures. If the soak fails, the logs of the nodes are in build/soak/.
"""
import collections
import contextlib
import os
import random
import shutil
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy/lab"), os.path.join(ROOT, "tests/e2e")]

import broken  # noqa: E402
import hosts  # noqa: E402
from events import DEFAULTS, EVENTS, SETTINGS  # noqa: E402
from footprint import Footprint  # noqa: E402
from hosts import Failed, wait_for  # noqa: E402
from plaintext import PlaintextWatch  # noqa: E402
from streams import Stream, answer, excused  # noqa: E402
from test_store_faults import Mounted  # noqa: E402
from test_switches import STRICT, lines  # noqa: E402

LOGS = os.path.join(ROOT, "build/soak")
PAUSE = 3  # seconds, at most, after an event that excuses nothing
SHOWN = 10


class Soak:
    def __init__(self, c, seed):
        self.c, self.dice = c, random.Random(seed)
        self.done = collections.Counter()  # events
        self.history = []  # (CLOCK_MONOTONIC, kind, event)
        self.gaps = {}  # kind of event: [datagrams, connections]: longest time without an answer, in seconds
        self.strict = False
        self.streams = []
        self.began = time.monotonic()

    def start_cluster(self):
        c = self.c
        # The first node's processes live to the end. What is killed and upgraded is on the others.
        self.pods = [c.pod(node, f"pod-{node.index}") for node in c.nodes]
        for pod in self.pods:
            answer(pod)
        os.makedirs(c.store)
        c.mount()
        for node in c.nodes:
            c.start_agent(node)
        self.watch = PlaintextWatch(c.switch)
        c.podveil("enable")
        c.podveil("enable", "--ipv6")
        self.wait_for_encryption()
        self.watch.begin()

    def start_traffic(self):
        self.began = time.monotonic()
        first, second, third = self.c.nodes
        for kind, source, sink, version in (
                ("udp", second, third, 4), ("udp", second, third, 6), ("udp", first, second, 4), ("tcp", second, third, 4),
                ("tcp", third, first, 6), ("new", third, second, 4), ("new", first, third, 6)):
            pod = self.pods[sink.index]
            self.streams.append(Stream(kind, (source, sink), pod.address6 if version == 6 else pod.address,
                                       self.dice.randrange(1 << 32), self.silence))

    def take_footprint(self):
        """What is held from now on is too much."""
        for node in self.c.nodes:
            wait_for(lambda: node.run("ls /run/podveil/proved.json", check=False).stdout, "proofs were saved")
        self.before = Footprint(self.c.nodes)

    def switch_all(self):
        """Switches each setting once, and back: then allocators have what the most workers need."""
        for setting, value, shows in SETTINGS:
            self.switch(setting, value, shows)
        for strict in (True, False):
            self.switch_strict(strict)

    def switch(self, setting, value, shows):
        self.c.configure(**{setting: value})
        for node in self.c.nodes:
            wait_for(lambda: shows(node), f"{setting}={value} on {node.name}")

    def switch_strict(self, strict):
        self.c.configure(**{**STRICT, "podveilStrictMode": strict})
        for node in self.c.nodes:
            wait_for(lambda: lines(node) == (strict,) * 3, f"strict mode {strict} on {node.name}")

    def wait_for_encryption(self):
        for family in ("ipv4", "ipv6"):
            wait_for(lambda: self.c.encrypted(family=family), f"all nodes encrypt {family}", 30)

    def some_node(self):
        return self.dice.choice(self.c.nodes[1:])

    # --- the run ---

    def run(self, seconds):
        begin, deck = self.began, []
        while time.monotonic() < begin + seconds:
            deck = deck or self.dice.sample(EVENTS, len(EVENTS))
            self.happen(deck.pop(), begin)
        for setting, value, shows in DEFAULTS:
            self.switch(setting, value, shows)
        self.switch_strict(False)
        self.wait_for_encryption()

    def happen(self, event, begin):
        name, at, were = event.__name__.replace("_", " "), time.monotonic(), excused(self.streams)
        self.history.append((at, name, name))
        pause = self.dice.uniform(0, PAUSE)
        detail = event(self)
        self.wait_for_encryption()
        self.history[-1] = at, name, f"{name}: {detail}"
        self.done[name] += 1
        took, excuse = time.monotonic() - at, excused(self.streams) - were
        times = f"{took:.1f} s" + (f", {excuse:.1f} s excused" if excuse else "")
        print(f"{at - begin:8.1f} s  {name}: {detail} ({times})", flush=True)
        time.sleep(max(pause, excuse))

    def silence(self, stream, end, seconds):
        gaps, which = self.gaps.setdefault(self.event_at(end)[1], [0, 0]), stream.kind != "udp"
        gaps[which] = max(gaps[which], seconds)

    def event_at(self, at):
        """(begin, kind, event) of the last event that began before."""
        return next((event for event in reversed(self.history) if event[0] <= at), (at, "no event", "before all events"))

    def judge(self, patience=5):
        """Returns (what is wrong, the line of figures)."""
        seconds, free = time.monotonic() - self.began, excused(self.streams)
        for stream in self.streams:
            stream.stop()
        self.watch.stop()
        wrong, spared = self.failures()
        failed = len(wrong)
        wrong = wrong[:SHOWN] + [f"in plain: {summary}, {self.when(at)}" for at, summary in self.watch.first]
        # Clients of the sockets may still be connected, and the agent may not have tidied up.
        with contextlib.suppress(Failed):
            wait_for(lambda: not Footprint(self.c.nodes).more_than(self.before), "all is as at the start", patience)
        now = Footprint(self.c.nodes)
        gaps = {kind: "/".join(f"{gap:.2f}" for gap in both) for kind, both in self.gaps.items()}
        figures = (f"{seconds - free:.0f} s judged, {free:.0f} s excused",
                   f"{self.done.total()} events ({listed(self.done)})",
                   f"{sum(s.total['sent'] for s in self.streams)} requests, {failed} failed, {spared} failed while excused",
                   f"longest gaps in s, of datagrams/in connections: {listed(gaps)}",
                   f"{self.watch.count} packets in plain", now.since(self.before))
        return wrong + now.more_than(self.before), "; ".join(figures)

    def failures(self):
        """(the requests that failed and were not excused, as lines of text; how many were excused)"""
        wrong, spared = [], 0
        for stream in self.streams:
            for failure in stream.failures:
                if stream.is_excused(failure):
                    spared += 1
                else:
                    wrong.append(f"{stream.name}: {failure['why']} ({failure['begin']:.3f} to {failure['end']:.3f}), "
                                 f"{self.when(failure['begin'])}")
        return wrong, spared

    def when(self, at):
        begin, _, event = self.event_at(at)
        return f"{at - begin:.3f} s after the begin of: {event}"

    def keep_logs(self):
        os.makedirs(LOGS, exist_ok=True)
        for node in self.c.nodes:
            if node.agent:
                shutil.copy(node.agent.file.name, os.path.join(LOGS, f"{node.name}.log"))


def listed(numbers):
    return ", ".join(f"{what} {number}" for what, number in sorted(numbers.items()))


def main():
    hosts.on_sigterm(SystemExit("ended by SIGTERM"))
    with Mounted(3) as c:
        broken.find_all(Soak(c, 0))
    if sys.argv[1:] == ["--broken"]:
        return 0
    seconds = float(os.environ.get("SOAK_SECONDS") or 3600)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
    print(f"SOAK_SECONDS={seconds:g} SOAK_SEED={seed}", flush=True)
    with Mounted(3) as c:
        soak = Soak(c, seed)
        try:
            soak.start_cluster()
            soak.switch_all()
            soak.take_footprint()
            soak.start_traffic()
            soak.run(seconds)
            wrong, figures = soak.judge()
        except BaseException:
            soak.keep_logs()
            if soak.history:
                print(f"in the event {soak.history[-1][2]}", *soak.failures()[0][:SHOWN], sep="\n", flush=True)
            raise
        if wrong:
            soak.keep_logs()
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"soak: {'FAILED' if wrong else 'passed'} in {seconds:g} s: {figures} (SOAK_SEED={seed})")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
