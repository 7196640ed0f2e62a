# SPDX-License-Identifier: Apache-2.0
"""Low latency: how workers are scheduled, whether processors sleep, and what is reported if this cannot be set."""
import json
import os
import re

from agents import enable, get
from lab import PODVEIL, Device, implementation, wait_for
from traffic import ping
from workload import Steady

COMMAND = implementation("podveil")
AS_OTHERS, FIRST = 0, 2  # SCHED_OTHER, SCHED_RR
AWAKE = "/dev/cpu_dma_latency"


def policies(pid):
    """The scheduling policy of each worker."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm") as f:
            worker = f.read().startswith("podveil-w")
        if worker:
            found.append(os.sched_getscheduler(int(task)))
    return found


def keeps_awake(pid):
    return any(os.readlink(f"/proc/{pid}/fd/{fd}") == AWAKE for fd in os.listdir(f"/proc/{pid}/fd"))


FLOOD = """
import socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 7009))
end = time.monotonic() + 30
while time.monotonic() < end: s.send(bytes(64))
"""


def test_a_device(lab):
    """Workers run first while that harms no other program, and are scheduled like all others under many small packets."""
    left, right = (Device(node, COMMAND, arguments=["--low-latency"]) for node in (lab.a, lab.b))
    lab.connect(left, right)
    assert ping(lab.pod_a, "10.0.2.2") == 3
    pid = left.pid()
    wait_for(lambda: set(policies(pid)) == {FIRST}, "workers have priority")
    assert keeps_awake(pid)
    lab.pod_b.run("nft add table ip t; nft add chain ip t input '{ type filter hook input priority 0; }'; "
                  "nft add rule ip t input udp dport 7009 drop")
    flood = lab.pod_a.start(["python3", "-c", FLOOD, "10.0.2.2"])
    wait_for(lambda: set(policies(pid)) == {AS_OTHERS}, "workers give up their priority")
    flood.kill()
    flood.wait()
    assert ping(lab.pod_a, "10.0.2.2") == 3
    wait_for(lambda: ping(lab.pod_a, "10.0.2.2", count=1) and set(policies(pid)) == {FIRST},
             "workers go first again")


def test_without_low_latency_workers_have_no_priority(lab):
    device = Device(lab.a, COMMAND)
    assert set(policies(device.pid())) == {AS_OTHERS} and not keeps_awake(device.pid())


def test_a_missing_right_is_named(lab):
    lame = ["setpriv", "--bounding-set", "-sys_nice", "--inh-caps", "-sys_nice", *COMMAND]
    left, right = Device(lab.a, lame, arguments=["--low-latency"]), Device(lab.b, COMMAND)
    lab.connect(left, right)
    assert ping(lab.pod_a, "10.0.2.2") == 3
    assert 'lacks="workers have no priority over other threads, SCHED_RR: Operation not permitted"' in left.log.read()


def test_the_setting(cluster):
    """The setting can be switched on and off under traffic; status, doctor and metrics show it."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    pid = worker.agent.tunnel_process()
    steady = Steady(c.client, c.server.address, rate=100)
    c.configure(podveilLowLatency=True)
    wait_for(lambda: set(policies(pid)) == {FIRST}, "workers have priority")
    assert keeps_awake(pid)
    tunnel = worker.agent.status()["tunnels"][0]
    assert tunnel["lowLatency"] is True and tunnel["lowLatencyLacks"] is None
    assert ", low latency\n" in worker.run([PODVEIL, "status"])
    findings = {f["check"]: f for f in json.loads(worker.run([PODVEIL, "doctor", "--json"]))}
    assert findings["latency"]["verdict"] == "ok"
    assert 'podveil_low_latency{iface="wireguard.cali"} 1\n' in get(worker, "/metrics")[1]
    assert 'podveil_low_latency_lacking{iface="wireguard.cali"} 0\n' in get(worker, "/metrics")[1]
    steady.more(50)
    c.configure(podveilLowLatency=None)
    wait_for(lambda: set(policies(pid)) == {AS_OTHERS}, "workers have no priority")
    assert not keeps_awake(pid)
    assert worker.agent.status()["tunnels"][0]["lowLatency"] is False
    assert "latency" not in worker.run([PODVEIL, "status"])
    assert 'podveil_low_latency{iface="wireguard.cali"} 0\n' in get(worker, "/metrics")[1]
    steady.more(50)
    assert steady.all_answered()
    assert re.search(r'event="low latency"', worker.agent.log())
