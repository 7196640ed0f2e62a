# SPDX-License-Identifier: Apache-2.0
"""podveil verify reports encrypted, plaintext or unknown, as tcpdump would show it."""
import json
import re
import signal
import subprocess

from agents import enable
from hosts import PODVEIL, THROUGH_AF_XDP, Capture, wait_for
from traffic import ping
from workload import Steady

ENCRYPTED, PLAINTEXT, UNKNOWN = 0, 1, 2


def verify(node, *arguments):
    """(exit code, document)"""
    done = node.run([PODVEIL, "verify", "--json", *arguments], check=False)
    return done.returncode, json.loads(done.stdout)


def test_verdicts(cluster):
    c, worker = cluster, cluster.nodes[1]
    # Without traffic it cannot tell.
    code, found = verify(worker, "--seconds", "1")
    assert (code, found["verdict"]) == (UNKNOWN, "unknown") and not found["examples"]
    steady = Steady(c.client, c.server.address, rate=100)
    done = worker.run([PODVEIL, "verify", "--seconds", "1"], check=False)
    assert done.returncode == PLAINTEXT
    assert re.search(r"plain: tcp 10\.244\.1\.2 -> 10\.244\.2\.2 port \d+ -> 8080, in VXLAN, leaving, "
                     r"pod of wireguard-worker2", done.stdout), done.stdout
    assert "encryption is off on this node" in done.stdout
    assert re.search(r"verdict: PLAINTEXT: \d+ packets", done.stdout)
    enable(c)
    steady.more(100)
    capture = Capture(worker, "eth0", "udp port 51820")
    code, found = verify(worker, "--seconds", "2")
    capture.stop()
    assert (code, found["verdict"], found["plain"], found["missed"]) == (ENCRYPTED, "encrypted", 0, 0)
    peer = next(n for n in found["nodes"] if n["node"] == "wireguard-worker2")
    # It counts the same packets as tcpdump, except for those before or after the other's capture.
    seen = len(capture.packets())
    mine = peer["sent"]["data"] + peer["received"]["data"] + peer["sent"]["others"]
    # (Of what goes through AF_XDP, a capture on the node itself sees what the kernel sends.)
    assert (0 if THROUGH_AF_XDP else 100) < mine <= seen * 1.05, (mine, seen)
    # With --peer, only that peer's traffic counts.
    code, found = verify(worker, "--seconds", "1", "--peer", "wireguard-control-plane")
    assert (code, [n["node"] for n in found["nodes"]]) == (UNKNOWN, ["wireguard-control-plane"])
    assert steady.all_answered()


def test_generate(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    c.podveil("enable", "--ipv6")
    wait_for(lambda: c.encrypted(family="ipv6"), "IPv6 encrypts, too")
    capture = Capture(worker, "eth0")
    code, found = verify(worker, "--generate", "--seconds", "1")
    assert code == ENCRYPTED and found["markerSeen"] == 0
    assert len(found["probes"]) == 4
    assert all(p["sent"] == p["answered"] == 3 for p in found["probes"]), found["probes"]
    assert b"podveil-verify-" not in capture.stop()
    # Without encryption, the same marker is readable.
    c.podveil("disable")
    c.podveil("disable", "--ipv6")
    wait_for(lambda: "fwmark" not in worker.run("ip rule; ip -6 rule"), "encryption is off")
    c.nodes[2].run("ip addr add 10.244.2.9/32 dev lo")
    done = subprocess.Popen(worker.enter([PODVEIL, "verify", "--json", "--seconds", "1"]),
                            stdout=subprocess.PIPE, text=True)
    while done.poll() is None:
        worker.run("ping -n -c 1 -W 1 -p 706f64 10.244.2.9", check=False)
    assert done.returncode == PLAINTEXT and json.loads(done.stdout.read())["plain"] > 0


def test_one_packet_beside_the_tunnel_is_seen(cluster):
    """verify sees a single plaintext packet, also in VXLAN, that passes rule and guard because it has our mark."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    assert ping(c.client, c.server.address) == 3
    for send, wrapped in (
            (f"ping -n -c 1 -W 1 -m 2097152 {c.server.address}", "in VXLAN"),
            (f"ip route add {c.server.address}/32 via 172.18.0.4; ping -n -c 1 -W 1 -m 2097152 "
             f"{c.server.address}", "bare")):
        process = worker.start([PODVEIL, "verify", "--json", "--seconds", "30"], stderr=subprocess.DEVNULL)
        wait_for(lambda: ":eth0" in worker.run("ss -0 -n"), "it listens")
        worker.run(send, check=False)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == PLAINTEXT, out
        found = json.loads(out)
        assert {e["wrapped"] for e in found["examples"] if e["direction"] == "leaving"} == {wrapped}
        assert any(e["destination"] == c.server.address and e["protocol"] == "icmp"
                   and e["node"] == "wireguard-worker2" for e in found["examples"])


def test_bad_input(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=100)
    for arguments, message in (
            (["--seconds", "0"], "not a number from 1 to"),
            (["--seconds", "soon"], "not a number from 1 to"),
            (["--peer", "nobody"], "does not know this node; wireguard-control-plane wireguard-worker2"),
            (["--uplink", "eth7"], 'no device "eth7"'),
            (["more"], "unexpected argument")):
        done = worker.run([PODVEIL, "verify", *arguments], check=False)
        assert done.returncode == UNKNOWN and message in done.stderr, (arguments, done.stderr)
    done = worker.run(["setpriv", "--bounding-set", "-net_raw", "--inh-caps", "-net_raw",
                       PODVEIL, "verify"], check=False)
    assert done.returncode == UNKNOWN and "CAP_NET_RAW" in done.stderr, done.stderr
    done = worker.run(["setpriv", "--reuid", "65534", "--clear-groups", PODVEIL, "verify"], check=False)
    assert done.returncode == UNKNOWN and "run as root" in done.stderr, done.stderr
    # The device is removed while verify listens on it.
    worker.run("ip link add gone type veth peer name gone2 && ip link set gone up")
    process = worker.start([PODVEIL, "verify", "--uplink", "gone", "--seconds", "30"])
    wait_for(lambda: ":gone" in worker.run("ss -0 -n"), "it listens")
    worker.run("ip link del gone")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == UNKNOWN and "gone was removed during the capture" in out, out
    fresh = c.add_node()
    done = fresh.run([PODVEIL, "verify"], check=False)
    assert done.returncode == UNKNOWN and "no agent answers" in done.stderr
    assert steady.all_answered() and worker.agent.process.poll() is None
