# SPDX-License-Identifier: Apache-2.0
"""Strict mode's first line (routing and nftables) without the second one: the agent is killed, guard and shield are removed,
and still nothing passes. Each test ends with a control: without the first line too, all of it passes."""
import os
import re
import time

import pytest

from agents import enable
from lab import PODVEIL, Capture, wait_for
from cluster import Cluster

TABLE = 20566
ROUTES = f"ip route show table {TABLE}; ip -6 route show table {TABLE}"
NFT = "nft list table inet podveil"
STRICT = {"podveilStrictMode": True, "podveilStrictCIDRs": ["10.244.0.0/16", "fd00:10:244::/48"]}

# Sends datagrams of each flow so many times: "FLOW ADDRESS MARK DEVICE"; 0 is no mark, - is no device. Each datagram contains
# the name of its flow.
SEND = """
import socket, sys
for _ in range(int(sys.argv[1])):
    for line in sys.argv[2:]:
        flow, address, mark, device = line.split()
        s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if int(mark): s.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark))
            if device != "-": s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
            s.sendto(f"<{flow}>".encode() * 4, (address, 7777))
        except OSError: pass
        s.close()
"""

# A tunnel that the kernel does not know: packets that are routed into tun0 leave in IPIP, GRE and Geneve. Packets that arrive
# in these (and in the same for IPv6) come out of tun0.
WRAPPER = """
import fcntl, os, select, socket, struct, sys
own, far = sys.argv[1:]
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack("16sH22x", b"tun0", 0x1001))
print("ready", flush=True)
ipip, gre = [socket.socket(socket.AF_INET, socket.SOCK_RAW, p) for p in (4, 47)]
ipip6 = socket.socket(socket.AF_INET, socket.SOCK_RAW, 41)
geneve = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); geneve.bind(("", 6081))
def kind(p): return 0x86dd if p[0] >> 4 == 6 else 0x800
def into(p):
    if p: os.write(tun, p)
while True:
    for r in select.select([tun, ipip, ipip6, gre, geneve], [], [])[0]:
        try:
            if r is tun:
                p = os.read(tun, 65536)
                (ipip6 if kind(p) == 0x86dd else ipip).sendto(p, (far, 0))
                gre.sendto(struct.pack("!HH", 0, kind(p)) + p, (far, 0))
                geneve.sendto(struct.pack("!BBHI", 0, 0, kind(p), 7 << 8) + p, (far, 6081))
            elif r is geneve: into(r.recv(65536)[8:])
            else:
                p = r.recv(65536); p = p[(p[0] & 15) * 4:]
                into(p[4:] if r is gre else p)
        except OSError: pass
"""


