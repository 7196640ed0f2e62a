# SPDX-License-Identifier: Apache-2.0
"""The whitepaper's sentences, each tried by a hostile peer (hostile.py); a case names its section."""
import os
import socket
import struct
import time

import pytest

from hostile import (LABEL_MAC1, LOW_ORDER, Handshake, Key, hash_, mac, socket_on, timestamp)
from lab import PORT, Device, Lab, implementation, wait_for
from traffic import counters

COMMAND = implementation("podveil")
TARGET = ("172.18.0.1", PORT)
OURS = "10.50.0.1"  # the device's inner address
SOON = 5            # seconds that an answer may take on a loaded machine
CASES = []


def case(section, sentence):
    """Registers a function of one peer as a case."""
    def register(function):
        CASES.append(pytest.param(function, id=f"{section}-{function.__name__}"))
        function.__doc__ = f"{section}: {sentence}"
        return function
    return register


def ip4(source, destination, payload, protocol=17):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 7, 0, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(destination))
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xffff) + (total >> 16)
    return header[:10] + struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + header[12:] + payload


def udp(payload, port=9999):
    return struct.pack(">HHHH", 1234, port, 8 + len(payload), 0) + payload


class World:
    """One device, and what is common to all cases."""

    def __init__(self, lab):
        self.lab, self.device = lab, Device(lab.a, COMMAND)
        import base64
        self.public = base64.b64decode(self.device.public)
        self.device.set("listen-port", PORT)
        lab.a.run(f"ip addr add {OURS}/32 dev wg0 && ip link set wg0 mtu 1420 up && ip addr add fd50::1/128 dev wg0 nodad && "
                  "ip route add 10.50.0.0/16 dev wg0 && ip -6 route add fd50::/64 dev wg0")
        self.inner = socket_on(lab.a, socket.AF_INET, socket.SOCK_DGRAM)
        self.inner.bind((OURS, 9999))
        self.inner.settimeout(SOON)
        self.n = 0
        self.control = socket.socket(socket.AF_UNIX)
        self.control.settimeout(SOON)
        self.control.connect(f"/proc/{lab.a.pid}/root/run/wireguard/wg0.sock")

    def ask(self, text):
        self.control.sendall(text.encode())
        answer = b""
        while not answer.endswith(b"\n\n"):
            answer += self.control.recv(1 << 16)
        return answer.decode()

    def set(self, text):
        assert self.ask(f"set=1\n{text}\n") == "errno=0\n\n"

    def peer(self, **options):
        self.n += 1
        return Peer(self, self.n, **options)


