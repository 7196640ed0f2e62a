# SPDX-License-Identifier: Apache-2.0
"""Traffic between hosts of the lab, with proof that what arrives is what was sent."""
import json
import re

# Runs on a host: receives one TCP connection, prints "listening", then the SHA-256 of what came.
_RECEIVE = """
import hashlib, socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], 7000)); s.listen(); print('listening', flush=True)
c, _ = s.accept(); h = hashlib.sha256(); n = 0
while True:
    data = c.recv(1 << 20)
    if not data: break
    h.update(data); n += len(data)
print(n, h.hexdigest())
"""

_SEND = """
import hashlib, os, socket, sys
s = socket.create_connection((sys.argv[1], 7000), timeout=20); h = hashlib.sha256()
block = os.urandom(1 << 20)
for i in range(int(sys.argv[2])):
    data = i.to_bytes(8, 'big') + block
    h.update(data); s.sendall(data)
s.close(); print(h.hexdigest())
"""

# Echoes datagrams; prints "listening".
_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7001)); print('listening', flush=True)
while True:
    data, who = s.recvfrom(65536); s.sendto(data, who)
"""

# Sends a datagram of each size and wants it back, up to three times: UDP may lose.
_ASK = """
import os, socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.connect((sys.argv[1], 7001)); s.settimeout(1)
for size in map(int, sys.argv[2:]):
    data = os.urandom(size)
    for attempt in range(3):
        s.send(data)
        try:
            if s.recv(65536) == data: break
        except TimeoutError: pass
    else: sys.exit(f'{size} bytes did not come back')
print('ok')
"""


def transfer(source, sink, address, mebibytes):
    """A TCP stream of random bytes; raises where what arrives differs."""
    receiver = sink.start(["python3", "-c", _RECEIVE, address])
    assert receiver.stdout.readline() == "listening\n"
    sent = source.run(["python3", "-c", _SEND, address, str(mebibytes)], timeout=120).strip()
    out, _ = receiver.communicate(timeout=30)
    length, digest = out.split()
    assert int(length) == mebibytes * ((1 << 20) + 8)
    assert digest == sent


def echo(source, sink, address, sizes):
    """UDP datagrams of these sizes there and back."""
    server = sink.start(["python3", "-c", _ECHO, address])
    assert server.stdout.readline() == "listening\n"
    try:
        assert source.run(["python3", "-c", _ASK, address, *map(str, sizes)]).strip() == "ok"
    finally:
        server.kill()


def ping(source, address, count=3, size=56, interval=0.05, deadline=10):
    """How many of `count` were answered."""
    done = source.run(["ping", "-n", "-c", str(count), "-i", str(interval), "-s", str(size),
                       "-W", "2", "-w", str(deadline), address], check=False, timeout=deadline + 5)
    found = re.search(r"(\d+) received", done.stdout)
    # With a deadline it goes on until so many are answered, and then more may have been sent.
    return min(count, int(found.group(1))) if found else 0


def counters(node, name="wg0"):
    """The device's counters, summed over slots, through the pinned map."""
    text = node.run(["bpftool", "-j", "map", "dump", "pinned",
                     f"/sys/fs/bpf/podveil/{name}/counters"])
    total = {}
    for entry in json.loads(text):
        for field, value in entry["formatted"]["value"].items():
            if not isinstance(value, dict):  # a histogram
                total[field] = total.get(field, 0) + value
    return total
