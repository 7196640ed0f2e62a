# SPDX-License-Identifier: Apache-2.0
"""The lab itself: it comes up, is used, breaks, is repaired, and goes down. Its check for leaks finds leaks."""
import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import sys

import pytest

import doc_commands
from lab import ROOT, Capture, wait_for
from cluster import Cluster, leaks
from traffic import ping

LAB = os.path.join(ROOT, "deploy/lab/lab")


@pytest.fixture
def lab_command(tmp_path):
    state = tmp_path / "lab.json"

    def run(*arguments):
        done = subprocess.run(["/usr/bin/python3", LAB, *arguments], capture_output=True, text=True,
                              timeout=90, stdin=subprocess.DEVNULL,
                              env={**os.environ, "PODVEIL_LAB_STATE": str(state)})
        return done.returncode, done.stdout + done.stderr
    run.state = state
    yield run
    run("down")


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processes_of(holder):
    """All processes that a lab started, also those that outlived their parents."""
    mark, found = f"PODVEIL_LAB={holder['pid']}-{holder['start']}", []
    for environment in glob.glob("/proc/[0-9]*/environ"):
        with contextlib.suppress(OSError), open(environment, errors="replace") as f:
            if mark in f.read().split("\0"):
                found.append(environment)
    return found


def test_lab_up_break_repair_down(lab_command):
    lab = lab_command
    assert lab("status") == (1, "down\n")
    assert lab("exec", "wireguard-worker", "true")[0] == 1
    assert lab("up")[0] == 0
    assert lab("up") == (0, "the lab is up already\n")
    assert "ipv4: off" in lab("exec", "wireguard-worker", "podveil", "status")[1]
    assert "API-Key" in lab("capture", "wireguard-worker", "1")[1]
    assert lab("exec", "nowhere", "true")[0] == 1
    first = json.loads(lab.state.read_text())
    # A part of the lab dies: `status` notices, and `up` makes the lab anew.
    os.kill(first["hosts"]["wireguard-worker"]["pid"], signal.SIGKILL)
    wait_for(lambda: not lives(first["hosts"]["wireguard-worker"]["pid"]), "it is gone")
    assert lab("status")[0] == 1
    assert lab("up")[0] == 0
    # The holder dies: all of the lab ends with it.
    second = json.loads(lab.state.read_text())
    os.kill(second["holder"]["pid"], signal.SIGKILL)
    wait_for(lambda: not lives(second["holder"]["pid"]), "the holder is gone")
    code, out = lab("up")
    assert code == 0 and "frontend-client" in out
    assert " 1 received" in lab("exec", "frontend-client", "ping", "-c", "1", "10.244.2.2")[1]
    third = json.loads(lab.state.read_text())
    assert lab("down")[0] == 0
    for s in (first, second, third):
        assert not [d for d in s["directories"] if os.path.exists(d)]
        assert not [h for h in s["hosts"].values() if lives(h["pid"])]
        assert not processes_of(s["holder"])
    assert not lab.state.exists()


def test_the_leak_check_finds_plaintext():
    """leaks() finds readable packets, directly and in VXLAN, of both IP versions, by address and by marker."""
    with Cluster(2) as c:
        a, b = c.pod(c.nodes[0], "a"), c.pod(c.nodes[1], "b")
        for address in (b.address, b.address6):
            capture = Capture(c.nodes[0], "eth0", "udp port 4789")
            assert ping(a, address) == 3
            capture.stop()
            packets = capture.packets()
            assert len(leaks(packets, marker=None)) == len(packets) >= 6
        c.nodes[0].run(f"ip route replace {c.nodes[1].pods4} via {c.nodes[1].address}")
        capture = Capture(c.nodes[0], "eth0", "icmp")
        ping(a, b.address, deadline=2)
        capture.stop()
        assert leaks(capture.packets(), marker=None)
        capture = Capture(c.nodes[0], "eth0", "udp port 9")
        c.nodes[0].run(f"echo MARKER | nc -u -w 1 {c.nodes[1].address} 9")
        capture.stop()
        assert not leaks(capture.packets(), marker=None)
        assert leaks(capture.packets(), marker=b"MARKER")


def test_the_demo():
    """make demo shows secrets that are readable, then not readable, then readable again."""
    done = subprocess.run([sys.executable, os.path.join(ROOT, "deploy/lab/demo.py")], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    secrets = re.search(r"secrets that can be read +(\d+) +(\d+) +(\d+)", done.stdout)
    assert int(secrets[1]) > 0 and int(secrets[2]) == 0 and int(secrets[3]) > 0, done.stdout
    assert re.search(r"egress_packets +[1-9]", done.stdout)
    for block in doc_commands.blocks("demo"):
        shown = doc_commands.Command("", "make demo", block.text.splitlines())
        line = doc_commands.missing(shown, done.stdout)
        assert line is None, f"{doc_commands.name(block)}: the demo does not print: {line}"
