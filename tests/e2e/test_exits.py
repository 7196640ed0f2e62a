# SPDX-License-Identifier: Apache-2.0
"""guard and shield are on each device by which packets leave the node, and run first, whatever other programs do. The tests
send around routing (AF_PACKET), so that only these filters can stop a packet."""
import json
import re
import subprocess

import pytest

from agents import FILTERS, enable, get, guard
from lab import PODVEIL, Capture, wait_for
from test_prometheus import samples

# Sends the frames that it reads, one per line.
SEND = """
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind((sys.argv[1], 0))
for line in sys.stdin:
    try: s.send(bytes.fromhex(line))
    except OSError: pass  # who drops a packet tells its sender
"""
TAG = b"leak-by-raw-frame "


def wrapped(inner, outer, frame, kind):
    """A pod's packet in each kind of wrapping."""
    from scapy.contrib.geneve import GENEVE, GeneveOptions
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.l2 import GRE, Dot1Q
    from scapy.layers.vxlan import VXLAN
    vxlan = outer / UDP(sport=4444, dport=4789) / VXLAN(vni=4096)
    geneve = outer / UDP(sport=4444, dport=6081)
    options = IP(src=outer.src, dst=outer.dst, options=b"\x01" * 8)
    yield from (
        inner, Dot1Q(vlan=0) / inner, vxlan / frame / inner,
        vxlan / frame / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / inner,
        outer / UDP(sport=4444, dport=8472) / VXLAN(vni=1) / frame / inner, geneve / GENEVE(vni=1) / frame / inner,
        geneve / GENEVE(vni=1, options=[GeneveOptions(data=b"abcd")]) / frame / inner,
        IP(src=outer.src, dst=outer.dst, proto=kind) / bytes(inner), outer / GRE() / inner,
        outer / GRE(key_present=1, key=7, seqnum_present=1, sequence_number=1) / inner,
        outer / GRE(proto=0x6558) / frame / inner, vxlan / frame / outer / GRE() / inner,
        options / UDP(sport=4, dport=4789) / VXLAN(vni=1) / frame / inner)
    for size in (8, 16, 24, 48):
        yield fragment(vxlan / frame / inner, fragsize=size)[0]


def frames(here, there, node, other, pods):
    """The frames that must not pass, as bytes."""
    from scapy.layers.inet import IP, UDP, fragment
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, fragment6
    from scapy.layers.l2 import Ether
    pod4, remote4, pod6, remote6 = pods
    outer, frame, udp = IP(src=node, dst=other), Ether(dst="66:00:00:00:00:02"), UDP(sport=9, dport=7777)
    v4, v6 = IP(src=pod4, dst=remote4), IPv6(src=pod6, dst=remote6)
    packets = [*wrapped(v4 / udp / (TAG * 3), outer, frame, 4), *wrapped(v6 / udp / (TAG * 3), outer, frame, 41)]
    packets += fragment(v4 / udp / (TAG * 3), fragsize=24)
    packets += fragment6(v6 / IPv6ExtHdrFragment(id=1) / udp / (TAG * 99), 1280)
    packets += [v6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / udp / TAG,
                IPv6(src=pod6, dst=remote6, nh=60) / (b"\x11\xff\x01\x04" + TAG),
                IP(src=pod4, dst=remote4, ihl=2) / TAG, IP(src=pod4, dst=remote4, options=b"\x44" * 40) / TAG]
    return [bytes(Ether(src=here, dst=there) / p) for p in packets]


def mac(node, device):
    return json.loads(node.run(f"ip -j link show {device}"))[0]["address"]


def send(node, device, there, node_address, other, pods):
    """Sends all frames by a device; returns how many."""
    all_of_them = frames(mac(node, device), there, node_address, other, pods)
    node.run(["python3", "-c", SEND, device], stdin="\n".join(f.hex() for f in all_of_them))
    return len(all_of_them)


def devices(node):
    """{device: whether the guard is attached there}"""
    return {d["device"]: d["stands"] for d in guard(node)["devices"]}


