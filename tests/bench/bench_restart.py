#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""From kill -9 to the first packet: a device, an agent, and a tunnel process, also in strict mode, are killed, and started
at once by whoever starts them, again and again. Meanwhile a datagram a millisecond goes in each direction, and a request a
millisecond in a TCP connection; and a capture runs on the far side of the uplink.

    bench_restart.py [--kills N] [--beside-load] [--first] [--times] [device|agent|tunnel|strict...]

The time of one kill goes from the signal to the datagram that ends the longest silence after it, in the direction that
waits longer. `without` is the longest such time at as many moments between the kills. Every fifth time, an agent is killed
while it applies a setting.
"""
import argparse
import contextlib
import json
import os
import random
import select
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "../../deploy/lab"), os.path.join(HERE, "../e2e")]

import results  # noqa: E402
from cluster import Cluster, leaks  # noqa: E402
from lab import PODVEIL, Capture, Device, Failed, Lab, implementation, wait_for  # noqa: E402
from test_switches import SWITCHES  # noqa: E402
from traffic import Requests, ping  # noqa: E402

PAUSE = 0.6  # seconds between a first packet and the next kill
EXPOSED = 0.1  # seconds after a kill in which the silence that it causes begins
DEVICE = 100, 1000  # ms: targets for the 99th percentile, and for each time
TUNNEL = 200, 1000

# Both ends run this: it sends a datagram per millisecond to the other end, from the first line that it reads until the second
# one. When its input ends, it prints the silences of 5 ms and more as pairs of times. They can be compared, because
# CLOCK_MONOTONIC is the same on the whole machine.
TALK = """
import json, select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
s.bind((sys.argv[1], 7003)); s.connect((sys.argv[2], 7003)); s.setblocking(False)
print('talking', flush=True)
silences, sent, got = [], 0, 0
due = last = None
while True:
    now = time.monotonic()
    if due and now >= due:
        due = max(due + 0.001, now - 0.05)
        try: s.send(b'x' * 64); sent += 1
        except OSError: pass
    ready, _, _ = select.select([s, sys.stdin], [], [], max(0, due - time.monotonic()) if due else None)
    if sys.stdin in ready:
        if not sys.stdin.buffer.raw.read(1): break
        due = None if due else time.monotonic()
    if s not in ready: continue
    try:
        while s.recv(100): got += 1
    except OSError: pass
    else: continue
    now = time.monotonic()
    if last and now - last > 0.005: silences.append((last, now))
    last = now
