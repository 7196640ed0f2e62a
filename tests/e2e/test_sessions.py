# SPDX-License-Identifier: Apache-2.0
"""Sessions under changes: new keys, reordered datagrams, other addresses, the largest packets."""
import os
import select
import signal
import struct
import sys
import threading
import time

import pytest

from lab import PORT, Capture, Device, Lab, implementation, wait_for
from traffic import Requests, counters, ping
from whitepaper import OURS, World, ip4, udp

PODVEIL = implementation("podveil")
REKEY_AFTER = 120


# The counters of all reasons by which our device may lose a packet of a session. A loss without a count is not ours.
LOSSES = ("drop_unknown_index", "drop_expired_session", "drop_bad_tag", "drop_replayed", "drop_staged_full",
          "drop_staged_expired", "drop_bad_message", "drop_bad_inner", "drop_source", "drop_inject", "drop_wire_full",
          "drop_wire_error", "drop_malformed", "drop_stale_peer", "drop_no_endpoint", "drop_frame_chain", "socket_full",
          "xsk_rx_dropped", "xsk_ring_full")


def rekeys(lab, names, seconds):
    """Sends numbered requests from one pod to the other for so long; returns (their result, handshakes seen on the wire, the
    counters of our devices that do not match the result)."""
    before = {node: counters(node) for node, name in zip((lab.a, lab.b), names) if name.startswith("podveil")}
    capture = Capture(lab.b, "eth0", "udp[8] = 1")
    requests = Requests(lab.pod_a, lab.pod_b, "10.0.2.2", interval=0.01, patience=60)
    time.sleep(seconds)
    result = requests.stop()
    capture.stop()
    came = result["sent"] - result["lost_requests"]  # to the other pod, which answered each
    through = {lab.a: (result["sent"], result["sent"] - result["lost"]), lab.b: (came, came)}
    ours = {}
    for node in before:
        after = counters(node)
        passed = {name: after[name] - before[node][name] for name in after}
        ours.update({f"{node.name} {name}": passed[name] for name in LOSSES if passed[name]})
        if (passed["egress_packets"], passed["ingress_packets"]) != through[node]:
            ours[f"{node.name} out and in"] = passed["egress_packets"], passed["ingress_packets"], through[node]
    return result, len(capture.packets()), ours


