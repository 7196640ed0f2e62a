#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the agent in a large cluster: its store has 5,000 nodes with two ranges each."""
import base64
import json
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "deploy/lab"))

import results  # noqa: E402
from cluster import Cluster  # noqa: E402
from computer import process_seconds  # noqa: E402
from hosts import resident, wait_for  # noqa: E402

NODES = 5000
SCRAPED = 1000

# Prints the times of GETs over one connection in ms, and the size of the answer. We use the median of the times.
GET = """
import http.client, sys, time
took, c = [], http.client.HTTPConnection("127.0.0.1", 9586, timeout=10)
for _ in range(21):
    started = time.monotonic()
    c.request("GET", sys.argv[1]); n = len(c.getresponse().read())
    took.append(1000 * (time.monotonic() - started))
print(sorted(took)[10], max(took), n)
"""


# 128 clients request /status all the time and do not read the answers. Meanwhile, it times requests of /healthz, in ms.
CROWD = """
import http.client, socket, threading, time
over = threading.Event()
def ask():
    while not over.is_set():
        s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            s.connect(("127.0.0.1", 9586)); s.sendall(b"GET /status HTTP/1.1\\r\\n\\r\\n"); s.settimeout(20)
            s.recv(1); over.wait(2)
        except OSError: pass
        s.close()
crowd = [threading.Thread(target=ask) for _ in range(128)]
for t in crowd: t.start()
time.sleep(1)
took = []
for _ in range(50):
    started = time.monotonic()
    c = http.client.HTTPConnection("127.0.0.1", 9586, timeout=20)
    try:
        c.request("GET", "/healthz"); assert c.getresponse().read() == b"ok\\n"
        took.append(1000 * (time.monotonic() - started))
    except (OSError, http.client.HTTPException): took.append(20000)
    c.close()
    if sum(took) >= 20000: break
    time.sleep(0.1)
over.set()
print(sorted(took)[len(took) // 2], max(took))
"""


def record(i, ranges=2):
    return {"name": f"node-{i}", "ipv4": f"172.18.{1 + i // 250}.{1 + i % 250}",
            "podCIDRs": [f"{100 + k}.{i >> 8}.{i & 255}.0/24" for k in range(ranges)],
            "wireguardPublicKey": base64.b64encode(bytes([i >> 8, i & 255] + [7] * 29 + [1])).decode()}


def write(directory, r):
    path = os.path.join(directory, r["name"] + ".json")
    with open(path + ".tmp", "w") as f:
        json.dump(r, f)
    os.rename(path + ".tmp", path)


def documents():
    """Measures how long the agent takes for its HTTP documents when it has 1,000 peers."""
    with Cluster(1) as c:
        node, folder = c.nodes[0], os.path.join(c.store, "nodes")
        os.makedirs(folder)
        for i in range(SCRAPED):
            write(folder, record(i))
        c.configure(wireguardEnabled=True)
        agent = c.start_agent(node, "--uplink", "eth0", ready=False)
        wait_for(lambda: agent.status() and len(agent.status()["tunnels"][0]["peers"]) == SCRAPED, "peers", 60)
        for path, target in (("/metrics", " (target 20 ms)"), ("/status", ""), ("/", "")):
            median, worst, size = node.run(["python3", "-c", GET, path]).split()
            print(f"GET {path} with {SCRAPED} peers: median {float(median):.1f} ms, worst {float(worst):.1f} ms, "
                  f"{int(size) >> 10} KiB{target}")


def seconds_of_both(agent):
    """Processor seconds of the agent and its tunnel process."""
    return process_seconds(agent.process.pid) + process_seconds(agent.tunnel_process())


def main():
    documents()
    with Cluster(1) as c:
        node, folder = c.nodes[0], os.path.join(c.store, "nodes")
        os.makedirs(folder)
        for i in range(NODES):
            write(folder, record(i))
        c.configure(wireguardEnabled=True)

        def routes():
            return node.run("ip route show table 1 type throw | wc -l; wg show wireguard.cali peers | wc -l").split()

        started = time.monotonic()
        agent = c.start_agent(node, "--uplink", "eth0", ready=False)
        wait_for(lambda: agent.status() and agent.status()["store"]["synced"]
                 and len(agent.status()["tunnels"][0]["peers"]) == NODES, "initial sync", 60)
        wait_for(lambda: int(routes()[0]) >= 2 * NODES, "all routes are there", 60)
        synced = time.monotonic() - started
        print(f"initial sync, {NODES} nodes of 2 ranges: {synced:.2f} s (target 5 s)")
        used = seconds_of_both(agent)
        started = time.monotonic()
        median, worst = node.run(["python3", "-c", CROWD]).split()
        share = (seconds_of_both(agent) - used) / (time.monotonic() - started)
        print(f"GET /healthz beside 128 clients that ask for /status of {NODES} peers and do not read: median "
              f"{float(median):.1f} ms, worst {float(worst):.0f} ms (target 100 ms); the agent had {share:.2f} processors")
        # A change is applied when `ip monitor` reports its route.
        monitor = node.start(["ip", "-4", "monitor", "route"])
        took = []
        for n in range(20):
            # Each change has its own range, so that the monitor's line identifies it.
            fresh = {**record(n), "podCIDRs": [f"110.{n}.0.0/24"]}
            started = time.monotonic()
            write(folder, fresh)
            for line in monitor.stdout:
                if f"110.{n}.0.0/24" in line:
                    break
            took.append(1000 * (time.monotonic() - started))
        took.sort()
        print(f"one change applied: median {took[10]:.1f} ms, worst {took[-1]:.1f} ms (target 20 ms)")
        memory = (resident(agent.process.pid) + resident(agent.tunnel_process())) / 1024  # of both processes
        print(f"resident memory: {memory:.0f} MiB (target 200 MiB)")
        results.save("agent", "tests/bench/bench_agent.py", "one run, the median of 20 changes", ["measured"], [
            results.row(f"first sync of {NODES:,} nodes with 2 ranges each, s", [synced], 1),
            results.row("one change applied, ms", [took[10]], 0), results.row("resident memory, MiB", [memory], 0)])

        before = seconds_of_both(agent)
        time.sleep(5)
        used = seconds_of_both(agent) - before
        print(f"at rest: {used / 5 * 100:.1f} % of a core (most of it handshakes with nobody)")


if __name__ == "__main__":
    main()