class Peer:
    """A hostile peer that the device knows, with the inner address 10.50.1.N."""

    def __init__(self, world, n, psk=None, endpoint=True, keepalive=None):
        self.world, self.key, self.psk = world, Key(), psk or bytes(32)
        self.address = f"10.50.1.{n}"
        self.socket = self.another_socket()
        text = (f"public_key={self.key.public.hex()}\nallowed_ip={self.address}/32\nallowed_ip=fd50::{n + 1:x}/128\n")
        if endpoint:
            text += f"endpoint=172.18.0.2:{self.socket.getsockname()[1]}\n"
        if psk:
            text += f"preshared_key={psk.hex()}\n"
        if keepalive:
            text += f"persistent_keepalive_interval={keepalive}\n"
        world.set(text)

    def another_socket(self):
        s = socket_on(self.world.lab.b, socket.AF_INET, socket.SOCK_DGRAM)
        s.bind(("172.18.0.2", 0))
        s.settimeout(SOON)
        return s

    def close(self):
        self.world.set(f"public_key={self.key.public.hex()}\nremove=true\n")
        self.socket.close()

    def handshake(self):
        return Handshake(self.key, self.world.public, self.psk)

    def send(self, message, by=None):
        (by or self.socket).sendto(message, TARGET)

    def receive(self, by=None):
        return (by or self.socket).recv(1 << 16)

    def data(self, session, by=None):
        """The next of a session's messages that is no keepalive: one may come at any time."""
        while not (got := session.read(self.receive(by)))[1]:
            pass
        return got

    def silent(self, by=None, session=None):
        """Nothing came (but keepalives of a session), and what was sent before was looked at: the same thread answers a stranger's
        proper handshake behind it."""
        other = self.world.peer()
        other.initiate()
        other.close()
        s = by or self.socket
        s.setblocking(False)
        try:
            while (message := s.recv(1 << 16)) and session and session.read(message)[1] == b"":
                pass
            return False
        except BlockingIOError:
            return True
        finally:
            s.settimeout(SOON)

    def initiate(self, by=None, **broken):
        """A session with us as the initiator."""
        h = self.handshake()
        self.send(h.initiation(**broken), by)
        session = h.finish(self.receive(by))
        assert session
        return session

    def asked(self, payload=b"wake", port=9):
        """The device has something for us: what it sends first."""
        self.world.inner.sendto(payload, (self.address, port))
        return self.receive()

    def respond(self, payload=b"wake"):
        """A session with the device as the initiator: (session, its first message)."""
        h = self.handshake()
        static, _ = h.accept(self.asked(payload))
        assert static == self.world.public
        message, session = h.response()
        self.send(message)
        return session, self.receive()

    def delivers(self, session, payload=None, by=None, counter=None):
        """An inner datagram over the session arrives."""
        payload = payload or os.urandom(12)
        self.send(session.message(ip4(self.address, OURS, udp(payload)), counter), by)
        return self.world.inner.recv(1 << 16) == payload

    def refuses(self, message, session, by=None):
        """A transport message is dropped, and what comes behind it on the session is not."""
        self.send(message, by)
        return self.delivers(session, b"behind it")

    def endpoint(self):
        lines = self.world.ask("get=1\n\n").split("public_key=" + self.key.public.hex())[1].splitlines()
        return [line for line in lines if line.startswith("endpoint=")][0].split(":")[-1]

    def port(self, by=None):
        return str((by or self.socket).getsockname()[1])


@pytest.fixture(scope="module")
def world():
    with Lab() as lab:
        yield World(lab)


@pytest.mark.parametrize("function", CASES)
def test_whitepaper(world, function):
    peer = world.peer()
    function(peer)
    peer.close()


# --- 5.4.2, 5.4.3: the device answers ---

@case("5.4.3", "the response bears our index, a mac1 under our key, no mac2, and gives both the same keys")
def answers_an_initiation(p):
    h = p.handshake()
    p.send(h.initiation())
    answer = p.receive()
    assert answer[:4] == b"\x02\0\0\0" and len(answer) == 92
    assert answer[60:76] == mac(hash_(LABEL_MAC1, p.key.public), answer[:60])
    assert answer[76:] == bytes(16)
    assert p.delivers(h.finish(answer))


@case("5.4.3", "Q, the pre-shared key, is mixed in")
def preshared_key(p):
    other = p.world.peer(psk=os.urandom(32))
    assert other.delivers(other.initiate())
    h = other.handshake()
    h.psk = os.urandom(32)
    time.sleep(0.03)
    other.send(h.initiation())
    assert h.finish(other.receive()) is None
    other.close()


@case("5.4.2", "indices are chosen at random: no two sessions of a device bear the same")
def indices_differ(p):
    first = p.initiate()
    time.sleep(0.03)
    assert p.initiate().theirs != first.theirs


@case("5.4.2", "the timestamp's greatest is kept: an initiation that comes again is not answered")
def replayed_initiation(p):
    h = p.handshake()
    message = h.initiation()
    p.send(message)
    assert h.finish(p.receive())
    time.sleep(0.03)
    p.send(message)
    assert p.silent()


