#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A cluster of three nodes under traffic, while pods come and go, settings change, links fail, processes are killed and
upgraded, keys change, and the store is cut off, for as long as SOAK_SECONDS says (3600). It needs root.

The same SOAK_SEED gives the same sequence of events; the first line prints it. Every kind of event happens once before one
happens again. At the end, the soak demands:

- no request failed. Datagrams and new connections may fail while a link is down or a tunnel process was killed, from
  then until pods reach each other again. Connections that exist never fail, and bytes are always those that were sent.
- no packet was readable on the switch.
- rules, routes, devices, pins and files of each node are those of the start, after every setting had been switched once.
  No process has more descriptors and maps, nor much more memory, than then.

The last line has the figures. If the soak fails, the logs of the nodes are in build/soak/.
"""
import collections
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "deploy/lab"), os.path.join(ROOT, "tests/e2e")]

import footprint  # noqa: E402
import hosts  # noqa: E402
from cluster import is_running  # noqa: E402
from hosts import PODVEIL, Failed, wait_for  # noqa: E402
from plaintext import PlaintextWatch  # noqa: E402
from test_leftovers import state  # noqa: E402
from test_store_faults import FAULTS, HERE as STORE_MOUNT, Mounted, in_order  # noqa: E402
from test_switches import STRICT, SWITCHES, lines  # noqa: E402
from traffic import ping, transfer  # noqa: E402

ENDS = os.path.join(HERE, "ends.py")
BUILDS = (PODVEIL, os.path.join(os.path.dirname(PODVEIL), "next/podveil"))
LOGS = os.path.join(ROOT, "build/soak")
# What a process may hold more than at the start, in KiB: allocators keep what was freed, some more with each new thread.
# An hour finds a leak of 1 KiB a second, or of 3 KiB an event.
MEMORY = 4 << 10
# What agents leave on a node, of test_leftovers.STATE. The others show numbers that each new process changes.
LEFT = ("rules", "routes", "devices", "pins", "nftables", "files", "sysctl")
# Seconds before a fault in which a datagram may be sent and be still under way when the fault happens.
UNDER_WAY = 0.5
SHOWN = 10


def nodes_have_routes(node):
    """Whether routes to other nodes lead into the tunnel, by whichever table."""
    return any(line.startswith("172.18.0.") and "dev wireguard.cali" in line
               for line in node.run("ip route show table all").splitlines())


def use_af_xdp(node):
    """Whether one of the node's two devices uses AF_XDP on the uplink, which has room for one."""
    return any(tunnel["wire"] == "xdp" for tunnel in node.agent.status()["tunnels"])


# The checks of test_switches, but for those that look at one table, or at one family.
SETTINGS = [switch for switch in SWITCHES if switch[0] not in ("wireguardHostEncryptionEnabled", "podveilWire")] + [
    ("podveilWire", "xdp", use_af_xdp),
    ("podveilWire", "socket", lambda node: not use_af_xdp(node)),
    ("wireguardHostEncryptionEnabled", True, nodes_have_routes),
    ("wireguardHostEncryptionEnabled", False, lambda node: not nodes_have_routes(node))]
# The defaults are those that come last for each setting.
DEFAULTS = {name: (name, value, shows) for name, value, shows in SETTINGS}.values()