def add_uplink(c, node, index=1):
    """Adds a second uplink, as if a cable were plugged in."""
    c.switch.run("ip link show br1 >/dev/null 2>&1 || (ip link add br1 type bridge mcast_snooping 0 && ip link set br1 up "
                 "&& ip addr add 172.19.0.1/16 dev br1)")
    c.switch.run(f"ip link add second{node.index} type veth peer name eth{index} netns {node.pid} && "
                 f"ip link set second{node.index} master br1 up")
    node.run(f"ip link set eth{index} up && ip addr add 172.19.0.{2 + node.index}/16 dev eth{index}")


PODS = ["10.244.1.2", "10.244.2.2", "fd00:10:244:1::2", "fd00:10:244:2::2"]
OVERLAY_MAC = "66:00:00:00:00:02"  # of the other node; the overlay knows where it is


def nothing_leaves(c, node, device, port):
    """Sends all wrappings by this device and checks that none is seen at the other end of the cable."""
    capture = Capture(c.switch, port)
    before = guard(node)["dropLeak"]
    n = send(node, device, OVERLAY_MAC, node.address, "172.18.0.4", PODS)
    wait_for(lambda: guard(node)["dropLeak"] == before + n, f"{n} are dropped on {device}")
    # The cable works: this frame is seen.
    last = bytes.fromhex(OVERLAY_MAC.replace(":", "") + mac(node, device).replace(":", "")) + b"\x88\xb5the last"
    node.run(["python3", "-c", SEND, device], stdin=last.ljust(60, b".").hex())
    wait_for(lambda: b"the last" in read(capture), "the last one is seen")
    capture.stop()
    assert TAG not in read(capture)


def read(capture):
    with open(capture.file.name, "rb") as f:
        return f.read()


def test_nothing_leaves_by_any_device(cluster):
    c, worker = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
    enable(c)
    assert devices(worker) == {"eth0": True, "vxlan.calico": True}
    add_uplink(c, worker)
    wait_for(lambda: devices(worker).get("eth1"), "the second uplink is guarded", 2)
    nothing_leaves(c, worker, "eth0", "port1")
    nothing_leaves(c, worker, "eth1", "second1")
    nothing_leaves(c, worker, "vxlan.calico", "port1")
    # The default route moves; then the first uplink is removed and comes back as another device.
    worker.run("ip route replace default via 172.19.0.1 dev eth1")
    wait_for(lambda: worker.agent.status()["uplink"] == "eth1", "the agent follows the default route")
    nothing_leaves(c, worker, "eth0", "port1")
    nothing_leaves(c, worker, "eth1", "second1")
    worker.run("ip link del eth0")
    wait_for(lambda: "eth0" not in devices(worker), "it is removed")
    c.switch.run(f"ip link add port1 type veth peer name eth0 netns {worker.pid} && ip link set port1 master br0 up")
    worker.run(f"ip link set eth0 up && ip addr add {worker.address}/16 dev eth0")
    wait_for(lambda: devices(worker).get("eth0"), "the new one is guarded", 2)
    nothing_leaves(c, worker, "eth0", "port1")
    # The agent dies, and the guard stays.
    worker.agent.kill()
    capture = Capture(c.switch, "second1")
    send(worker, "eth1", OVERLAY_MAC, worker.address, "172.18.0.4", PODS)
    capture.stop()
    assert TAG not in read(capture)
    c.start_agent(worker)
    assert all(devices(worker).values()) and {"eth0", "eth1"} <= set(devices(worker))
    assert guard(worker)["displaced"] == 0
    worker.agent.stop()
    worker.run([PODVEIL, "agent", "--cleanup"])
    for device in ("eth0", "eth1"):
        for side in ("egress", "ingress"):
            assert worker.run([FILTERS, "list", device, side]).split() == []


def test_nothing_comes_in(cluster):
    """On both uplinks, packets from a stranger that pretend to come from a remote pod are dropped, in each wrapping."""
    c, worker2 = cluster, cluster.nodes[2]
    c.configure(podveilStrictMode=True)
    enable(c)
    add_uplink(c, worker2)
    wait_for(lambda: devices(worker2).get("eth1"), "the second uplink is guarded", 2)
    pod = Capture(worker2, "cali2n2")
    for bridge, device, node in (("br0", "eth0", worker2.address), ("br1", "eth1", "172.19.0.4")):
        before = guard(worker2)["dropPlainInward"]
        n = send(c.switch, bridge, mac(worker2, device), "172.18.0.3", node, PODS)
        wait_for(lambda: guard(worker2)["dropPlainInward"] == before + n, f"{n} are dropped on {device}")
    pod.stop()
    assert TAG not in read(pod)