class World:
    """The cluster with a second uplink and foreign tunnels on its second node, .worker."""

    def __init__(self, cluster):
        self.c = c = cluster
        self.worker, self.keyless = c.nodes[1], c.nodes[2]
        self.client, self.neighbour = c.pod(self.worker, "client"), c.pod(self.worker, "neighbour")
        self.server = c.pod(c.nodes[0], "server")
        for node in c.nodes:
            c.start_agent(node)
        # One node publishes ranges and no key.
        c.configure(node=self.keyless.name, wireguardEnabled=False)
        c.configure(**STRICT)
        enable_two(c)
        self.second_uplink()
        wrapper = self.worker.start(["python3", "-c", WRAPPER, self.worker.address, self.keyless.address])
        assert wrapper.stdout.readline() == "ready\n"
        self.worker.run(
            # Reverse-path filters are off, so that nothing else drops packets.
            "for d in all default eth0 vxlan.calico tun0; do sysctl -qw net.ipv4.conf.$d.rp_filter=0; done; "
            "ip link set tun0 up; ip link add vx9 type vxlan id 9 dstport 9999 local 172.18.0.3 dev eth0 && "
            "ip link set vx9 up && bridge fdb append 00:00:00:00:00:00 dev vx9 dst 172.18.0.4 && "
            "ip route add 10.244.70.0/24 dev vx9 && ip -6 route add fd00:10:244:70::/64 dev vx9 && "
            "ip neigh add 10.244.70.7 lladdr 66:00:00:00:00:99 dev vx9 && "
            "ip neigh add fd00:10:244:70::7 lladdr 66:00:00:00:00:99 dev vx9 && "
            "ip route add 198.51.100.0/24 dev tun0 && ip route add 10.244.72.0/24 dev tun0 && ip -6 route add fd00:10:244:72::/64 dev tun0 && "
            # A socket that is bound to a device finds these addresses there.
            "ip neigh add 10.244.2.7 lladdr 66:00:00:00:00:98 dev eth0; "
            "ip -6 route add fd00:10:244:2::7 dev eth0 metric 9; "
            "ip neigh add fd00:10:244:2::7 lladdr 66:00:00:00:00:98 dev eth0")

    def second_uplink(self):
        """Makes the second uplink, and the routes over it, anew."""
        self.c.switch.run("ip link del second 2>/dev/null; ip link add second type veth peer name eth1 netns "
                          f"{self.worker.pid} && ip link set second up && ip addr add 192.0.2.1/24 dev second")
        self.worker.run("ip link set eth1 up && ip addr add 192.0.2.2/24 dev eth1 && "
                        "ip route add 10.244.71.0/24 via 192.0.2.1 && "
                        "ip addr add 2001:db8::2/64 dev eth1 nodad && "
                        "ip -6 route add fd00:10:244:71::/64 dev eth1 && "
                        "ip neigh add fd00:10:244:71::7 lladdr 66:00:00:00:00:98 dev eth1")

    def flows(self, host):
        """The flows to send: to the peer without a key; to unknown pods over VXLAN on another port, over the second uplink, and
        in IPIP and the like. From a host, also with a mark and from sockets bound to devices."""
        numbers = [("2", "keyless"), ("70", "vxlan"), ("71", "second"), ("72", "wrapped")]
        for number, name in numbers:
            for family, address in (("4", f"10.244.{number}.7"), ("6", f"fd00:10:244:{number}::7")):
                flow = f"{name}{family}"
                yield f"{'host' if host else 'pod'}-{flow} {address} 0 -"
                if host:
                    yield f"marked-{flow} {address} {0x200000} -"
        if host:
            for family, address in (("4", "10.244.2.7"), ("6", "fd00:10:244:2::7")):
                yield f"bound{family} {address} 0 eth0"
                yield f"bound-marked{family} {address} {0x200000} eth0"

    def send(self, times=5):
        for host, flows in ((self.client, self.flows(False)), (self.worker, self.flows(True))):
            host.run(["python3", "-c", SEND, str(times), *flows])

    def chatter(self):
        """Sends the same flows without end."""
        return [host.start(["python3", "-c", SEND, "1000000", *self.flows(host is self.worker)])
                for host in (self.client, self.worker)]

    def capture(self):
        """Captures at the other ends of both uplinks, also if one is made anew meanwhile."""
        # With the default size, the ring of the device "any" holds only eight packets.
        return [Capture(self.c.switch, "any", "-s 512 -B 32768 udp or ip proto 4 or ip proto 41 or ip proto 47")]

    def seen(self, captures):
        """The flows whose datagrams were captured, in any wrapping. First sends allowed datagrams and waits until these were
        captured, so that all earlier ones were too."""
        last = {"last-first": "172.18.0.4", "last-second": "192.0.2.1", "last-wrapped": "198.51.100.7"}
        self.worker.run(["python3", "-c", SEND, "1", *(f"{flow} {to} 0 -" for flow, to in last.items())])
        # Geneve is the last of the three wrappings.
        wait_for(lambda: set(last) <= set(flows_of(captures)) and
                 re.search(rb"\x17\xc1.{0,80}<last-wrapped>", content(captures[0]), re.S), "what may leave is seen")
        return seen(captures) - set(last)

    def remove_second_line(self):
        """Kills the agent and removes guard and shield; the first line stays."""
        self.worker.agent.kill()
        # They are TC filters, or links that are held by their pins.
        self.worker.run("rm -rf /sys/fs/bpf/podveil/guard; for d in $(ls /sys/class/net); do case $d in wg*|wire*) ;; *) "
                        "tc qdisc del dev $d clsact 2>/dev/null;; esac; done; true")

    def restart(self):
        self.c.start_agent(self.worker)
        enable_two(self.c)


def enable_two(c):
    """Switches encryption on; two of the three nodes have keys."""
    c.podveil("enable")
    wait_for(lambda: c.encrypted(c.nodes[:2]), "both encrypt")


def stop(processes):
    for process in processes:
        process.kill()
        process.wait()


def content(capture):
    with open(capture.file.name, "rb") as f:
        return f.read()


