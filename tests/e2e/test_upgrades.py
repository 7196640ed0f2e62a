# SPDX-License-Identifier: Apache-2.0
"""A process takes a device over from a running one: no request is lost, sessions stay, no nonce is used twice; and if one of
the two fails, the other goes on."""
import contextlib
import os
import signal
import struct
import subprocess
import tempfile
import time

import pytest

from cluster import Cluster
from lab import PODVEIL, Capture, Device, Lab, implementation, wait_for
from test_restarts import NOT_OURS, replace_settings
from test_restarts import programs as programs_at
from traffic import Requests, counters, ping

NEXT = os.path.join(os.path.dirname(PODVEIL), "next/podveil")
BUILDS = (PODVEIL, NEXT)
TEST = "PODVEIL_TEST_HANDOVER"  # user/handover/channel.h


class Upgrades:
    """Two nodes with a device each, and requests between their pods. The left device is taken over again and again."""

    def __init__(self, lab, arguments=()):
        self.lab, self.node, self.count = lab, lab.a, 0
        self.device = Device(lab.a, implementation("podveil"), arguments=arguments)
        self.right = Device(lab.b, implementation("podveil"))
        lab.connect(self.device, self.right)
        # Each message shall be a packet of its own in the capture.
        for node in (lab.a, lab.b):
            node.run("ethtool -K eth0 tx-udp-segmentation off")
        assert ping(lab.pod_a, "10.0.2.2") == 3

    def take_over(self, fault="", binary=None, arguments=()):
        """Starts another process, of the other build, that takes over. Returns it and its log."""
        self.count += 1
        log = tempfile.NamedTemporaryFile(mode="r", suffix=".log")
        command = [binary or BUILDS[self.count % 2], "device", "wg0", "--take-over", *arguments]
        with open(log.name, "w") as out:
            process = subprocess.Popen(self.node.enter(command), stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                       env={**os.environ, "PODVEIL_LOG_STDERR": "1", TEST: fault})
        return process, log

    def done(self, process, log):
        code = process.wait(timeout=60)
        return code, log.read()

    def upgrade(self, fault=""):
        old = self.device.pid()
        code, said = self.done(*self.take_over(fault))
        assert code == 0 and "took over from the running process" in said, said
        wait_for(lambda: not running(old), "the old process ends")
        return said

    def requests(self):
        return [Requests(self.lab.pod_a, self.lab.pod_b, "10.0.2.2", kind) for kind in ("udp", "tcp")]

    def sessions(self):
        return [d.show("latest-handshakes") for d in (self.device, self.right)]

    def processes(self):
        """Those that serve wg0 on the left node."""
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/ns/net") == os.readlink(f"/proc/{self.node.pid}/ns/net"):
                    with open(f"/proc/{pid}/cmdline", "rb") as f:
                        if f.read().split(b"\0")[1:3] == [b"device", b"wg0"]:
                            found.append(int(pid))
        return found