@case("5.1", "an older timestamp is discarded, an equal one, too")
def older_timestamps(p):
    now = time.time()
    p.initiate(stamp=timestamp(now))
    for stamp in (now, now - 1, now - 1e6, 1):
        time.sleep(0.03)
        p.send(p.handshake().initiation(stamp=timestamp(stamp)))
        assert p.silent()
    time.sleep(0.03)
    assert p.initiate(stamp=timestamp(now + 1))


@case("5.1", "the timestamp survives sessions: what was recorded before cannot take a peer away")
def recorded_before(p):
    old = p.handshake().initiation(stamp=timestamp(time.time() - 5))
    session = p.initiate()
    assert p.delivers(session)
    time.sleep(0.03)
    p.send(old)
    assert p.silent() and p.delivers(session)


def unanswered(name, section, sentence, **broken):
    def function(p):
        p.send(p.handshake().initiation(**broken))
        assert p.silent()
        time.sleep(0.03)
        assert p.delivers(p.initiate())  # and nothing was lost by it
    function.__name__ = name
    case(section, sentence)(function)


unanswered("reserved_bytes", "5.4.2", "reserved is zero", first=b"\x01\0\1\0")
unanswered("too_short", "5.4.2", "an initiation has 148 bytes, not 147", length=147)
unanswered("too_long", "5.4.2", "an initiation has 148 bytes, not 149", length=149)
unanswered("mac1_of_another", "5.4.4", "msg.mac1 is made with the responder's public key", mac1_of=b"x" * 32)
unanswered("static_changed", "5.4.2", "msg.static is authenticated", change=45)
unanswered("static_tag_changed", "5.4.2", "msg.static's tag counts", change=87)
unanswered("timestamp_changed", "5.4.2", "msg.timestamp is authenticated", change=90)
unanswered("ephemeral_changed", "5.4.2", "msg.ephemeral is in the hash", change=8)
unanswered("static_of_another", "5.4.2", "who bears another's static key cannot make the timestamp",
           static=Key(b"\7" * 32).public)
for _i, _point in enumerate(LOW_ORDER):
    unanswered(f"low_order_ephemeral_{_i}", "5.4", "a result of all zero bits is no secret", ephemeral_point=_point)
    unanswered(f"low_order_static_{_i}", "5.4", "a static key of low order is nobody's", static=_point)


@case("5.1", "silence: who is no peer gets no answer")
def stranger(p):
    p.send(Handshake(Key(), p.world.public).initiation())
    assert p.silent()


@case("5.1", "silence: a message without a right mac1 is not looked at")
def mac1_changed(p):
    message = bytearray(p.handshake().initiation())
    message[116] ^= 1
    p.send(bytes(message))
    assert p.silent()


@case("5.1", "silence: types that there are not, and no bytes at all")
def unknown_types(p):
    before = counters(p.world.lab.a)["drop_bad_message"]
    for message in (b"", b"\0" * 148, b"\5\0\0\0" + bytes(144), b"\x01", b"\xff" * 92, b"\x03\0\0\0" + bytes(59)):
        p.send(message)
    assert p.silent()
    wait_for(lambda: counters(p.world.lab.a)["drop_bad_message"] >= before + 5, "they are counted")


@case("5.4.4", "msg.mac2 is of no account to who is not under load")
def mac2_without_load(p):
    h = p.handshake()
    p.send(h.initiation()[:132] + os.urandom(16))
    assert p.delivers(h.finish(p.receive()))


@case("5.4.3", "a response to nothing is dropped")
def response_out_of_nowhere(p):
    session = p.initiate()
    h = p.handshake()
    h.c = h.h = bytes(32)
    h.remote, h.point = session.theirs, Key().public
    p.send(h.response()[0])
    assert p.silent() and p.delivers(session)


# --- 5.4.2: the device initiates ---

@case("5.4.2", "all of an initiation of the device's: fields, macs, key and time")
def initiates(p):
    h = p.handshake()
    message = p.asked()
    assert len(message) == 148 and message[:4] == b"\x01\0\0\0" and message[132:] == bytes(16)
    static, stamp = h.accept(message)
    assert static == p.world.public
    assert abs(struct.unpack(">Q", stamp[:8])[0] - 0x400000000000000a - time.time()) < 60