def flows_of(captures):
    """The flow of each captured datagram."""
    return [m.decode() for capture in captures for m in re.findall(rb"<([\w-]+)>", content(capture))]


def seen(captures):
    for capture in captures:
        capture.stop()
    return set(flows_of(captures))


@pytest.fixture(scope="module")
def world():
    with Cluster(3) as c:
        yield World(c)


@pytest.fixture
def w(world):
    """The world with its agent and both lines, whatever the test before has left."""
    if world.worker.agent.process.poll() is not None:
        world.restart()
    wait_for(lambda: first_line(world) == (True, True), "the first line is active")
    return world


def first_line(w):
    status = w.worker.agent.status()
    return status and (status["firstLine"]["routing"], status["firstLine"]["nftables"])


def test_nothing_leaves(w):
    worker = w.worker
    flows = {line.split()[0] for host in (True, False) for line in w.flows(host)}
    rules = worker.run("ip rule; ip -6 rule")
    assert rules.count(f"100:\tfrom all lookup {TABLE} proto 92") == 2, rules
    mark = ("nft add table inet marks; nft 'add chain inet marks {} {{ type {} hook {} priority -500; }}'; "
            "nft add rule inet marks {} meta mark set 0x200000")

    def stands():
        return (rules == worker.run("ip rule; ip -6 rule") and "unreachable 10.244.0.0/16" in worker.run(ROUTES)
                and "drop" in worker.run(NFT, check=False).stdout and first_line(w) == (True, True)
                and w.c.encrypted(w.c.nodes[:2]))

    # With the agent, nothing passes, whatever other programs change, and however fast.
    captures, chatter = w.capture(), w.chatter()
    for breaking in ("tc qdisc del dev eth0 clsact; true", "ip route replace default via 192.0.2.1", "ip link del eth1",
                     mark.format("a", "filter", "prerouting", "a"), mark.format("b", "route", "output", "b"),
                     "ip rule del priority 99", "ip route flush table 1", "ip rule del priority 100",
                     f"ip route flush table {TABLE}; ip -6 route flush table {TABLE}"):
        worker.run(breaking)
        if "eth1" in breaking:
            w.second_uplink()
        if "default" in breaking:
            worker.run("ip route replace default via 172.18.0.1")
        wait_for(stands, f"put back after: {breaking}")
    # Without the agent and the second line, while traffic continues.
    w.remove_second_line()
    w.send()
    worker.run("ip route replace default via 192.0.2.1; ip link del eth1")
    w.second_uplink()
    w.send()
    # A foreign rule in front of ours has no effect on nftables.
    worker.run("ip rule add priority 50 lookup main; ip -6 rule add priority 50 lookup main")
    w.send()
    worker.run("ip rule del priority 50; ip -6 rule del priority 50; ip route replace default via 172.18.0.1")
    stop(chatter)
    assert not (found := w.seen(captures)), found
    # The agent also puts the nftables part back. Meanwhile, only the guard stops sockets that are bound to a device.
    w.restart()
    captures, chatter = w.capture(), w.chatter()
    worker.run("nft flush ruleset")
    wait_for(stands, "put back after nft flush ruleset")
    stop(chatter)
    assert not (found := w.seen(captures)), found
    # Routing cannot stop sockets that are bound to a device. That is why nftables is part of the first line.
    w.remove_second_line()
    worker.run("nft delete table inet podveil")
    captures = w.capture()
    w.send()
    assert (found := w.seen(captures)) == {f for f in flows if f.startswith("bound")}, found
    # The control: without both, everything leaves.
    worker.run("ip rule del priority 99; ip -6 rule del priority 100; ip rule del priority 100")
    captures = w.capture()
    w.send()
    found = w.seen(captures)
    assert found == flows, flows - found


# --- inwards ---

