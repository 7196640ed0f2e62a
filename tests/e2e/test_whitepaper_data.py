# SPDX-License-Identifier: Apache-2.0
"""The whitepaper's sentences on data messages, roaming and the order of sessions (2, 5.4.6, 6.1, 6.3). A hostile peer tests
each of them; a case names its section."""
import os
import socket
import struct
import time

import pytest

from hostile import socket_on
from lab import wait_for
from whitepaper import OURS, SOON, Chapter, good, ip4, run, udp, world  # noqa: F401


case = Chapter()


@pytest.mark.parametrize("function", case.cases)
def test_sentence(world, function):  # noqa: F811
    run(world, function)


# --- 5.4.5, 5.4.6: transport ---

@case("5.4.6", "messages are padded with zeros to a multiple of 16, and the counter rises by one")
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
    # Counters start at 0 and grow by one; a keepalive may have used one of them.
    assert counters_seen == sorted(set(counters_seen)) and counters_seen[-1] <= len(counters_seen)


@case("5.4.6", "everything after the inner packet's length is padding")
def foreign_padding(p):
    session = p.initiate()
    for more in (b"", bytes(1), bytes(100), os.urandom(37)):
        payload = os.urandom(9)
        p.send(session.message(ip4(p.address, OURS, udp(payload)) + more, padded=False))
        assert p.world.inner.recv(1 << 16) == payload


@case("5.4.6", "order does not matter within the window, and each counter is accepted once")
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


@case("6.1", "Reject-After-Messages: the last counters are never used")
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


refused("unknown_index", "5.4.6", "the receiver's index selects the session",
        lambda p, s: s.message(good(p), receiver=s.theirs ^ 1))
refused("data_reserved", "5.4.6", "the reserved bytes are zero", lambda p, s: s.message(good(p), first=b"\x04\0\0\1"))
refused("data_without_tag", "5.4.6", "a tag has 16 bytes", lambda p, s: s.message(b"")[:31])
refused("data_cut_short", "5.4.6", "a truncated message is not authentic", lambda p, s: s.message(good(p))[:-16])
refused("source_of_no_peer", "2", "an inner source that is not allowed is dropped",
        lambda p, s: s.message(ip4("10.99.9.9", OURS, udp(b"no"))))
refused("source_of_ourselves", "2", "the inner source is not the device's own address", lambda p, s: s.message(ip4(OURS, OURS, udp(b"no"))))
refused("no_ip", "5.4.6", "the inner packet is IP", lambda p, s: s.message(b"\x55" * 40))
refused("shorter_than_it_says", "5.4.6", "the inner packet is complete",
        lambda p, s: s.message(good(p)[:21], padded=False))
refused("less_than_a_header", "5.4.6", "the inner packet has a header", lambda p, s: s.message(b"\x45" + bytes(8), padded=False))


@case("2", "the longest prefix decides which peer owns a source")
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


@case("5.4.6", "an empty message is a keepalive only")
def keepalive(p):
    session = p.initiate()
    assert p.refuses(session.message(b""), session)


@case("6.5", "a persistent keepalive is sent without traffic, and is empty")
def persistent_keepalive(p):
    other = p.world.peer(keepalive=1)
    h = other.handshake()
    h.accept(other.receive())
    message, session = h.response()
    other.send(message)
    for _ in range(2):
        assert session.read(other.receive())[1] == b""
    other.close()


@case("5.4.6", "unknown content above the addresses is carried unchanged, in both directions")
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

@case("2.1", "an authentic message updates the peer's endpoint")
def roams(p):
    session, _ = p.respond()
    other = p.another_socket()
    assert p.delivers(session, by=other)
    wait_for(lambda: p.endpoint() == p.port(other), "the endpoint has changed")
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


stays("forged_elsewhere", "a forged message does not change the endpoint", forged)
stays("replayed_elsewhere", "a replayed message does not change the endpoint", seen)
stays("unknown_elsewhere", "a message with an unknown index does not change the endpoint", lambda p, s: s.message(good(p), receiver=77))


@case("2.1", "a replayed initiation from another address does not change the endpoint")
def replayed_initiation_elsewhere(p):
    h = p.handshake()
    message = h.initiation()
    p.send(message)
    assert h.finish(p.receive())
    other = p.another_socket()
    time.sleep(0.03)
    p.send(message, other)
    assert p.silent(other) and p.endpoint() == p.port()


@case("2.1", "an authentic initiation updates the peer's endpoint")
def initiation_elsewhere(p):
    p.initiate()
    other = p.another_socket()
    time.sleep(0.03)
    assert p.delivers(p.initiate(by=other), by=other)
    assert p.endpoint() == p.port(other)


# --- 6.3: sessions follow each other ---

@case("6.3", "a responder does not send with a session before it received a message on it")
def responder_waits(p):
    old = p.initiate()
    assert p.delivers(old)
    time.sleep(0.03)
    fresh = p.initiate()
    p.world.inner.sendto(b"old way", (p.address, 9))
    assert old.read(p.receive())
    assert p.delivers(fresh)


@case("6.3", "the previous session can receive until there is a third one")
def three_sessions(p):
    sessions = []
    for _ in range(3):
        sessions.append(p.initiate())
        assert p.delivers(sessions[-1])
        for older in sessions[-2:]:
            assert p.delivers(older)
        time.sleep(0.03)
    wait_for(lambda: p.refuses(sessions[0].message(good(p)), sessions[2]), "the first is gone")
