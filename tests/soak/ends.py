#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The two ends of the soak's traffic. They run in pods.

    ends.py answer ADDRESS            echoes datagrams and the requests of TCP connections
    ends.py ask KIND ADDRESS SEED     sends random bytes and compares the answer, until its input ends. KIND:
                                      udp  a datagram each 20 ms, which is never repeated
                                      tcp  requests of up to 64 KiB in one connection
                                      new  a connection for each request

The one that asks prints a line of JSON for each request that failed, with the times (CLOCK_MONOTONIC) between which it was
under way, one for each silence, that is, a long time between two answers, and at the end one with totals. If it reads the line
"answer", it prints when it sent the first of the later requests that was answered; at "settled", of those before which all
requests, since the one that it printed last, were answered or have failed. Memory does not grow with time.
"""
import contextlib
import json
import os
import random
import select
import socket
import struct
import sys
import threading
import time

PORT = 7100
PATIENCE = 10  # seconds until a datagram counts as lost
TCP_PATIENCE = 60  # seconds until a connection does: longer than the kernel waits before it repeats a segment
SILENCE = 0.1  # seconds without an answer that are reported
INTERVAL = {"udp": 0.02, "tcp": 0.05, "new": 0.1}
SIZES = (20, 100, 600, 1150)  # bytes of datagrams that fit with each MTU of the soak
OTHER_BYTES = "other bytes came back"
FRAGMENTED = 3000  # bytes; IPv4 only
IP_MTU_DISCOVER, IP_PMTUDISC_DONT, SO_RCVBUFFORCE = 10, 0, 33


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def datagrams(address):
    s = socket.socket(family(address), socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)  # the loss is not here
    if s.family == socket.AF_INET:
        # A datagram above the tunnel's MTU is cut, not refused.
        s.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DONT)
    return s


def read(s, length):
    data = b""
    while len(data) < length:
        part = s.recv(length - len(data))
        if not part:
            raise OSError("the other end closed the connection")
        data += part
    return data


def echo_connection(s):
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with contextlib.suppress(OSError), s:
        while True:
            head = read(s, 4)
            s.sendall(head + read(s, struct.unpack("!I", head)[0]))


def echo_datagrams(s):
    while True:
        with contextlib.suppress(OSError):
            data, who = s.recvfrom(1 << 16)
            s.sendto(data, who)


def answer(address):
    udp, tcp = datagrams(address), socket.socket(family(address), socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    for s in (udp, tcp):
        s.bind((address, PORT))
    tcp.listen(64)
    print("listening", flush=True)
    threading.Thread(target=echo_datagrams, args=(udp,), daemon=True).start()
    while True:
        threading.Thread(target=echo_connection, args=(tcp.accept()[0],), daemon=True).start()


class Tally:
    """Counts the requests, reports on them, and reads what the soak writes."""

    def __init__(self):
        self.sent = self.failed = 0
        self.last = time.monotonic()  # when an answer came
        self.asked = None  # since when the soak waits for an answer
        self.settled = False  # and whether for one before which nothing is under way
        self.printed = 0  # when the request was sent that was printed last
        self.ended = False

    def read(self):
        """Reads the standard input, which is ready."""
        if line := os.read(sys.stdin.fileno(), 1 << 10):
            self.asked, self.settled = time.monotonic(), line == b"settled\n"
        else:
            self.ended = True

    def sleep(self, seconds):
        """Returns False when the input has ended."""
        end = time.monotonic() + seconds
        while not self.ended and (left := end - time.monotonic()) > 0:
            if select.select([sys.stdin], [], [], left)[0]:
                self.read()
        return not self.ended

    def answer(self, begin, under_way=()):
        """A request that was sent at `begin` was answered. `under_way`: when the others were sent, the oldest one first."""
        now = time.monotonic()
        if now - self.last > SILENCE:
            print(json.dumps({"silence": now - self.last, "end": now}), flush=True)
        self.last = now
        if self.asked is None or begin < self.asked:
            return
        oldest = next((sent for sent in under_way if sent > self.printed), begin)
        if not self.settled or oldest >= begin:
            self.asked, self.printed = None, begin
            print(json.dumps({"answered": begin}), flush=True)

    def fail(self, begin, why):
        self.failed += 1
        print(json.dumps({"begin": begin, "end": time.monotonic(), "why": why}), flush=True)


def ask_datagrams(address, dice, tally):
    s = datagrams(address)
    s.connect((address, PORT))
    s.setblocking(False)
    waiting, due, end = {}, time.monotonic(), None
    while end is None or (waiting and time.monotonic() < end):
        now = time.monotonic()
        if end is None and now >= due:
            due = max(due + INTERVAL["udp"], now - 1)
            size = dice.choice(SIZES + ((FRAGMENTED,) if s.family == socket.AF_INET else ()))
            data = struct.pack("!Q", tally.sent) + dice.randbytes(size - 8)
            waiting[tally.sent] = now, data
            tally.sent += 1
            # What ICMP reported about an earlier datagram is no failure of this one: whether it is answered decides.
            for _ in range(2):
                with contextlib.suppress(OSError):
                    s.send(data)
                    break
        wait = 0.2 if end else max(0, due - time.monotonic())
        ready, _, _ = select.select([s] + ([] if end else [sys.stdin]), [], [], wait)
        if sys.stdin in ready:
            tally.read()
            end = time.monotonic() + PATIENCE if tally.ended else None
        with contextlib.suppress(OSError):
            while s in ready:
                data = s.recv(1 << 16)
                begin, sent = waiting.pop(struct.unpack("!Q", data[:8])[0], (None, None))
                if sent is None:
                    continue  # it came too late, or twice
                if sent == data:
                    tally.answer(begin, (sent for sent, _ in waiting.values()))
                else:
                    tally.fail(begin, OTHER_BYTES)
        for number, (begin, _) in list(waiting.items()):
            if begin > time.monotonic() - PATIENCE:
                break
            del waiting[number]
            tally.fail(begin, "no answer")
    for begin, _ in waiting.values():
        tally.fail(begin, "no answer")


def connection(address, seconds):
    s = socket.create_connection((address, PORT), timeout=seconds)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def ask_once(s, dice, limit):
    data = dice.randbytes(dice.randrange(1, limit))
    s.sendall(struct.pack("!I", len(data)) + data)
    if read(s, 4 + len(data))[4:] != data:
        raise OSError(OTHER_BYTES)


def ask_connection(address, dice, tally):
    s = connection(address, TCP_PATIENCE)
    while tally.sleep(INTERVAL["tcp"]):
        tally.sent += 1
        begin = time.monotonic()
        try:
            ask_once(s, dice, 1 << 16)
            tally.answer(begin)
        except OSError as e:
            tally.fail(begin, str(e))
            s = connection(address, TCP_PATIENCE)


def ask_anew(address, dice, tally):
    while tally.sleep(INTERVAL["new"]):
        tally.sent += 1
        begin = time.monotonic()
        try:
            with connection(address, PATIENCE) as s:
                ask_once(s, dice, 1 << 12)
            tally.answer(begin)
        except OSError as e:
            tally.fail(begin, str(e))


def main():
    if sys.argv[1] == "answer":
        answer(sys.argv[2])
    kind, address, seed = sys.argv[2:]
    tally = Tally()
    print("asking", flush=True)
    {"udp": ask_datagrams, "tcp": ask_connection, "new": ask_anew}[kind](address, random.Random(int(seed)), tally)
    print(json.dumps({"sent": tally.sent, "failed": tally.failed}), flush=True)


if __name__ == "__main__":
    main()