# Sends a packet from each remote source to each destination, in each wrapping. Its payload is "FORM SOURCE DESTINATION".
FORGE = """
import itertools, sys
from scapy.all import *
from scapy.contrib.geneve import GENEVE
mac, node = sys.argv[1], "172.18.0.3"
sources, destinations = [a.split(",") for a in sys.argv[2:4]]
conf.verb = 0
frames = []

def udp(form, source, destination, options=None):
    if ":" in source:
        return IPv6(src=source, dst=destination)/UDP(sport=9, dport=7777)/f"<{form}>".encode()
    return IP(src=source, dst=destination, options=options or [])/UDP(sport=9, dport=7777)/f"<{form}>".encode()

def outer(payload): return IP(src="172.18.0.4", dst=node, id=len(frames) + 1)/payload
def vxlan(port, vni, inner): return outer(UDP(sport=4444, dport=port, chksum=0)/VXLAN(vni=vni, flags=8)/inner)
def ethernet(payload, tags=0, to="66:00:00:00:00:01"):
    e = Ether(src="66:00:00:00:00:02", dst=to)
    for _ in range(tags): e = e/Dot1Q(vlan=0)
    return e/payload
def emit(*packets): frames.extend(Ether(dst=mac)/p for p in packets)

def cut(packet, first):  # IPv4 fragments, the first with so many bytes behind the header
    body = bytes(packet.payload)
    at, size = 0, first
    while at < len(body):
        p = packet.copy(); p.remove_payload(); p.flags = "MF" if at + size < len(body) else 0
        p.proto, p.frag, p.len, p.chksum = 17, at // 8, None, None
        yield p/Raw(body[at:at + size])
        at, size = at + size, 512

def cut6(packet, first, again=False):  # the same in IPv6, with fragments' headers
    body = bytes(packet.payload)
    for at in range(0, len(body), first):
        more = at + first < len(body)
        h = IPv6ExtHdrFragment(nh=17, offset=at // 8, m=int(more), id=len(frames) + 7)
        yield IPv6(src=packet.src, dst=packet.dst)/h/Raw(body[at:at + first])

for n, (s, d) in enumerate(itertools.product(sources, destinations)):
    if (":" in s) != (":" in d): continue
    six, k = ":" in s, f"{'6' if ':' in s else '4'}-to-{'pod' if '244' in d else 'host'}"
    kind = 0x86dd if six else 0x800
    emit(udp(f"bare{k}", s, d))
    emit(vxlan(4789, 4096, ethernet(udp(f"vxlan{k}", s, d))))
    emit(vxlan(9999, 9, ethernet(udp(f"vxlan-9999{k}", s, d), to=sys.argv[4])))
    for tags in (1, 2, 3, 4):
        emit(vxlan(4789, 4096, ethernet(udp(f"tags{tags}-{k}", s, d), tags)))
    for first in (8, 16, 24, 32):
        emit(*cut(vxlan(4789, 4096, ethernet(udp(f"cut{first}-{k}", s, d))), first))
    emit(outer(IPv6(bytes(udp(f"ipip{k}", s, d))) if six else udp(f"ipip{k}", s, d)))
    emit(outer(GRE(proto=kind)/udp(f"gre{k}", s, d)))
    emit(outer(UDP(sport=4444, dport=6081, chksum=0)/GENEVE(proto=kind, vni=7)/udp(f"geneve{k}", s, d)))
    if six:
        emit(*cut6(udp(f"fragments{k}", s, d), 8), *cut6(udp(f"fragments16-{k}", s, d), 16))
        for f in cut6(udp(f"vxlan-fragments{k}", s, d), 8): emit(vxlan(4789, 4096, ethernet(f)))
        for name, chain in (("hop", IPv6ExtHdrHopByHop()), ("options", IPv6ExtHdrDestOpt()),
                            ("many", IPv6ExtHdrDestOpt()/IPv6ExtHdrDestOpt())):
            inner = udp(f"{name}{k}", s, d)
            emit(IPv6(src=s, dst=d)/chain/inner[UDP]); emit(vxlan(4789, 4096, ethernet(IPv6(src=s, dst=d)/chain/inner[UDP])))
    else:
        whole = udp(f"fragments{k}", s, d)
        emit(*cut(whole, 8))
        for f in cut(udp(f"vxlan-fragments{k}", s, d), 8): emit(vxlan(4789, 4096, ethernet(f)))
        inner = udp(f"options{k}", s, d, [IPOption_NOP(), IPOption_RR(length=7, routers=["0.0.0.0"])])
        emit(inner); emit(vxlan(4789, 4096, ethernet(inner)))
    # What no parser can follow to its end: cut anywhere, lengths that lie.
    whole = bytes(udp(f"broken{k}", s, d))
    for length in range(1, len(whole), 3):
        frames.append(Ether(dst=mac, type=kind)/Raw(whole[:length]))
        emit(vxlan(4789, 4096, ethernet(Raw(whole[:length]))))
    for at in range(0, 8 if six else 10):
        b = bytearray(whole); b[at] ^= 0x0f
        frames.append(Ether(dst=mac, type=kind)/Raw(bytes(b)))
sent = len(frames)
s = conf.L2socket(iface="br0")
for f in frames: s.send(f)
# What may pass, in each way by which things came.
for n, d in enumerate(a for a in destinations if ":" not in a):
    frames.clear()
    inner = lambda way: udp(f"last-{way}", "172.18.0.1", d)
    emit(inner("bare"), vxlan(4789, 4096, ethernet(inner("vxlan"))), vxlan(9999, 9, ethernet(inner("vx9"), to=sys.argv[4])),
         outer(inner("ipip")), outer(GRE(proto=0x800)/inner("gre")),
         outer(UDP(sport=4444, dport=6081, chksum=0)/GENEVE(proto=0x800, vni=7)/inner("geneve")))
    for f in frames: s.send(f)
print(sent)
"""

