# SPDX-License-Identifier: Apache-2.0
"""TCP to many addresses at once from one process, so that 64 peers cost no more processes than one does.

    flood.py sink ADDRESS...            prints "listening", and takes what comes until it is killed
    flood.py source SECONDS ADDRESS...  prints the bytes that arrived, the least of one stream, and the time;
                                        an address may come many times
"""
import fcntl
import selectors
import socket
import struct
import sys
import time

PORT, CHUNK = 7100, 1 << 18
SIOCOUTQ = 0x5411  # what the other end has not acknowledged


def sink(addresses):
    ready = selectors.DefaultSelector()
    for address in addresses:
        listener = socket.create_server((address, PORT))
        ready.register(listener, selectors.EVENT_READ, None)
    print("listening", flush=True)
    into = bytearray(1 << 20)
    while True:
        for key, _ in ready.select():
            if key.data is None:
                taken = key.fileobj.accept()[0]
                taken.setblocking(False)
                ready.register(taken, selectors.EVENT_READ, "stream")
            elif not key.fileobj.recv_into(into):
                ready.unregister(key.fileobj)
                key.fileobj.close()


def source(seconds, addresses):
    ready, sent, block = selectors.DefaultSelector(), {}, bytes(CHUNK)
    for address in addresses:
        stream = socket.create_connection((address, PORT), timeout=20)
        stream.setblocking(False)
        ready.register(stream, selectors.EVENT_WRITE)
        sent[stream] = 0
    began = time.monotonic()
    while (now := time.monotonic()) - began < seconds:
        for key, _ in ready.select(began + seconds - now):
            sent[key.fileobj] += key.fileobj.send(block)
    took = time.monotonic() - began
    arrived = [n - struct.unpack("i", fcntl.ioctl(s, SIOCOUTQ, b"\0" * 4))[0] for s, n in sent.items()]
    print(sum(arrived), min(arrived), took)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(sys.argv[2:])
    else:
        source(float(sys.argv[2]), sys.argv[3:])