def test_rekey_under_traffic_loses_nothing():
    """Rekeying under traffic loses nothing. Four pairs run at the same time, for longer than keys may be used: we are the
    initiator, the responder, both ends, and both ends with AF_XDP."""
    pairs = [("podveil", "wireguard-go-new"), ("wireguard-go-new", "podveil"), ("podveil", "podveil"),
             ("podveil xdp", "podveil xdp")]
    labs, threads, seen = [], [], {}

    def watch(names, lab):
        try:
            seen[names] = rekeys(lab, names, REKEY_AFTER + 10)
        except BaseException as e:  # the main thread reports it
            seen[names] = e

    try:
        for names in pairs:
            lab = Lab()
            labs.append(lab)
            left, right = (Device(node, implementation(name.split()[0]),
                                  env={"PODVEIL_WIRE": "xdp"} if "xdp" in name else None)
                           for node, name in zip((lab.a, lab.b), names))
            lab.connect(left, right)
            assert ping(lab.pod_a, "10.0.2.2") == 3  # now the left end is the initiator
            threads.append(threading.Thread(target=watch, args=(names, lab)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        for lab in labs:
            lab.close()
    for names in pairs:
        assert isinstance(seen[names], tuple), seen[names]
        result, handshakes, ours = seen[names]
        lost = f"{names}: {result['lost']} of {result['sent']} lost, {result['lost_requests']} of them on the way there"
        assert handshakes >= 1, f"{names}: no new keys within {REKEY_AFTER + 10} s"
        assert not ours, f"{lost}; ours: {ours}"
        # Our counters show no loss, so wireguard-go has lost the rest.
        peers = any("wireguard" in name for name in names)
        assert result["lost"] <= (result["sent"] // 100 if peers else 0), lost


class Renewer:
    """A peer that sends numbered packets from several ports at once, expects an answer to each, and renews its session all the
    time."""

    def __init__(self, peer, ports):
        self.peer, self.inner = peer, peer.world.inner
        self.sockets = [peer.another_socket() for _ in range(ports)]
        self.handshake, self.sessions, self.renewals = None, [], 0
        self.sent, self.answered = 0, set()

    def number(self, session):
        packet = ip4(self.peer.address, OURS, udp(struct.pack("!Q", self.sent)))
        self.peer.send(session.message(packet), self.sockets[self.sent % len(self.sockets)])
        self.sent += 1

    def renew(self):
        """Renews the session when all packets are answered: then only the current one of the three sessions is needed."""
        if self.handshake or len(self.answered) < self.sent:
            return
        time.sleep(0.03)  # the device accepts at most 50 initiations per second
        self.handshake = self.peer.handshake()
        self.peer.send(self.handshake.initiation(), self.sockets[0])
        for session in self.sessions[-1:] * 8:
            self.number(session)

    def take(self, message):
        if message[0] == 2:
            session = self.handshake.finish(message)
            assert session
            self.handshake, self.renewals = None, self.renewals + 1
            self.sessions.append(session)
            # Packets with the old keys arrive after packets with the new ones.
            for each in self.sessions[:-3:-1] * 8:
                self.number(each)
        elif message[0] == 4:
            read = [got for s in self.sessions if (got := s.read(message))]
            assert read, "an answer under keys that nobody has"
            if read[0][1]:
                self.answered.add(struct.unpack_from("!Q", read[0][1], 28)[0])

    def run(self, renewals, patience=60):
        end = time.monotonic() + patience
        while self.renewals < renewals or len(self.answered) < self.sent:
            assert time.monotonic() < end, f"{self.sent - len(self.answered)} of {self.sent} lost, {self.renewals} renewals"
            if self.renewals < renewals:
                self.renew()
            for ready in select.select([self.inner, *self.sockets], [], [], 0.002)[0]:
                if ready is self.inner:
                    data, who = ready.recvfrom(1 << 16)
                    ready.sendto(data, who)
                else:
                    self.take(ready.recv(1 << 16))


@pytest.mark.parametrize("workers", [1, 4])
def test_a_peer_that_renews_its_session_all_the_time(lab, workers):
    """A peer that renews its session all the time gets each packet answered, also those with the previous keys, with any number
    of workers."""
    world = World(lab, arguments=["--workers", str(workers)])
    renewer = Renewer(world.peer(), ports=4)
    renewer.run(40)
    total = counters(lab.a)
    assert not {name: total[name] for name in LOSSES if total[name]}
    assert total["ingress_packets"] == total["egress_packets"] == renewer.sent


def test_what_a_full_socket_drops_is_counted(lab):
    """When a worker does not run for a while and its socket is full, our counter of lost messages equals the kernel's."""
    world = World(lab)
    peer = world.peer()
    session = peer.initiate()

    def dropped():
        return int(lab.a.run("nstat -asz UdpRcvbufErrors").split()[2])
    os.kill(world.device.pid(), signal.SIGSTOP)
    try:
        while dropped() < 100:
            for _ in range(1000):
                peer.send(bytes(1400))
    finally:
        os.kill(world.device.pid(), signal.SIGCONT)
    wait_for(lambda: not any(int(line.split()[1]) for line in lab.a.run(f"ss -Huan sport = {PORT}").splitlines()),
             "the socket is read empty")
    # Each received message carries the number of messages that were lost before it.
    wait_for(lambda: peer.delivers(session) and counters(lab.a)["socket_full"] == dropped(), "as many are counted")


# A relay between two nodes that reorders datagrams: it reverses each block of eight.
SHUFFLE = """
import select, socket, sys
left, right = (sys.argv[1], int(sys.argv[2])), (sys.argv[3], int(sys.argv[2]))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('0.0.0.0', int(sys.argv[2]))); print('listening', flush=True)
held = []
while True:
    ready, _, _ = select.select([s], [], [], 0.02)
    if ready:
        held.append(s.recvfrom(65536))
    if held and (not ready or len(held) == 8):
        for data, who in reversed(held):
            s.sendto(data, right if who[0] == left[0] else left)
        held = []
"""


def test_reordered_datagrams(lab):
    """Reordered datagrams are accepted as long as the replay window covers them."""
    relay = lab.host("relay")
    for node, name, network in ((lab.a, "left", 1), (lab.b, "right", 2)):
        lab.wire(node, "eth1", relay, name, 1500)
        node.run(f"ip addr add 172.19.{network}.2/24 dev eth1")
        relay.run(f"ip addr add 172.19.{network}.1/24 dev {name}")
    shuffle = relay.start([sys.executable, "-c", SHUFFLE, "172.19.1.2", str(PORT), "172.19.2.2"])
    assert shuffle.stdout.readline() == "listening\n"
    left, right = Device(lab.a, PODVEIL), Device(lab.b, implementation("wireguard-go"))
    lab.connect(left, right)
    left.set("peer", right.public, "endpoint", f"172.19.1.1:{PORT}")
    right.set("peer", left.public, "endpoint", f"172.19.2.1:{PORT}")
    assert ping(lab.pod_a, "10.0.2.2") == 3
    capture = Capture(lab.a, "eth1", f"udp dst port {PORT} and dst host 172.19.1.2")
    before = counters(lab.a)
    done = lab.pod_a.run("ping -n -q -i 0.002 -c 800 -W 2 10.0.2.2", check=False)
    assert " 800 received" in done.stdout, done.stdout
    capture.stop()
    from scapy.layers.inet import UDP
    nonces = [int.from_bytes(bytes(p[UDP].payload)[8:16], "little") for p in capture.packets()
              if bytes(p[UDP].payload)[0] == 4]
    assert sum(b < a for a, b in zip(nonces, nonces[1:])) > 100, "the relay did not shuffle"
    after = counters(lab.a)
    assert after["drop_replayed"] == before["drop_replayed"]
    assert after["drop_bad_tag"] == before["drop_bad_tag"]


def test_answers_leave_from_the_address_that_was_reached(lab):
    """A node with several addresses answers from the address that the peer has used, because the peer may filter by it."""
    lab.a.run("ip addr add 172.18.0.101/24 dev eth0")
    left, right = Device(lab.a, PODVEIL), Device(lab.b, implementation("wireguard-go"))
    lab.connect(left, right)
    capture = Capture(lab.b, "eth0", f"udp dst port {PORT} and dst host 172.18.0.2")
    assert ping(lab.pod_b, "10.0.1.2") == 3
    right.set("peer", left.public, "endpoint", f"172.18.0.101:{PORT}")
    assert ping(lab.pod_b, "10.0.1.2", count=5) == 5
    capture.stop()
    from scapy.layers.inet import IP
    sources = [p[IP].src for p in capture.packets()]
    assert sources[0] == "172.18.0.1"
    assert sources[-4:] == ["172.18.0.101"] * 4
    # When that address is removed, another one is used, and the session continues.
    right.set("peer", left.public, "endpoint", f"172.18.0.1:{PORT}")
    lab.a.run("ip addr del 172.18.0.101/24 dev eth0")
    assert ping(lab.pod_a, "10.0.2.2", count=5) >= 4


@pytest.mark.parametrize("peer_name", ["podveil", "wireguard-go-new"])
def test_the_largest_packets(peer_name):
    """With an inner MTU of 65,535, packets that fit into one UDP datagram arrive whole, also from TCP. The sender of a larger
    packet gets an error."""
    with Lab(mtu=9000) as lab:
        left, right = Device(lab.a, PODVEIL), Device(lab.b, implementation(peer_name))
        lab.connect(left, right, tunnel_mtu=65535 if peer_name == "podveil" else 65000)
        for pod, node in ((lab.pod_a, lab.a), (lab.pod_b, lab.b)):
            node.run("ip link set cali0 mtu 65535")
            pod.run("ip link set eth0 mtu 65535")
        largest = 65475 - 28 if peer_name == "podveil" else 64900
        assert ping(lab.pod_a, "10.0.2.2", size=largest) == 3
        if peer_name == "podveil":
            before = counters(lab.a)["drop_too_big"]
            out = lab.pod_a.run("ping -n -M do -c 1 -W 2 -s 65507 10.0.2.2", check=False).stdout
            assert "mtu = 65475" in out
            assert counters(lab.a)["drop_too_big"] > before
        assert ping(lab.pod_a, "10.0.2.2") == 3


def first_answers(capture):
    """For each session in which the left node was the responder: whether its first data message belonged to that session. The
    capture shows it: a response has both indices, a data message has the receiver's."""
    from scapy.layers.inet import IP, UDP
    verdicts, theirs, confirmed = [], None, False
    for p in capture.packets():
        message = bytes(p[UDP].payload)
        kind, from_left = message[0], p[IP].src == "172.18.0.1"
        if kind == 2 and from_left:
            ours, theirs, confirmed = message[4:8], message[8:12], False
        elif theirs and kind == 4 and not from_left:
            confirmed |= message[4:8] == ours
        elif theirs and kind == 4 and confirmed:
            verdicts.append(message[4:8] == theirs)
            theirs = None
    return verdicts


def test_the_first_answer_belongs_to_the_session_that_it_answers(lab):
    """The responder sends with the new keys as soon as it has received a message with them (whitepaper 6.3). A peer that starts
    anew has no other keys."""
    left, right = Device(lab.a, PODVEIL), Device(lab.b, implementation("wireguard-go-new"))
    lab.connect(left, right)
    capture = Capture(lab.b, "eth0", f"udp port {PORT}")
    answered = 0
    for _ in range(40):
        time.sleep(0.05)  # a peer may initiate once in 20 ms, and its timestamps have steps of 17 ms
        right.set("peer", left.public, "remove")
        right.set("peer", left.public, "endpoint", lab.endpoint(1), "allowed-ips", "10.0.1.0/24")
        answered += ping(lab.pod_b, "10.0.1.2", count=1, deadline=1)
    capture.stop()
    verdicts = first_answers(capture)
    assert len(verdicts) >= 30 and all(verdicts), f"{verdicts.count(False)} of {len(verdicts)} under old keys"
    assert answered >= 30  # an initiation too soon after another one is answered only when it is repeated, 5 s later