# Prints the payloads that it receives, one per line, until it is killed.
HEAR = """
import re, select, socket, sys
s = [socket.socket(f, socket.SOCK_DGRAM) for f in (socket.AF_INET, socket.AF_INET6)]
s[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
for one in s: one.bind(("", 7777))
print("ready", flush=True)
while True:
    for one in select.select(s, [], [])[0]:
        print("*".join(re.findall(r"<([\\w-]+)>", one.recv(2048).decode(errors="replace"))), flush=True)
"""


def forge(w):
    """Sends all forms; returns those that the pod or the node received, or that came into the pod at all."""
    listeners = [host.start(["python3", "-c", HEAR]) for host in (w.client, w.worker)]
    for process in listeners:
        assert process.stdout.readline() == "ready\n"
    capture = Capture(w.client, "eth0")
    mac = w.worker.run("cat /sys/class/net/eth0/address").strip()
    vx9 = w.worker.run("cat /sys/class/net/vx9/address").strip()
    sent = w.c.switch.run(["/usr/bin/python3", "-c", FORGE, mac, "10.244.2.7,fd00:10:244:2::7",
                           f"{w.client.address},{w.worker.address},{w.client.address6},{w.worker.address6}", vx9])
    assert int(sent) > 200
    heard = set()
    for process in listeners:
        ways = {"last-" + way for way in ("bare", "vxlan", "vx9", "ipip", "gre", "geneve")}
        while ways:
            forms = process.stdout.readline().strip().split("*")
            heard.update(forms)
            ways -= set(forms)
        process.kill()
    heard.update(m.decode() for m in re.findall(rb"<([\w-]+)>", capture.stop()))
    return {form for form in heard if form and not form.startswith("last-")}


def test_spoofed_packets_do_not_come_in(w):
    """A packet that pretends to come from a remote pod, but did not come through the tunnel, reaches neither a pod nor the node.
    This holds for each wrapping, and for packets that cannot be parsed."""
    assert forge(w) == set()
    w.remove_second_line()
    assert forge(w) == set()
    assert int(re.search(r"counter inward \{\s+packets (\d+)", w.worker.run(NFT)).group(1)) > 20
    # Packets from the tunnel and from the node's own pods arrive.
    w.restart()
    hear = w.client.start(["python3", "-c", HEAR])
    assert hear.stdout.readline() == "ready\n"
    for source, flow in ((w.server, "tunnel"), (w.neighbour, "neighbour"), (w.worker, "node")):
        source.run(["python3", "-c", SEND, "1", f"{flow} {w.client.address} 0 -"])
        assert hear.stdout.readline().startswith(flow)
    hear.kill()
    # The control: without both lines, nearly all arrive.
    w.remove_second_line()
    w.worker.run("nft delete table inet podveil; ip rule del priority 99; ip rule del priority 100; "
                 "ip -6 rule del priority 100")
    heard = forge(w)
    for family in "46":
        for to in ("pod", "host"):
            for form in ("bare", "vxlan", "vxlan-9999", "cut8-", "cut16-", "cut24-", "tags1-", "tags3-", "ipip", "gre",
                         "geneve", "fragments", "options"):
                assert f"{form}{family}-to-{to}" in heard, (form, family, to, sorted(heard))


# --- marks, start, end ---