def running(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def none_is_lost(requests):
    for result in [r.stop() for r in requests]:
        assert result["sent"] and result["lost"] == 0 and not result["broken"], result


def nonces(capture):
    """Checks that no data message has the session and counter of a different one. Returns how many there were."""
    data, seen = capture.stop(), {}
    at = 24
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        packet = data[at + 16:at + 16 + length]
        at += 16 + length
        if packet[12:14] != b"\x08\x00" or packet[23] != 17:
            continue
        message = packet[14 + (packet[14] & 15) * 4 + 8:]
        if len(message) >= 32 and message[0] == 4:
            known = seen.setdefault(message[4:16], message)
            assert known == message, f"a nonce was used twice: {message[:16].hex()}"
    return len(seen)


@pytest.fixture
def upgrades(lab):
    return Upgrades(lab, ["--workers", "2"])


def test_twenty_upgrades_and_rollbacks_lose_nothing(upgrades):
    capture = Capture(upgrades.node, "eth0")
    requests = upgrades.requests()
    before, build = upgrades.sessions(), set()
    for _ in range(20):
        build.add(upgrades.upgrade().split(" build=")[1].split()[0])
        # podveil-maker has the arguments of its parent until it runs for the first time.
        wait_for(lambda: len(upgrades.processes()) == 1, "one process serves")
    assert len(build) == 2, build
    none_is_lost(requests)
    # The sessions are those from before: nobody made a new one.
    assert upgrades.sessions() == before
    assert nonces(capture) > 1000
    # All that the device had is still there, and it can be configured and deleted.
    assert upgrades.device.show("fwmark") == "0x200000" and upgrades.device.show("listen-port") == "51820"
    assert upgrades.device.show("allowed-ips").split("\t")[1] == "10.0.2.0/24 fd00:2::/64"
    assert upgrades.node.run("ls /run/podveil").split() == ["wg0.handover", "wg0.lock"]
    upgrades.node.run("ip link del wg0")
    wait_for(lambda: not upgrades.processes(), "the process ends with its device")
    assert upgrades.node.run("ls /run/podveil /run/wireguard /sys/fs/bpf/podveil 2>/dev/null | grep -v : || true").split() == []


def test_queues_of_the_uplink_go_along():
    with Lab(switch=True) as lab:
        upgrades = Upgrades(lab, ["--wire", "xdp"])
        wait_for(lambda: counters(lab.a)["wire_frames_received"], "messages use AF_XDP")
        capture, requests = Capture(lab.switch, "port-a"), upgrades.requests()
        before = programs(lab.a)
        for _ in range(5):
            said = upgrades.upgrade()
            assert "messages use AF_XDP on the uplink" in said, said
        none_is_lost(requests)
        # The same program and link: nothing was attached anew.
        assert programs(lab.a) == before
        assert nonces(capture) > 100
        frames = counters(lab.a)["wire_frames_sent"]
        assert ping(lab.pod_a, "10.0.2.2") == 3
        wait_for(lambda: ping(lab.pod_a, "10.0.2.2") and counters(lab.a)["wire_frames_sent"] > frames, "frames are sent")


def programs(node):
    return node.run("ip -j -d link show eth0 | grep -o '\"prog\":{[^}]*}'")


# Steps of user/device/handover/successor.c before RUNS; the old process goes on.
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_the_new_process_fails_at_any_step(upgrades, how):
    # A stopped one is waited for, longer than the sockets have room for requests.
    steps = range(1, 8) if how == "kill" else (6, 7)
    capture, requests = Capture(upgrades.node, "eth0"), upgrades.requests() if how == "kill" else []
    old = upgrades.device.pid()
    for step in steps:
        process, log = upgrades.take_over(f"new:{step}:{how}")
        code = process.wait(timeout=60)
        assert code, log.read()
        assert running(old), (step, log.read())
        assert ping(upgrades.lab.pod_a, "10.0.2.2") == 3
        wait_for(lambda: upgrades.processes() == [old], "the new process is gone")
    if requests:
        none_is_lost(requests)
    upgrades.upgrade()
    assert ping(upgrades.lab.pod_a, "10.0.2.2") == 3
    assert nonces(capture) > (100 if requests else 0)


def test_programs_that_cannot_be_adopted_are_replaced(upgrades):
    """As those of another build: the new process has maps of its own, with the same peers and sockets."""
    requests, before = upgrades.requests(), upgrades.sessions()
    was = tunnel_programs(upgrades.node)
    replace_settings(upgrades.node, "wg0")
    said = upgrades.upgrade()
    assert NOT_OURS in said, said
    wait_for(lambda: not set(tunnel_programs(upgrades.node)) & set(was), "its own programs are pinned")
    upgrades.upgrade()
    none_is_lost(requests)
    assert upgrades.sessions() == before
    # The counters went on, and the pins are those of the programs in use.
    assert counters(upgrades.node)["egress_packets"] > 100
    assert str(tunnel_programs(upgrades.node)[1]) in upgrades.node.run("ip -d link show wg0.xsk")


def tunnel_programs(node):
    return programs_at(node, "wg0/classify", "wg0/steer")


# Steps of user/device/handover/predecessor.c from RECORD on; the new process takes over from a dead one.
def test_the_old_process_is_killed_after_it_handed_over(upgrades):
    capture, requests = Capture(upgrades.node, "eth0"), upgrades.requests()
    before = upgrades.sessions()
    for step in (4, 5, 6):
        upgrades.upgrade(f"old:{step}:kill")  # the variable is for when that one is the old one
        old = upgrades.device.pid()
        code, said = upgrades.done(*upgrades.take_over())
        assert code == 0 and "took over from the running process" in said, said
        wait_for(lambda: not running(old), "the old process is dead")
        assert len(upgrades.processes()) == 1
    none_is_lost(requests)
    assert upgrades.sessions() == before
    assert nonces(capture) > 100


def test_the_old_process_is_killed_before(upgrades):
    """Nothing was handed over: the new process starts as after any kill."""
    upgrades.node.run("wg showconf wg0 >/run/wg0.conf")
    for step in (1, 2, 3):
        upgrades.upgrade(f"old:{step}:kill")
        code, said = upgrades.done(*upgrades.take_over())
        assert code == 0 and "took over the tunnel device of a process that ended" in said, said
        upgrades.node.run("wg setconf wg0 /run/wg0.conf")
        wait_for(lambda: ping(upgrades.lab.pod_a, "10.0.2.2", count=1, deadline=1), "the device works again")


def test_a_record_that_cannot_be_used_is_refused_as_a_whole(upgrades):
    requests, before = upgrades.requests(), upgrades.sessions()
    for fault, why in (("old:truncate", "it ends too early, or a field has no valid value"),
                       ("old:format", "its format is of another version")):
        upgrades.upgrade(fault)  # spoils the next record that it writes
        old = upgrades.device.pid()
        code, said = upgrades.done(*upgrades.take_over())
        assert code == 1 and why in said, said
        assert upgrades.processes() == [old]
    upgrades.upgrade()
    none_is_lost(requests)
    assert upgrades.sessions() == before


def test_sessions_of_another_version_are_made_anew(upgrades):
    upgrades.upgrade("old:state")
    before = upgrades.sessions()
    wait_for(lambda: time.time() > int(before[0].split()[-1]) + 1, "a new handshake has another time")
    said = upgrades.upgrade()
    assert "sessions are made anew" in said
    assert ping(upgrades.lab.pod_a, "10.0.2.2") == 3
    assert upgrades.sessions() != before


def test_one_that_was_heard_late_has_the_device(upgrades):
    """The new process runs and sends, and the old one hears it only when it has given it up."""
    upgrades.upgrade("old:deaf")
    capture, requests = Capture(upgrades.node, "eth0"), upgrades.requests()
    before, old = upgrades.sessions(), upgrades.device.pid()
    upgrades.upgrade()
    assert not running(old) and len(upgrades.processes()) == 1
    none_is_lost(requests)
    assert upgrades.sessions() == before
    assert nonces(capture) > 100


def test_one_that_ended_unheard_leaves_new_sessions(upgrades):
    """The new process said that it runs, and was killed before the old one heard it: it may have sent."""
    upgrades.upgrade("old:deaf")
    capture, requests = Capture(upgrades.node, "eth0"), upgrades.requests()
    before, old = upgrades.sessions(), upgrades.device.pid()
    wait_for(lambda: time.time() > int(before[0].split()[-1]) + 1, "a new handshake has another time")
    code, said = upgrades.done(*upgrades.take_over("new:8:kill"))
    assert code, said
    wait_for(lambda: ping(upgrades.lab.pod_a, "10.0.2.2", count=1, deadline=1), "the old process goes on")
    assert upgrades.processes() == [old]
    assert upgrades.sessions() != before
    for request in requests:
        assert not request.stop()["broken"]
    assert nonces(capture) > 100


def stopped(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0] == "T"
    return False


@pytest.mark.parametrize("step", [5, 7])
@pytest.mark.parametrize("others", ["the old one lives", "the old one has handed over to another", "the old one was killed"])
def test_a_late_process_does_not_begin(upgrades, step, others):
    """The new process stops before it is ready, or before it says that it runs. The old one goes on, in a PID namespace of its own, as in
    another pod: from there it cannot end the new one, which wakes later."""
    capture = Capture(upgrades.node, "eth0")
    in_a_pod = upgrades.node.start(["unshare", "--pid", "--fork", "--kill-child", BUILDS[0], "device", "wg0", "--foreground", "--take-over"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = upgrades.processes()

    def alone():
        found = upgrades.processes()
        return found[0] if len(found) == 1 and found != before else None
    old = wait_for(alone, "it runs in a pod")
    process, log = upgrades.take_over(f"new:{step}:stop", arguments=["--foreground"])
    wait_for(lambda: stopped(process.pid), "the new process has stopped")
    wait_for(lambda: ping(upgrades.lab.pod_a, "10.0.2.2", count=1, deadline=1), "the old process goes on")
    if others == "the old one has handed over to another":
        upgrades.upgrade()
        wait_for(lambda: not running(old), "the old process ends")
    elif others == "the old one was killed":
        os.kill(old, signal.SIGKILL)
        in_a_pod.wait(60)
    process.send_signal(signal.SIGCONT)
    code, said = upgrades.done(process, log)
    assert code == 1 and "took over from" not in said, said
    if others != "the old one was killed":
        assert process.pid not in upgrades.processes() and ping(upgrades.lab.pod_a, "10.0.2.2") == 3
    assert nonces(capture) > 0


def test_two_new_processes_take_over_one_after_the_other(upgrades):
    requests, old = upgrades.requests(), upgrades.device.pid()
    both = [upgrades.take_over() for _ in range(2)]
    for process, log in both:
        code, said = upgrades.done(process, log)
        assert code == 0 and "took over from the running process" in said, said
    wait_for(lambda: len(upgrades.processes()) == 1, "one is left")
    assert not running(old)
    none_is_lost(requests)


def test_a_full_run_does_not_matter(upgrades):
    requests = upgrades.requests()
    upgrades.node.run("mount -t tmpfs -o remount,size=64k none /run; dd if=/dev/zero of=/run/full bs=4k 2>/dev/null; true")
    assert upgrades.node.run("echo x >/run/more 2>&1 || echo full").strip().endswith("full")
    upgrades.upgrade()
    none_is_lost(requests)


def test_packets_that_wait_for_a_session_go_along(upgrades):
    """The peer is silent: packets are staged, and an initiation is under way."""
    lab = upgrades.lab
    lab.b.run("ip link set wg0 down")
    upgrades.node.run("ip link set wg0 down && ip link set wg0 up && ip route replace 10.0.2.0/24 dev wg0")
    requests = Requests(lab.pod_a, lab.pod_b, "10.0.2.2", interval=0.1)
    wait_for(lambda: counters(upgrades.node)["staged"] > 5, "packets are staged")
    upgrades.upgrade()
    upgrades.upgrade()
    lab.b.run("ip link set wg0 up && ip route replace 10.0.1.0/24 dev wg0")
    wait_for(lambda: ping(lab.pod_a, "10.0.2.2", count=1, deadline=1), "a session")
    result = requests.stop()
    assert result["sent"] and result["lost_requests"] == 0, result


def test_without_a_running_process_it_makes_the_device(lab):
    device = Device(lab.a, implementation("podveil"), arguments=["--take-over"])
    assert device.show("fwmark") == "off"


def test_a_tunnel_process_hands_over_all_its_devices():
    """Both devices of a node, under its agent, which goes on."""
    with Cluster(2) as c:
        client, server, node = c.pod(c.nodes[1], "client"), c.pod(c.nodes[0], "server"), c.nodes[1]
        for each in c.nodes:
            c.start_agent(each)
        c.podveil("enable")
        c.podveil("enable", "--ipv6")
        wait_for(lambda: c.encrypted() and c.encrypted(family="ipv6"), "both families are encrypted")
        requests = [Requests(client, server, address, kind) for address, kind in
                    ((server.address, "udp"), (server.address, "tcp"), (server.address6, "udp"))]
        before = node.run("wg show all latest-handshakes")
        for i in range(4):
            old = node.agent.tunnel_process()
            fresh = node.start([BUILDS[(i + 1) % 2], "tunnel", "--take-over"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wait_for(lambda: not running(old), "the old process ends")
            assert fresh.poll() is None
            wait_for(lambda: f"pid={fresh.pid}" in node.agent.log(), "the agent uses the new process")
        none_is_lost(requests)
        assert node.run("wg show all latest-handshakes") == before and len(before.splitlines()) == 2
        # The agent goes on with it: a device that it does not want any more goes.
        c.podveil("disable", "--ipv6")
        wait_for(lambda: "wg-v6.cali" not in node.run("wg show interfaces"), "the device of IPv6 is gone", 60)
        assert c.encrypted()
