# SPDX-License-Identifier: Apache-2.0
"""The agent's log and `status --watch`: their content, and that a reader that stops cannot stop the agent."""
import fcntl
import itertools
import json
import os
import pty
import re
import signal
import subprocess

from agents import enable, get
from hosts import PODVEIL, wait_for
from workload import Steady

F_SETPIPE_SZ = 1031


def metric(node, name):
    return float(re.search(rf"^{name} (\S+)$", get(node, "/metrics")[1], re.M).group(1))


def test_quiet_levels_and_json(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    agent = worker.agent
    assert re.search(r'level=info event="encrypting" peer=wireguard-worker2 key=[A-Za-z0-9+/]{8} '
                     r"interface=wireguard\.cali$", agent.log(), re.M), agent.log()
    # At level info, a healthy node with traffic logs nothing more.
    steady = Steady(c.client, c.server.address, rate=200)
    steady.more(100)
    before = agent.log()
    steady.more(400)
    assert agent.log() == before
    # A signal changes the level, and another changes it back.
    agent.process.send_signal(signal.SIGUSR1)
    wait_for(lambda: 'event="log level" now=debug' in agent.log(), "more is logged")
    agent.process.send_signal(signal.SIGUSR2)
    wait_for(lambda: 'event="log level" now=info' in agent.log(), "less is logged")
    # A setting changes level and format at once.
    c.configure(podveilLogLevel="debug", podveilLogFormat="json")
    wait_for(lambda: agent.status()["settings"]["podveilLogFormat"]["value"] == "json", "applied")
    mark = len(agent.log())
    worker.run("ip rule del pref 99")
    wait_for(lambda: "restored what another program changed" in agent.log()[mark:], "the log says so")
    lines = [json.loads(line) for line in agent.log()[mark:].splitlines()]
    assert any(x["event"] == "restored what another program changed" and x["tunnel"] == "ipv4" for x in lines)
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", x["time"]) for x in lines)
    # The log has no keys except public ones, shortened.
    private = worker.run("cat /run/podveil/wireguard.key /run/podveil/*key* 2>/dev/null || true").split()
    assert not [k for k in private if len(k) > 20 and k in agent.log()]
    assert steady.all_answered()


def test_a_log_that_nobody_reads(cluster):
    """If the log's reader stops or the disk is full, lines are lost and counted, and nothing else happens."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    worker.agent.stop()
    arguments = ["--node", worker.name, "--store", f"dir:{c.store}", "--pod-cidr",
                 f"{worker.pods4},{worker.pods6}", "--log-level", "debug"]
    steady = Steady(c.client, c.server.address, rate=200)
    process = worker.start([PODVEIL, "agent", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    fcntl.fcntl(process.stderr.fileno(), F_SETPIPE_SZ, 4096)
    worker.agent.process = process
    wait_for(lambda: c.encrypted(), "it runs")
    values = itertools.cycle(["nonsense", 1400])

    def chatter():
        c.configure(wireguardMTU=next(values))
        return metric(worker, "podveil_log_lines_lost_total") > 0
    wait_for(chatter, "the pipe is full", 40)
    c.configure(wireguardMTU=None)
    assert worker.agent.status() and get(worker, "/healthz") == (200, "ok\n")
    steady.more(200)
    assert steady.all_answered() and process.poll() is None and c.encrypted()
    worker.agent.stop()
    # A full disk.
    worker.run("mkdir -p /run/small && mount -t tmpfs -o size=16k tmpfs /run/small && "
               "head -c 100000 /dev/zero > /run/small/filler || true")
    process = worker.start(["sh", "-c", 'exec "$@" 2>>/run/small/log', "sh", PODVEIL, "agent", *arguments],
                           stdout=subprocess.DEVNULL)
    worker.agent.process = process
    wait_for(lambda: c.encrypted(), "it runs on a full disk")
    assert metric(worker, "podveil_log_lines_lost_total") > 0
    worker.run("rm /run/small/filler")
    c.configure(wireguardMTU="nonsense")
    wait_for(lambda: "lines_lost=" in worker.run("cat /run/small/log"), "it says how many were lost")


def test_status_document(cluster):
    """All members of the status document are in the manual page, and names that are not UTF-8 do not break it."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    with open(os.path.join(c.store.encode(), b"nodes", b"caf\xe9.json"), "w") as f:
        f.write("{ broken")
    status = wait_for(lambda: worker.agent.status()["store"]["errors"] and worker.agent.status(), "an error")
    assert "caf" in status["store"]["lastError"]
    page = re.sub(r"\\f[BIR]", "", worker.run([PODVEIL, "manual"]))
    page = page[page.index(".SH STATUS DOCUMENT"):page.index(".SH SIGNALS")]

    def members(o):
        if isinstance(o, dict):
            for name, value in o.items():
                yield name
                if name not in ("drops", "settings"):
                    yield from members(value)
        elif isinstance(o, list):
            for value in o:
                yield from members(value)
    missing = {m for m in members(status) if not re.search(rf"\b{m}\b", page)}
    assert not missing, missing
    assert "caf" in get(worker, "/")[1] and json.loads(get(worker, "/status")[1])["version"] == 1


def test_watch(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=200)
    # Without a terminal, it prints documents without colours, one after the other.
    process = worker.start([PODVEIL, "status", "--watch", "--json"], stderr=subprocess.DEVNULL)
    documents = [json.loads(process.stdout.readline()) for _ in range(3)]
    process.kill()
    assert documents[0]["version"] == 1 and documents[2]["time"] > documents[0]["time"]
    plain = worker.run([PODVEIL, "status"])
    assert "\033" not in plain
    assert re.search(r"^  wireguard-worker2 +encrypted +active +\d+ s ago +[\d.]+ [KM]?i?B +[\d.]+ [KM]?i?B$",
                     plain, re.M), plain
    # On a terminal, it uses colours and starts each document at the top of the screen.
    master, slave = pty.openpty()
    process = subprocess.Popen(worker.enter(["env", "TERM=xterm", PODVEIL, "status", "--watch"]),
                               stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    out = b""
    while out.count(b"\033[H") < 3:
        out += os.read(master, 65536)
    process.kill()
    process.wait()
    os.close(master)
    assert b"\033[32mencrypted" in out and b"KiB/s" in out
    # When its reader ends, it ends without a message.
    done = worker.run(f"timeout 10 {PODVEIL} status --watch | head -n 3; exit ${{PIPESTATUS:-0}}")
    assert done.count("\n") == 3
    # When the agent ends, it says so and continues.
    worker.agent.stop()
    process = worker.start([PODVEIL, "status", "--watch"])
    assert "no agent answers" in process.stdout.readline()
    assert process.poll() is None
    process.kill()
    assert steady.stop()["sent"] > 0
