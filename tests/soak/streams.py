# SPDX-License-Identifier: Apache-2.0
"""The soak's traffic: requests from pod to pod, which of them failed, and when they may."""
import contextlib
import json
import os
import queue
import subprocess
import sys
import threading

from ends import OTHER_BYTES
from hosts import BUSY, Failed

ENDS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ends.py")
ANSWER = 60  # seconds, on an idle machine, within which there must be an answer where there is a way


def answer(pod):
    for address in (pod.address, pod.address6):
        server = pod.start([sys.executable, ENDS, "answer", address])
        if server.stdout.readline() != "listening\n":
            raise Failed(f"{pod.name} does not answer")


class Stream:
    """Requests of one kind from the pod of one node to that of another. What it reports arrives while it runs."""

    def __init__(self, kind, nodes, address, seed, heard):
        """heard(stream, end, seconds) is called for each silence."""
        source, self.nodes = nodes[0].pods[0], nodes
        self.name, self.kind = f"{kind} {source.name} to {address}", kind
        self.failures, self.total, self.heard = [], None, heard
        self.excuses = []  # [(begin, end)]: what is sent then may fail
        self.answers = queue.Queue()
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
            elif "answered" in said:
                self.answers.put(said["answered"])
            elif "silence" in said:
                self.heard(self, said["end"], said["silence"])
            else:
                self.failures.append(said)

    def ask(self, what):
        """Makes the next answer known to answered(). `what`: ends.py."""
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()

    def answered(self):
        """Waits, and returns when the request was sent (CLOCK_MONOTONIC)."""
        try:
            return self.answers.get(timeout=ANSWER * BUSY)
        except queue.Empty:
            raise Failed(f"{self.name}: no answer in {ANSWER * BUSY} s") from None

    def may_fail(self):
        """Connections that exist live through everything. Datagrams and new connections need a way."""
        return self.kind != "tcp"

    def is_excused(self, failure):
        return self.may_fail() and failure["why"] != OTHER_BYTES and any(a <= failure["begin"] <= b for a, b in self.excuses)

    def stop(self):
        self.process.stdin.close()
        self.reader.join(120)
        if self.total is None:
            self.failures.append({"begin": 0, "end": 0, "why": "it did not end"})
            self.total = {"sent": 0}


def next_answers(streams, what="answer"):
    """Waits until each has a new answer. Returns when they sent these requests."""
    for stream in streams:
        stream.ask(what)
    return [stream.answered() for stream in streams]


@contextlib.contextmanager
def no_way(streams, node):
    """What is inside keeps the packets of this node from arriving. Requests may fail from the last one that was answered
    before it, and no earlier one is under way then, until the first one that is answered after it. What is inside ends when
    nothing more keeps them."""
    those = [stream for stream in streams if node in stream.nodes and stream.may_fail()]
    begins = next_answers(those, "settled")
    yield
    for stream, begin, end in zip(those, begins, next_answers(those)):
        stream.excuses.append((begin, end))


def excused(streams):
    """Seconds in which one stream or another was excused."""
    total, until = 0, 0
    for begin, end in sorted(excuse for stream in streams for excuse in stream.excuses):
        total += max(0, end - max(begin, until))
        until = max(until, end)
    return total