@pytest.mark.parametrize("side", ["egress", "ingress"])
def test_a_foreign_filter_before_ours(cluster, side):
    c, worker = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True)
    enable(c)
    stranger = worker.start([FILTERS, "stand", "eth0", side], stdin=subprocess.PIPE)
    assert stranger.stdout.readline() == "stands\n"
    ours = {"egress": "guard", "ingress": "shield"}[side]
    wait_for(lambda: worker.run([FILTERS, "list", "eth0", side]).split() == [ours, "somebodys"], "ours is first again", 3)
    wait_for(lambda: guard(worker)["displaced"] == 1, "it is counted")
    assert guard(worker)["stands"]
    # The agent has no right to ask for the name of another's program, but for its number.
    before, = [d["before"] for d in guard(worker)["devices"] if d["device"] == "eth0"]
    assert "name somebodys " in worker.run(f"bpftool prog show {before.replace(':', ' ')}")
    wait_for(lambda: re.search(rf"a filter of another program ran before the guard's.*device=eth0.*filter={before}",
                               worker.agent.log()), "the log says so")
    assert f'on eth0 the filter "{before}" ran before it' in worker.run([PODVEIL, "status"])
    assert re.search(rf"^note +guard +by tcx on eth0 vxlan.calico; on eth0, {before} ran before it",
                     worker.run([PODVEIL, "doctor"], check=False).stdout, re.M)
    text = get(worker, "/metrics")[1]
    assert samples(text, "podveil_guard_displaced_total") == {"": 1}
    assert samples(text, "podveil_guard_device") == {'device="eth0",method="tcx"': 1, 'device="vxlan.calico",method="tcx"': 1}
    # tc's filters run after TCX programs, and tc cannot delete ours.
    worker.run("tc qdisc add dev eth0 clsact && tc filter add dev eth0 egress prio 1 matchall action ok || true")
    if side == "egress":
        nothing_leaves(c, worker, "eth0", "port1")
    worker.run("tc qdisc del dev eth0 clsact || true")
    assert worker.run([FILTERS, "list", "eth0", side]).split() == [ours, "somebodys"]
    assert guard(worker)["displaced"] == 1
    stranger.stdin.close()
    assert stranger.wait(timeout=60) == 0


# Sends a numbered datagram each half millisecond until its input ends.
FLOW = """
import select, socket, sys, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 5555)); n = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    s.send(n.to_bytes(8, "big")); n += 1; time.sleep(0.0005)
print(n)
"""
COUNT = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, 33, 1 << 26); s.bind(("", 5555))
print("ready", flush=True); s.settimeout(60); n = 0
while (data := s.recv(99)) != b"end": n += 1
print(n)
"""


def test_switching_on_and_off_loses_nothing_of_others(cluster):
    """Traffic that Podveil does not handle loses nothing when the guard is attached, becomes strict, and is removed."""
    c, worker = cluster, cluster.nodes[1]
    counting = c.switch.start(["python3", "-c", COUNT])
    assert counting.stdout.readline() == "ready\n"
    flow = worker.start(["python3", "-c", FLOW, "172.18.0.1"], stdin=subprocess.PIPE)
    for _ in range(3):
        enable(c)
        wait_for(lambda: set(devices(worker)) == {"eth0"}, "the guard is on the uplink")
        c.configure(podveilStrictMode=True, wireguardEnabled=True)
        wait_for(lambda: devices(worker).get("vxlan.calico"), "all devices are guarded")
        c.configure(podveilStrictMode=None)
        wait_for(lambda: set(devices(worker)) == {"eth0"}, "only the uplink is guarded")
        c.podveil("disable")
        wait_for(lambda: not guard(worker)["devices"], "no device is guarded")
    assert worker.run([FILTERS, "list", "eth0", "egress"]).split() == []
    sent = int(flow.communicate(timeout=60)[0])
    worker.run(["python3", "-c", "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'end', ('172.18.0.1', 5555))"])
    received = int(counting.communicate(timeout=60)[0])
    print(f"sent {sent}, received {received}")
    assert sent > 1000 and received == sent
    dropped = json.loads(worker.run("ip -j -s link show eth0"))[0]["stats64"]["tx"]["dropped"]
    assert dropped == 0