@case("5.4.5", "the initiator may send at once: what waited is the first message, in order")
def sends_what_waited(p):
    h = p.handshake()
    for i in range(5):
        p.world.inner.sendto(b"%d" % i * 3, (p.address, 9))
    h.accept(p.receive())
    message, session = h.response()
    p.send(message)
    before = -1
    for i in range(5):
        counter, plain = p.data(session)
        assert counter > before
        before = counter
        assert plain[28:31] == b"%d" % i * 3


def ignored(name, section, sentence, **broken):
    def function(p):
        h = p.handshake()
        h.accept(p.asked())
        p.send(h.response(**broken)[0])
        assert p.silent()
        # The handshake is still under way, and the right answer is taken.
        message, session = h.response()
        p.send(message)
        assert session.read(p.receive())
    function.__name__ = name
    case(section, sentence)(function)


ignored("empty_changed", "5.4.3", "msg.empty is authenticated", change=50)
ignored("ephemeral_of_response_changed", "5.4.3", "msg.ephemeral of the response is in the hash", change=20)
ignored("response_mac1_of_another", "5.4.4", "mac1 of the response is made with the initiator's key", mac1_of=b"y" * 32)
ignored("response_to_another", "5.4.3", "the receiver's index says which handshake it is", receiver=0x01020304)
ignored("response_reserved", "5.4.3", "reserved is zero", first=b"\x02\1\0\0")
for _i, _point in enumerate(LOW_ORDER[:3]):
    ignored(f"response_of_low_order_{_i}", "5.4", "a result of all zero bits is no secret", ephemeral_point=_point)


@case("5.4.3", "a response counts once")
def replayed_response(p):
    h = p.handshake()
    h.accept(p.asked())
    message, session = h.response()
    p.send(message)
    assert p.data(session)
    p.send(message)
    second, other = h.response()
    p.send(second)
    assert p.silent(session=session)
    p.world.inner.sendto(b"again", (p.address, 9))
    got = p.receive()
    assert session.read(got) and not other.read(got)


@case("5.4.3", "the response may come from elsewhere: authenticated, it says where the peer is")
def response_from_elsewhere(p):
    h = p.handshake()
    h.accept(p.asked())
    other = p.another_socket()
    message, session = h.response()
    p.send(message, other)
    assert session.read(p.receive(other))
    assert p.endpoint() == p.port(other)


@case("6.3", "both initiate at the same time: a session stands at once")
def both_at_once(p):
    p.asked()
    session = p.initiate()
    assert p.delivers(session)
    p.world.inner.sendto(b"on it", (p.address, 9))
    while not session.read(got := p.receive()):
        assert got[0] in (1, 4)


# --- 5.4.5, 5.4.6: transport ---