def test_marked_packets_are_not_forwarded(w):
    """With host encryption, arriving packets that look like WireGuard get a mark. Such a packet is never forwarded to another
    node, also without strict mode."""
    w.c.configure(podveilStrictMode=False, wireguardHostEncryptionEnabled=True)
    def only_marked():
        table = w.worker.run(NFT, check=False).stdout
        return "chain marked" in table and "chain inward" not in table and not w.worker.run(ROUTES, check=False).stdout
    wait_for(only_marked, "this chain is there, and nothing else")
    w.worker.run("nft 'table ip marks { chain a { type filter hook prerouting priority -500; "
                 "iifname eth0 udp dport 51820 meta mark set 0x200000; }; }'")
    stranger = ["/usr/bin/python3", "-c", """
import sys
from scapy.all import sendp, Ether, IP, UDP
sendp(Ether(dst=sys.argv[1])/IP(src="172.18.0.1", dst="172.18.0.4")/UDP(sport=9, dport=51820)/(b"\\4\\0\\0\\0" + b"<forwarded>" * 4),
      iface="br0", verbose=0)
""", w.worker.run("cat /sys/class/net/eth0/address").strip()]
    dropped = lambda: w.worker.agent.status()["firstLine"]["dropMarked"]
    before, captures = dropped(), [Capture(w.c.switch, "port2")]
    w.c.switch.run(stranger)
    wait_for(lambda: dropped() > before, "it is dropped")
    assert not seen(captures)
    w.worker.agent.kill()
    w.worker.run("nft delete table inet podveil")
    captures = [Capture(w.c.switch, "port2", "udp port 51820 and src host 172.18.0.1")]
    w.c.switch.run(stranger)
    wait_for(lambda: os.path.getsize(captures[0].file.name) > 100, "without the chain it is forwarded")
    assert seen(captures) == {"forwarded"}
    w.worker.run("nft delete table ip marks")
    w.c.configure(podveilStrictMode=True, wireguardHostEncryptionEnabled=None)


def test_the_first_line_from_start_to_end(w):
    """The first line is in force before the store is reached, follows its settings without a gap, and is removed completely."""
    worker = w.worker
    worker.agent.kill()
    worker.run([PODVEIL, "agent", "--cleanup"])
    assert "20566" not in worker.run("ip rule; ip -6 rule") and not worker.run(ROUTES, check=False).stdout
    assert "podveil" not in worker.run("nft list tables")
    # The store cannot be reached.
    agent = worker.start([PODVEIL, "agent", "--node", worker.name, "--store", "etcd:http://127.0.0.1:1", "--pod-cidr",
                          f"{worker.pods4},{worker.pods6}", "--wireguardEnabled", "true", "--podveilStrictMode", "true",
                          "--podveilStrictCIDRs", "10.244.0.0/16,fd00:10:244::/48"])
    wait_for(lambda: "lookup 20566" in worker.run("ip rule"), "the rule is there")
    wait_for(lambda: "lookup 20566" in worker.run("ip -6 rule"), "IPv6's, too")
    assert {"unreachable 10.244.0.0/16", f"throw {worker.pods4}"} <= {
        " ".join(line.split()[:2]) for line in worker.run(ROUTES).splitlines()}
    assert "10.244.1.64-10.244.255.255" in worker.run(NFT)
    worker.run(f"ping -c 1 -W 2 {w.client.address}")
    agent.kill()
    agent.wait()
    w.restart()
    # The new rule is added before the old one is removed.
    monitor = worker.start(["ip", "monitor", "rule"])
    time.sleep(0.2)
    w.c.configure(wireguardRoutingRulePriority=150)
    wait_for(lambda: worker.run("ip rule").count("20566") == 1 and "151:" in worker.run("ip rule"), "it has moved")
    w.c.configure(wireguardRoutingRulePriority=None)
    wait_for(lambda: "151:" not in worker.run("ip rule"), "and back")
    monitor.kill()
    news = [line for line in monitor.stdout.read().splitlines() if "20566" in line]
    assert [line.startswith("Deleted") for line in news] == [False, False, True, True] * 2 or \
        [line.startswith("Deleted") for line in news] == [False, True] * 4, news
    w.c.configure(podveilStrictMode=False)
    wait_for(lambda: "20566" not in worker.run("ip rule; ip -6 rule"), "it is removed with strict mode")
    assert not worker.run(ROUTES, check=False).stdout and "podveil" not in worker.run("nft list tables")
    w.c.configure(podveilStrictMode=True)