class Stream:
    """Requests from one pod to another. Failures arrive while it runs."""

    def __init__(self, kind, source, address, seed):
        self.name, self.kind = f"{kind} {source.name} to {address}", kind
        self.failures, self.total = [], None
        self.process = source.start([sys.executable, ENDS, "ask", kind, address, str(seed)], stdin=subprocess.PIPE)
        line = self.process.stdout.readline()
        if line != "asking\n":
            raise Failed(f"{self.name}: {line}{self.process.stdout.read()}")
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            said = json.loads(line) if line.startswith("{") else {"begin": 0, "end": 0, "why": line.strip()}
            if "sent" in said:
                self.total = said
            else:
                self.failures.append(said)

    def stop(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.reader.join(120)
        if self.total is None:
            self.failures.append({"begin": 0, "end": 0, "why": "it did not end"})
            self.total = {"sent": 0}


def answer(pod):
    for address in (pod.address, pod.address6):
        server = pod.start([sys.executable, ENDS, "answer", address])
        if server.stdout.readline() != "listening\n":
            raise Failed(f"{pod.name} does not answer")


class Soak:
    def __init__(self, c, seed):
        self.c, self.dice = c, random.Random(seed)
        self.done = collections.Counter()  # events
        self.history = []  # (CLOCK_MONOTONIC, event)
        self.excused = []  # [(begin, end)] in which packets could not arrive
        self.strict = False
        self.start_cluster()

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
        self.switch_all()
        for node in c.nodes:
            wait_for(lambda: node.run("ls /run/podveil/proved.json", check=False).stdout, "proofs were saved")
        self.before, self.left = self.footprints(), [self.state(node) for node in c.nodes]
        first, second, third = self.pods
        self.streams = [Stream(kind, source, address, self.dice.randrange(1 << 32)) for kind, source, address in (
            ("udp", second, third.address), ("udp", second, third.address6), ("udp", first, second.address),
            ("tcp", second, third.address), ("tcp", third, first.address6),
            ("new", third, second.address), ("new", first, third.address6))]

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

    def wait_for_traffic(self):
        for pod in self.pods:
            for other in self.pods:
                for address in (other.address, other.address6) if other is not pod else ():
                    wait_for(lambda: ping(pod, address, count=1, deadline=1), f"{pod.name} reaches {address}", 30)

    @contextlib.contextmanager
    def no_way(self):
        """What is inside keeps packets from arriving, until pods reach each other again."""
        begin = time.monotonic() - UNDER_WAY
        try:
            yield
            self.wait_for_encryption()
            self.wait_for_traffic()
        finally:
            self.excused.append((begin, time.monotonic()))

    def some_node(self):
        return self.dice.choice(self.c.nodes[1:])

    def footprints(self):
        """{(node, "agent" or "tunnel"): (pid, KiB, descriptors)}"""
        found = {}
        for node in self.c.nodes:
            for what, pid in (("agent", node.agent.process.pid), ("tunnel", node.agent.tunnel_process())):
                found[node.name, what] = pid, footprint.memory(pid), footprint.descriptors(pid)
        return found

    # --- events: each returns what it was, for the history ---

    def pod_comes_and_goes(self):
        node, other = self.dice.sample(self.c.nodes, 2)
        size = self.dice.randrange(1, 5)
        pod = self.c.pod(node, "guest")
        try:
            transfer(pod, self.pods[other.index], self.pods[other.index].address, size)
            transfer(self.pods[other.index], pod, pod.address6, size)
        finally:
            self.c.hosts.remove(pod)
            node.pods.remove(pod)
            pod.close()
        wait_for(lambda: not node.run(f"ip route show {pod.address}"), "the pod's device is gone")
        return f"of {node.name}, {2 * size} MiB"

    def settings_change(self):
        setting, value, shows = self.dice.choice(SETTINGS)
        self.switch(setting, value, shows)
        return f"{setting}={value}"

    def strict_mode_changes(self):
        self.strict = not self.strict
        self.switch_strict(self.strict)
        return str(self.strict)

    def agent_is_killed(self):
        """While a setting changes, so that it ends in the middle of something."""
        node, after = self.some_node(), self.dice.random() / 10
        setting, value, shows = self.dice.choice(SETTINGS)
        self.c.configure(**{setting: value})
        time.sleep(after)
        node.agent.kill(tunnel=False)
        self.c.start_agent(node)
        for each in self.c.nodes:
            wait_for(lambda: shows(each), f"{setting}={value} on {each.name}")
        self.wait_for_encryption()
        return f"of {node.name}, {after * 1000:.0f} ms after {setting}={value}"

    def agent_is_upgraded(self):
        node, build = self.some_node(), self.dice.randrange(2)
        if node.agent.stop(tunnel=False):
            raise Failed("the agent did not end in order")
        self.c.start_agent(node, program=BUILDS[build])
        self.wait_for_encryption()
        return f"of {node.name}, build {build}"

    def tunnel_process_is_upgraded(self):
        node, build = self.some_node(), self.dice.randrange(2)
        old = node.agent.tunnel_process()
        fresh = node.start([BUILDS[build], "tunnel", "--take-over"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
        wait_for(lambda: not is_running(old), "the old process ends")
        wait_for(lambda: f"pid={fresh.pid}" in node.agent.log(), "the agent uses the new process")
        self.wait_for_encryption()
        return f"of {node.name}, build {build}"

    def tunnel_process_is_killed(self):
        node = self.some_node()
        with self.no_way():
            old = node.agent.tunnel_process()
            node.agent.end_tunnel_process(signal.SIGKILL)
            wait_for(lambda: node.agent.tunnel_process() not in (None, old), "another one runs")
        return f"of {node.name}"

    def key_changes(self):
        """Of a node that has lost its keys."""
        node = self.some_node()
        was = node.run("wg show all public-key")
        with self.no_way():
            # In this order: a living process writes its lost key again.
            node.agent.kill(tunnel=True)
            node.run("rm /run/podveil/wireguard*.key")
            self.c.start_agent(node)
            wait_for(lambda: {line.split()[-1] for line in node.run("wg show all public-key").splitlines()}.isdisjoint(
                was.split()), "the keys are new")
            keys = set(node.run("wg show all public-key").split())
            for other in self.c.nodes:
                wait_for(lambda: other is node or len(set(other.run("wg show all peers").split()) & keys) >= 2,
                         f"{other.name} knows the new keys", 30)
        return f"of {node.name}"

    def link_fails(self):
        node, seconds = self.dice.choice(self.c.nodes), self.dice.random()
        with self.no_way():
            self.c.switch.run(f"ip link set port{node.index} down")
            time.sleep(seconds)
            self.c.switch.run(f"ip link set port{node.index} up")
        return f"of {node.name}, {seconds:.1f} s"

    def store_is_cut_off(self):
        fault = self.dice.choice(sorted(FAULTS))
        restarted, node = self.dice.random() < 0.5, self.c.nodes[1]
        begin, end, says = FAULTS[fault]
        places = {"HERE": STORE_MOUNT, "store": self.c.store}
        node.run(begin.format(**places))

        def is_said():
            return says in (((node.agent.status() or {}).get("store") or {}).get("trouble") or {}).get("why", "")
        wait_for(is_said, f"{fault}: status says {says}")
        if restarted:
            node.agent.kill(tunnel=False)
            self.c.start_agent(node, ready=False)
            wait_for(is_said, f"{fault}: it still says {says}")
        self.wait_for_encryption()
        node.run(end.format(**places))
        wait_for(lambda: in_order(node), f"{fault}: in order again")
        return fault + (", and the agent was killed" if restarted else "")

    EVENTS = (pod_comes_and_goes, settings_change, settings_change, settings_change, strict_mode_changes, agent_is_killed,
              agent_is_upgraded, tunnel_process_is_upgraded, tunnel_process_is_killed, key_changes, link_fails, store_is_cut_off)

    # --- the run ---

    def run(self, seconds):
        begin, deck = time.monotonic(), []
        while time.monotonic() < begin + seconds:
            deck = deck or self.dice.sample(self.EVENTS, len(self.EVENTS))
            event = deck.pop()
            name, at = event.__name__.replace("_", " "), time.monotonic()
            self.history.append((at, name))
            detail = event(self)
            self.history[-1] = at, f"{name}: {detail}"
            self.done[name] += 1
            print(f"{at - begin:8.1f} s  {name}: {detail} ({time.monotonic() - at:.1f} s)", flush=True)
        for setting, value, shows in DEFAULTS:
            self.switch(setting, value, shows)
        self.switch_strict(False)
        self.wait_for_encryption()

    def judge(self):
        """Returns (what is wrong, the line of figures)."""
        for stream in self.streams:
            stream.stop()
        self.watch.stop()
        wrong, spared = self.judge_requests()
        wrong += [f"in plain: {summary}, {self.event_at(at)}" for at, summary in self.watch.first]
        more, grown = self.judge_footprints()
        figures = [f"{sum(self.done.values())} events", f"{sum(s.total['sent'] for s in self.streams)} requests",
                   f"{len(self.unexcused)} failed", f"{spared} failed while there was no way "
                   f"({sum(b - a for a, b in self.excused):.0f} s)", f"{self.watch.count} packets in plain", grown]
        return wrong + more, ", ".join(figures)

    def judge_requests(self):
        self.unexcused, spared = [], 0
        for stream in self.streams:
            for failure in stream.failures:
                excused = stream.kind != "tcp" and failure["why"] != "other bytes came back" and any(
                    a <= failure["begin"] <= b for a, b in self.excused)
                spared += excused
                if not excused:
                    self.unexcused.append(f"{stream.name}: {failure['why']} ({failure['begin']:.3f} to {failure['end']:.3f}) "
                                          f"{self.event_at(failure['begin'])}")
        return self.unexcused[:SHOWN], spared

    def event_at(self, at):
        earlier = [f"{at - begin:.3f} s after: {event}" for begin, event in self.history if begin <= at]
        return earlier[-1] if earlier else "before all events"

    def state(self, node):
        found = state(node)
        return {what: found[what] for what in LEFT}

    def differences(self):
        """What is more than at the start, as lines of text."""
        found = []
        for (who, (_, _, had)), (_, _, has) in zip(self.before.items(), self.footprints().values()):
            # Less is no leak: at the start, a connection may just end. A new process adopts what an earlier one opened.
            more = {kind: (had[kind], has[kind]) for kind in has if has[kind] > had[kind]}
            if more:
                found.append(f"{' '.join(who)}: descriptors at the start and now: {more}")
        for node, before in zip(self.c.nodes, self.left):
            now = self.state(node)
            found += [f"{node.name}: {what} at the start: {before[what]}, now: {now[what]}"
                      for what in LEFT if now[what] != before[what]]
        return found

    def judge_footprints(self):
        # Clients of the sockets may still be connected, and the agent may not have tidied up.
        with contextlib.suppress(Failed):
            wait_for(lambda: not self.differences(), "all is as at the start", 5)
        wrong, now = self.differences(), self.footprints()
        wrong += [f"{' '.join(who)}: {had} KiB of memory at the start, {now[who][1]} now"
                  for who, (_, had, _) in self.before.items() if now[who][1] > had + MEMORY]
        grown = [f"{what} {had} to {now[name, what][1]} KiB"
                 for (name, what), (_, had, _) in self.before.items() if name == self.c.nodes[0].name]
        return wrong, ", ".join(grown) + f", {sum(d.total() for _, _, d in now.values())} descriptors"

    def keep_logs(self):
        os.makedirs(LOGS, exist_ok=True)
        for node in self.c.nodes:
            shutil.copy(node.agent.file.name, os.path.join(LOGS, f"{node.name}.log"))


def main():
    hosts.on_sigterm(SystemExit("ended by SIGTERM"))
    seconds = float(os.environ.get("SOAK_SECONDS") or 3600)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(1 << 32))
    print(f"SOAK_SECONDS={seconds:g} SOAK_SEED={seed}", flush=True)
    with Mounted(3) as c:
        soak = Soak(c, seed)
        try:
            soak.run(seconds)
            wrong, figures = soak.judge()
        except BaseException:
            soak.keep_logs()
            if soak.history:
                print(f"in the event {soak.history[-1][1]}", flush=True)
            raise
        if wrong:
            soak.keep_logs()
    for line in wrong:
        print(f"WRONG: {line}")
    print(f"soak: {'FAILED' if wrong else 'passed'} in {seconds:g} s: {figures} (SOAK_SEED={seed})")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
