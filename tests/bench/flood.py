# SPDX-License-Identifier: Apache-2.0
"""TCP streams to many addresses at once, from one process, so that 64 peers need no more processes than one.

    flood.py sink ADDRESS...            prints "listening", and receives until it is killed
    flood.py source SECONDS ADDRESS...  prints the bytes received by all streams, by the slowest, and the time;
                                        an address may be given many times; the first is the sink's first

Only bytes that the sink has read count, and the sink measures the time: with 256 streams, the socket buffers can hold
more bytes than the path carries in a second.
"""
import selectors
import socket
import sys
import time

PORT, CONTROL, CHUNK = 7100, 7101, 1 << 18


class Sink:
    def __init__(self, addresses):
        self.ready, self.taken, self.began = selectors.DefaultSelector(), {}, 0.0
        self.into = bytearray(1 << 20)
        for address in addresses:
            self.watch(socket.create_server((address, PORT)), self.accept)
        self.watch(socket.create_server((addresses[0], CONTROL)), self.accept_control)

    def watch(self, what, act):
        self.ready.register(what, selectors.EVENT_READ, act)

    def drop(self, what):
        self.ready.unregister(what)
        self.taken.pop(what, None)
        what.close()

    def accept(self, listener):
        stream = listener.accept()[0]
        stream.setblocking(False)
        self.taken[stream] = 0
        self.watch(stream, self.take)

    def take(self, stream):
        if stream not in self.taken:  # an earlier event has just removed it
            return
        try:
            got = stream.recv_into(self.into)
        except ConnectionError:
            got = 0
        if got:
            self.taken[stream] += got
        else:
            self.drop(stream)

    def accept_control(self, listener):
        self.watch(listener.accept()[0], self.obey)

    def obey(self, control):
        """Handles a command of the source: the first starts a measurement; the second ends it and closes its streams, read
        to their end or not."""
        word = control.recv(1)
        if word == b"b":
            self.taken, self.began = dict.fromkeys(self.taken, 0), time.monotonic()
        elif word == b"e":
            counts, took = list(self.taken.values()), time.monotonic() - self.began
            control.send(f"{sum(counts)} {min(counts)} {took}\n".encode())
            for stream in list(self.taken):
                self.drop(stream)
        else:
            self.drop(control)

    def serve(self):
        while True:
            for key, _ in self.ready.select():
                key.data(key.fileobj)


def source(seconds, addresses):
    ready, block = selectors.DefaultSelector(), bytes(CHUNK)
    control = socket.create_connection((addresses[0], CONTROL), timeout=60)
    for address in addresses:
        stream = socket.create_connection((address, PORT), timeout=20)
        stream.setblocking(False)
        ready.register(stream, selectors.EVENT_WRITE)
    control.send(b"b")
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        for key, _ in ready.select(end - now):
            key.fileobj.send(block)
    control.send(b"e")
    print(control.makefile().readline(), end="")


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink = Sink(sys.argv[2:])
        print("listening", flush=True)
        sink.serve()
    else:
        source(float(sys.argv[2]), sys.argv[3:])