print(json.dumps({'silences': silences, 'sent': sent, 'got': got}))
"""


class Talk:
    def __init__(self, hosts, addresses):
        ends = ((hosts[0], addresses[0], addresses[1]), (hosts[1], addresses[1], addresses[0]))
        self.ends = [host.start([sys.executable, "-c", TALK, mine, other], stdin=subprocess.PIPE)
                     for host, mine, other in ends]
        for end in self.ends:
            assert end.stdout.readline() == "talking\n"
        self._switch()

    def _switch(self):
        for end in self.ends:
            end.stdin.write("\n")
            end.stdin.flush()

    def stop(self):
        """No end sends before both receive, nor stops receiving before both have stopped sending: what is missing was lost."""
        self._switch()
        time.sleep(1)
        return [json.loads(end.communicate(timeout=20)[0]) for end in self.ends]


def kill_and_wait(pid):
    """Kills the process and waits until it has ended, as its parent would. Returns when the signal was sent."""
    with contextlib.closing(os.fdopen(os.pidfd_open(pid))) as process:
        at = time.monotonic()
        signal.pidfd_send_signal(process.fileno(), signal.SIGKILL)
        select.select([process], [], [], 10)
        return at


class BareDevice:
    kills, targets = 50, DEVICE

    def __init__(self):
        self.lab = Lab(switch=True)
        self.left = Device(self.lab.a, implementation("podveil"))
        self.lab.connect(self.left, Device(self.lab.b, implementation("podveil")))
        self.ends = (self.lab.pod_a, self.lab.pod_b), ("10.0.1.2", "10.0.2.2")
        self.far, self.far_device, self.node = self.lab.switch, "port-a", self.lab.a
        self.lab.a.run("wg showconf wg0 >/run/wg0.conf")
        wait_for(lambda: ping(self.lab.pod_a, "10.0.2.2") == 3, "the tunnel works")

    def prepare(self, number):
        """Called just before a kill."""

    def find(self):
        return self.left.pid()

    def start(self):
        """Starts the device and sets its key and peers again, because a bare device does not keep them."""
        done = subprocess.run(self.lab.a.enter(f"{PODVEIL} device wg0 && wg setconf wg0 /run/wg0.conf"),
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failed(done.stderr)

    @staticmethod
    def plain(packets):
        return [p for p in packets if b"x" * 64 in bytes(p)]

    def close(self):
        self.lab.close()


class Tunnel:
    """The agent starts another tunnel process by itself."""
    strict, kills, targets = False, 50, TUNNEL

    def __init__(self):
        c = self.cluster = Cluster(2)
        self.node = c.nodes[1]
        self.client, self.server = c.pod(self.node, "client"), c.pod(c.nodes[0], "server")
        if self.strict:
            c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
        for node in c.nodes:
            c.start_agent(node)
        c.podveil("enable")
        wait_for(c.encrypted, "all nodes encrypt")
        self.ends = (self.client, self.server), (self.client.address, self.server.address)
        self.far, self.far_device = c.switch, "port1"

    def prepare(self, number):
        pass

    def find(self):
        return wait_for(self.node.agent.tunnel_process, "a tunnel process runs")

    def start(self):
        pass

    @staticmethod
    def plain(packets):
        return leaks(packets, b"x" * 64)

    def close(self):
        self.cluster.close()


class StrictTunnel(Tunnel):
    strict = True


class Agent(Tunnel):
    """The tunnel process goes on: what is silent for 5 ms is so for another reason."""
    kills, targets = 100, None  # nothing is lost

    def prepare(self, number):
        if number % 5 == 0 and number:
            # Only now, because the commands that look take processor time from who is measured.
            wait_for(lambda: self.applied(self.node), "the setting is applied")
        if number % 5 == 4:
            setting, value, self.applied = SWITCHES[number // 5 % len(SWITCHES)]
            self.cluster.configure(**{setting: value})
            time.sleep(random.random() / 50)

    def find(self):
        return self.node.agent.process.pid

    def start(self):
        self.cluster.start_agent(self.node, ready=False)


KINDS = {"device": BareDevice, "agent": Agent, "tunnel": Tunnel, "strict": StrictTunnel}


def first_packet(at, until, silences):
    """Milliseconds from the kill to the end of the longest silence around it; 0: nothing was silent."""
    after = [(end - begin, end) for begin, end in silences if begin < at + EXPOSED and at < end < until]
    return 1000 * (max(after)[1] - at) if after else 0


@dataclass
class Result:
    took: list  # ms of each kill
    without: float  # ms
    lost: int  # datagrams
    broken: object  # why the TCP connection ended
    plain: list  # packets


def measure(kind, kills):
    with contextlib.closing(KINDS[kind]()) as it:
        (source, sink), (_, address) = it.ends
        capture = Capture(it.far, it.far_device, "not udp port 51820 and not udp port 51999 and not arp")
        talk, connection, times, quiet = Talk(*it.ends), Requests(source, sink, address, "tcp", patience=20), [], []
        time.sleep(1)
        for number in range(kills):
            pid = it.find()
            it.prepare(number)
            at = kill_and_wait(pid)
            it.start()
            times.append(at)
            wait_for(lambda: ping(source, address, count=1, deadline=1), "packets arrive again", 20)
            time.sleep(PAUSE / 2)
            quiet.append(time.monotonic())
            time.sleep(PAUSE / 2)
        until, ends, connected = [*times[1:], time.monotonic()], talk.stop(), connection.stop()
        # This packet must be captured: it proves that the capture worked.
        it.node.run("ping -6 -n -c 1 -W 1 ff02::1%eth0", check=False)
        capture.stop()
        packets = capture.packets()
        assert len(packets), "the capture saw nothing, not even what is never encrypted"

        def longest(begins, ends_of_them):
            return [max(first_packet(at, end, t["silences"]) for t in ends) for at, end in zip(begins, ends_of_them)]
        return Result(longest(times, until), max(longest(quiet, until)),
                      sum(t["sent"] for t in ends) - sum(t["got"] for t in ends),
                      connected["broken"] or (connected["lost"] and f"{connected['lost']} without an answer"),
                      it.plain(packets))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


@contextlib.contextmanager
def load(on):
    """While the `with` lasts, keeps each processor busy with another process."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() if on else 0)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def others(first):
    """Puts all that is measured before other work, if `first`. Returns what else is at work, for the line above the table."""
    if first:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    busy = f"beside other work (load {os.getloadavg()[0]:.0f})"
    return busy + (", before which all of this goes (SCHED_RR)" if first else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, help="of each kind; as many as its target names, if it is not given")
    parser.add_argument("--beside-load", action="store_true")
    parser.add_argument("--first", action="store_true", help="go before other work on the machine, with SCHED_RR")
    parser.add_argument("--times", action="store_true", help="print the time of each kill")
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=", ".join(KINDS))
    options = parser.parse_args()
    print(f"{'kill -9 to first packet':24} {'kills':>5} {'median':>8} {'p99':>8} {'worst':>8} {'without':>8} {'lost':>6} "
          f"{'in plain':>9} TCP")
    rows, busy = [], others(options.first)
    for kind in options.kinds or KINDS:
        with load(options.beside_load):
            result = measure(kind, options.kills or KINDS[kind].kills)
        took, targets = result.took, KINDS[kind].targets
        median, p99, worst, plain = statistics.median(took), percentile(took, 0.99), max(took), len(result.plain)
        fast = p99 < targets[0] and worst < targets[1] if targets else not result.lost
        print(f"{kind:24} {len(took):5} {median:6.1f}ms {p99:6.1f}ms {worst:6.1f}ms {result.without:6.1f}ms {result.lost:6} "
              f"{plain:9} {result.broken or 'lives'}  {'reached' if fast and not plain and not result.broken else 'MISSED'}", flush=True)
        if options.times:
            print(" ".join(f"{t:.0f}" for t in took))
        rows.append(results.row(kind, [len(took), median, p99, worst, result.without, result.lost, plain,
                                       result.broken or "lives"], 0))
    results.save("restart", "tests/bench/bench_restart.py", "from the signal to the first datagram, " +
                 ("with a busy process for each processor, " if options.beside_load else "") + busy,
                 ["kills", "median, ms", "p99, ms", "worst, ms", "without a kill, ms", "datagrams lost", "packets in plain",
                  "TCP connection"], rows)


if __name__ == "__main__":
    main()