@case("5.4.6", "padded with zeros to a multiple of 16, the counter goes up by one")
def padding(p):
    session, first = p.respond(b"x" * 3)
    counters_seen = [session.read(first)[0]]
    for size in (0, 1, 4, 5, 100, 1391, 1392):
        p.world.inner.sendto(b"z" * size, (p.address, 9))
        counter, plain = p.data(session)
        counters_seen.append(counter)
        length, = struct.unpack_from(">H", plain, 2)
        assert length == 28 + size
        assert len(plain) == min(-(-length // 16) * 16, 1420) and plain[length:] == bytes(len(plain) - length)
    # From 0 on, one by one; a keepalive may have had one of them.
    assert counters_seen == sorted(set(counters_seen)) and counters_seen[-1] <= len(counters_seen)


@case("5.4.6", "whatever is behind the inner packet's length is padding")
def foreign_padding(p):
    session = p.initiate()
    for more in (b"", bytes(1), bytes(100), os.urandom(37)):
        payload = os.urandom(9)
        p.send(session.message(ip4(p.address, OURS, udp(payload)) + more, padded=False))
        assert p.world.inner.recv(1 << 16) == payload


@case("5.4.6", "order does not matter within the window, a counter counts once")
def window(p):
    session = p.initiate()
    for counter in (5, 3, 4, 1, 9000, 7000, 7001):
        assert p.delivers(session, counter=counter)
    session.counter = 9001
    for counter in (9000, 5, 0, 700):
        assert p.refuses(session.message(ip4(p.address, OURS, udp(b"no")), counter), session)


@case("5.4.6", "a message that is not authentic does not move the window")
def forged_counters(p):
    session = p.initiate()
    message = bytearray(session.message(ip4(p.address, OURS, udp(b"no")), 1 << 40))
    message[-1] ^= 1
    assert p.refuses(bytes(message), session)
    assert p.delivers(session)


@case("6.1", "Reject-After-Messages: the last counters are never taken")
def last_counters(p):
    session = p.initiate()
    for counter in ((1 << 64) - 1, (1 << 64) - (1 << 13), (1 << 64) - (1 << 13) - 1):
        assert p.refuses(session.message(ip4(p.address, OURS, udp(b"no")), counter), session)


def refused(name, section, sentence, make):
    def function(p):
        session = p.initiate()
        assert p.delivers(session)
        assert p.refuses(make(p, session), session)
    function.__name__ = name
    case(section, sentence)(function)


def good(p):
    return ip4(p.address, OURS, udp(b"no"))


refused("unknown_index", "5.4.6", "the receiver's index says which session it is",
        lambda p, s: s.message(good(p), receiver=s.theirs ^ 1))
refused("data_reserved", "5.4.6", "reserved is zero", lambda p, s: s.message(good(p), first=b"\x04\0\0\1"))
refused("data_without_tag", "5.4.6", "a tag has 16 bytes", lambda p, s: s.message(b"")[:31])
refused("data_cut_short", "5.4.6", "what is cut is not authentic", lambda p, s: s.message(good(p))[:-16])
refused("source_of_nobody", "2", "an inner source that is not allowed is dropped",
        lambda p, s: s.message(ip4("10.99.9.9", OURS, udp(b"no"))))
refused("source_of_ourselves", "2", "nor may it be the device's own", lambda p, s: s.message(ip4(OURS, OURS, udp(b"no"))))
refused("no_ip", "5.4.6", "what is inside is IP", lambda p, s: s.message(b"\x55" * 40))
refused("shorter_than_it_says", "5.4.6", "the inner packet is all there",
        lambda p, s: s.message(good(p)[:21], padded=False))
refused("less_than_a_header", "5.4.6", "the inner packet has a header", lambda p, s: s.message(b"\x45" + bytes(8), padded=False))


@case("2", "the longest prefix says whose a source is")
def longest_prefix(p):
    other = p.world.peer()
    p.world.set(f"public_key={p.key.public.hex()}\nallowed_ip=10.50.1.0/24\n")
    session = p.initiate()
    assert p.refuses(session.message(ip4(other.address, OURS, udp(b"no"))), session)
    free = "10.50.1.254"
    p.send(session.message(ip4(free, OURS, udp(b"mine"))))
    assert p.world.inner.recv(99) == b"mine"
    assert other.delivers(other.initiate())
    other.close()


@case("5.4.6", "an empty message keeps alive, and is nothing more")
def keepalive(p):
    session = p.initiate()
    assert p.refuses(session.message(b""), session)


@case("6.5", "a persistent keepalive comes without traffic, and is empty")
def persistent_keepalive(p):
    other = p.world.peer(keepalive=1)
    h = other.handshake()
    h.accept(other.receive())
    message, session = h.response()
    other.send(message)
    for _ in range(2):
        assert session.read(other.receive())[1] == b""
    other.close()


@case("5.4.6", "what cannot be understood above the addresses is carried as it is, both ways")
def nonsense_above_ip(p):
    session, _ = p.respond()
    tap = socket_on(p.world.lab.a, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    tap.bind(("wg0", 0))
    tap.settimeout(SOON)
    head = ip4(p.address, OURS, b"", 6)
    source, destination = socket.inet_aton(p.address), socket.inet_aton(OURS)
    v6 = socket.inet_pton(socket.AF_INET6, f"fd50::{p.world.n + 1:x}"), socket.inet_pton(socket.AF_INET6, "fd50::1")
    extensions = b"".join(bytes([0 if i < 9 else 17, 0]) + bytes(6) for i in range(10))

    def packets(a, b, a6, b6):
        yield b"\x40\0\0\x1c" + head[4:12] + a + b + b"no ihl.."
        yield b"\x4f\0\0\x1c" + head[4:12] + a + b + b"long ihl"
        yield b"\x45\0\0\x18" + head[4:9] + b"\x06\0\0" + a + b + b"tcp."
        yield b"\x45\0\0\x18" + head[4:9] + b"\x11\0\0" + a + b + b"udp."
        yield b"\x60\0\0\0" + struct.pack(">H", 4) + b"\x06\x40" + a6 + b6 + b"tcp."
        yield b"\x60\0\0\0" + struct.pack(">H", 84) + b"\0\x40" + a6 + b6 + extensions + b"tail"
        yield b"\x60\0\0\0" + struct.pack(">H", 8) + b"\x2b\x40" + a6 + b6 + b"\x3b\xff" + bytes(6)
    for packet in packets(source, destination, *v6):
        p.send(session.message(packet))
        while (frame := tap.recv(1 << 16))[14:] != packet:
            assert frame[14:16] != packet[:2]
    for packet in packets(destination, source, v6[1], v6[0]):
        tap.send(bytes(12) + (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet)
        while (plain := session.read(p.receive())[1])[:len(packet)] != packet:
            assert plain[:2] != packet[:2]
    tap.close()


# --- 2.1: roaming ---

@case("2.1", "an authentic message says where the peer is")
def roams(p):
    session, _ = p.respond()
    other = p.another_socket()
    assert p.delivers(session, by=other)
    wait_for(lambda: p.endpoint() == p.port(other), "the endpoint follows")
    p.world.inner.sendto(b"there", (p.address, 9))
    assert session.read(p.receive(other))


def stays(name, sentence, message):
    def function(p):
        session, _ = p.respond()
        assert p.delivers(session)
        other = p.another_socket()
        assert p.refuses(message(p, session), session, by=other)
        assert p.endpoint() == p.port()
    function.__name__ = name
    case("2.1", sentence)(function)


def forged(p, s):
    return s.message(good(p))[:-1] + b"\0"


def seen(p, s):
    return s.message(good(p), counter=s.counter - 1)


stays("forged_elsewhere", "what is not authentic moves nobody", forged)
stays("replayed_elsewhere", "what came before moves nobody", seen)
stays("unknown_elsewhere", "an unknown index moves nobody", lambda p, s: s.message(good(p), receiver=77))


@case("2.1", "an initiation that comes again from elsewhere moves nobody")
def replayed_initiation_elsewhere(p):
    h = p.handshake()
    message = h.initiation()
    p.send(message)
    assert h.finish(p.receive())
    other = p.another_socket()
    time.sleep(0.03)
    p.send(message, other)
    assert p.silent(other) and p.endpoint() == p.port()


@case("2.1", "an authentic initiation moves the peer")
def initiation_elsewhere(p):
    p.initiate()
    other = p.another_socket()
    time.sleep(0.03)
    assert p.delivers(p.initiate(by=other), by=other)
    assert p.endpoint() == p.port(other)


# --- 6.3: sessions follow each other ---

@case("6.3", "a responder does not send with a session before a message came in on it")
def responder_waits(p):
    old = p.initiate()
    assert p.delivers(old)
    time.sleep(0.03)
    fresh = p.initiate()
    p.world.inner.sendto(b"old way", (p.address, 9))
    assert old.read(p.receive())
    assert p.delivers(fresh)


@case("6.3", "the session before is received until a third stands")
def three_sessions(p):
    sessions = []
    for _ in range(3):
        sessions.append(p.initiate())
        assert p.delivers(sessions[-1])
        for older in sessions[-2:]:
            assert p.delivers(older)
        time.sleep(0.03)
    wait_for(lambda: p.refuses(sessions[0].message(good(p)), sessions[2]), "the first is gone")


# --- 5.3, 5.4.7: under load ---

def load(p):
    """More than it can look at: strangers' initiations with a right mac1."""
    noise = [Handshake(p.key, p.world.public)._macs(b"\x01\0\0\0" + os.urandom(112), p.world.public) for _ in range(64)]
    s = p.another_socket()
    s.connect(TARGET)
    for i in range(6000):
        s.send(noise[i % 64])
    s.close()


def until(p, right, cookie=None, by=None, pause=0.0):
    """What right(handshake, answer) makes of the answer to an initiation under load. A flood takes some messages along,
    so it is tried again, as any peer does."""
    s = by or p.socket
    for _ in range(30):
        load(p)
        time.sleep(pause)
        h = p.handshake()
        p.send(h.initiation(cookie=cookie), by)
        s.settimeout(0.3)
        try:
            if got := right(h, p.receive(by)):
                return got
        except TimeoutError:
            pass
        finally:
            s.settimeout(SOON)
        time.sleep(0.03)
    raise AssertionError("the answer never comes")


@case("5.4.7", "under load a cookie comes in place of an answer; with it, the answer; only to that address and port")
def cookies(p):
    cookie = until(p, Handshake.cookie)
    # A cookie is what one address and port was given.
    assert until(p, Handshake.cookie, cookie, p.another_socket()) != cookie
    # The flood is over, the load is not yet.
    session = until(p, Handshake.finish, cookie, pause=0.3)
    assert p.delivers(session)


@case("5.3", "under load, too, nobody gets an answer who does not know the public key")
def no_cookie_without_mac1(p):
    load(p)
    p.send(p.handshake().initiation(mac1_of=b"z" * 32))
    time.sleep(0.3)
    p.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        p.receive()


# --- 6.4, 6.6: what takes five seconds, all at the same time ---

def test_what_is_repeated(world):
    """An initiation is repeated after Rekey-Timeout with another ephemeral key (6.4), with mac2 where a cookie came
    (5.4.7, 6.6: not before), without where the cookie was not right."""
    plain, cookie, forged_, late = (world.peer() for _ in range(4))
    value = os.urandom(16)
    first = {}
    for p in (plain, cookie, forged_, late):
        h = p.handshake()
        message = p.asked()
        first[p] = (time.monotonic(), message, h.accept(message)[1], h)
    cookie.send(first[cookie][3].cookie_reply(value))
    forged_.send(first[forged_][3].cookie_reply(value, mac1=os.urandom(16)))
    forged_.send(first[forged_][3].cookie_reply(value, key_of=os.urandom(32)))
    forged_.send(first[forged_][3].cookie_reply(value, receiver=3))
    # A second one with another value: the first was taken, and counts.
    cookie.send(first[cookie][3].cookie_reply(os.urandom(16)))
    for p in (plain, cookie, forged_, late):
        p.socket.settimeout(SOON + 5)
        message = p.receive()
        when, before, stamp, _ = first[p]
        assert time.monotonic() - when > 4.9
        h = p.handshake()
        static, again = h.accept(message)
        assert static == world.public and again > stamp
        assert message[8:40] != before[8:40]
        assert message[132:] == (mac(value, message[:132]) if p is cookie else bytes(16))
        answer, session = h.response()
        if p is late:  # the answer to the first one comes too late
            p.send(first[p][3].response()[0])
            assert p.silent()
        p.send(answer)
        assert session.read(p.receive())
        p.close()


def test_there_are_enough():
    assert len(CASES) >= 40 and len({c.id for c in CASES}) == len(CASES)
