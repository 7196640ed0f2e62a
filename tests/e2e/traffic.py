# SPDX-License-Identifier: Apache-2.0
"""Traffic between hosts of the lab; each function checks that what arrives is what was sent."""
import json
import re
import subprocess
import sys

from hosts import BUSY

# Runs on a host: prints "listening", accepts one TCP connection, and prints the length and SHA-256 of what came.
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

# Prints "listening" and echoes datagrams.
_ECHO = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7001)); print('listening', flush=True)
while True:
    data, who = s.recvfrom(65536); s.sendto(data, who)
"""

# Sends a datagram of each size and expects it back. It tries up to three times, because UDP may lose datagrams.
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

# Echoes numbered requests. When its input ends, it prints how many different ones came.
_ANSWER = """
import select, socket, sys
kind, address = sys.argv[1], sys.argv[2]
family = socket.AF_INET6 if ':' in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, 7002)); seen = set()
if kind == 'udp': s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE: the loss is not here
else: s.listen()
print('listening', flush=True)
if kind == 'tcp':
    s, _ = s.accept(); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while True:
    ready, _, _ = select.select([s, sys.stdin], [], [])
    if s in ready:
        if kind == 'udp':
            data, who = s.recvfrom(65536); seen.add(data); s.sendto(data, who)
        else:
            data = s.recv(65536)
            if not data: break
            s.sendall(data)
    elif sys.stdin in ready: break
print(len(seen))
"""

# Sends a numbered request each millisecond until its input ends. Then it waits for answers that are under way, and
# prints as JSON how many came, and when answers were missing.
_REQUEST = """
import json, select, socket, struct, sys, time
kind, address, interval = sys.argv[1], sys.argv[2], float(sys.argv[3])
family = socket.AF_INET6 if ':' in address else socket.AF_INET
s = socket.socket(family, socket.SOCK_DGRAM if kind == 'udp' else socket.SOCK_STREAM)
if kind == 'udp': s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)
s.settimeout(10); s.connect((address, 7002)); s.setblocking(False)
if kind == 'tcp': s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
sent, answered, refused, rest, gap, broken = [], set(), 0, b'', (0, 0), None
print('asking', flush=True)
last = due = time.monotonic(); end = None
while end is None or (len(answered) < len(sent) and time.monotonic() < end and not broken):
    now = time.monotonic()
    if end is None and now >= due:
        # Who was kept from running catches up with a few, not with a burst that queues cannot hold.
        due = max(due + interval, now - 50 * interval)
        try: s.send(struct.pack('!Q', len(sent))); sent.append(time.time())
        except BlockingIOError: pass  # TCP: its window is full, the next one comes later
        except OSError as e:
            refused += 1; sent.append(time.time())
            if kind == 'tcp': broken = str(e)
    wait = 0.5 if end else max(0, due - time.monotonic())
    ready, _, _ = select.select([s] + ([] if end else [sys.stdin]), [], [], wait)
    if sys.stdin in ready: end = time.monotonic() + float(sys.argv[4])
    if s not in ready: continue
    try:
        while True:
            data = s.recv(65536)
            if not data: broken = 'closed'; break
            now = time.monotonic(); data = rest + data; whole = len(data) // 8 * 8; rest = data[whole:]
            answered.update(n for n, in struct.iter_unpack('!Q', data[:whole]))
            gap = max(gap, (now - last, time.time())); last = now
    except BlockingIOError: pass
    except OSError as e:
        if kind == 'tcp': broken = str(e)
missing = [n for n in range(len(sent)) if n not in answered]
print(json.dumps({'sent': len(sent), 'lost': len(missing), 'refused': refused, 'broken': broken,
    'gap_ms': round(gap[0] * 1000, 1), 'gap_at': gap[1], 'lost_at': [sent[n] for n in missing[:2000]]}))
"""


class Requests:
    """Requests from one host to another, one each `interval` seconds, from when the constructor returns until stop(). Lost
    UDP requests are not repeated, and the two ends drop none, because their buffers are large. stop() waits at most
    `patience` seconds for answers. (ping(8) waits only for twice its longest round trip, so late answers from a machine
    that was busy for a moment would count as lost.)"""

    def __init__(self, source, sink, address, kind="udp", interval=0.001, patience=2):
        self.server = sink.start([sys.executable, "-c", _ANSWER, kind, address], stdin=subprocess.PIPE)
        assert self.server.stdout.readline() == "listening\n"
        self.client = source.start([sys.executable, "-c", _REQUEST, kind, address, str(interval), str(patience)],
                                   stdin=subprocess.PIPE)
        line = self.client.stdout.readline()
        assert line == "asking\n", line + self.client.stdout.read()

    def stop(self):
        """Returns {sent, lost, lost_requests (UDP: those of the lost whose request did not arrive), broken (TCP: why the
        connection ended), gap_ms (the longest time without an answer), lost_at (Unix times)}."""
        out, _ = self.client.communicate("\n", timeout=120)
        result = json.loads(out)
        received, _ = self.server.communicate("\n", timeout=60)
        if not result["broken"]:
            result["lost_requests"] = result["sent"] - int(received)
        return result


def transfer(source, sink, address, mebibytes):
    """Sends a TCP stream of random bytes; raises if other bytes arrive."""
    receiver = sink.start(["python3", "-c", _RECEIVE, address])
    assert receiver.stdout.readline() == "listening\n"
    sent = source.run(["python3", "-c", _SEND, address, str(mebibytes)], timeout=120).strip()
    out, _ = receiver.communicate(timeout=60)
    length, digest = out.split()
    assert int(length) == mebibytes * ((1 << 20) + 8)
    assert digest == sent


def echo(source, sink, address, sizes):
    """Sends UDP datagrams of these sizes, which the sink echoes."""
    server = sink.start(["python3", "-c", _ECHO, address])
    assert server.stdout.readline() == "listening\n"
    try:
        assert source.run(["python3", "-c", _ASK, address, *map(str, sizes)]).strip() == "ok"
    finally:
        server.kill()


def ping(source, address, count=3, size=56, interval=0.05, deadline=10 * BUSY):
    """Sends `count` pings; returns how many were answered."""
    done = source.run(["ping", "-n", "-c", str(count), "-i", str(interval), "-s", str(size),
                       "-W", "2", "-w", str(deadline), address], check=False, timeout=deadline + 5)
    found = re.search(r"(\d+) received", done.stdout)
    if not found or int(found.group(1)) < count:
        print(f"ping {address}: exit code {done.returncode}\n{done.stdout[-600:]}{done.stderr}")  # pytest shows it if the test fails
    # With a deadline, ping sends until `count` are answered; it may have got more answers than that.
    return min(count, int(found.group(1))) if found else 0


def counters(node, name="wg0"):
    """The device's counters from the pinned map, summed over all slots."""
    text = node.run(["bpftool", "-j", "map", "dump", "pinned",
                     f"/sys/fs/bpf/podveil/{name}/counters"])
    total = {}
    for entry in json.loads(text):
        for field, value in entry["formatted"]["value"].items():
            if not isinstance(value, dict):  # a histogram
                total[field] = total.get(field, 0) + value
    return total
