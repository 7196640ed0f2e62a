# SPDX-License-Identifier: Apache-2.0
"""The whitepaper's sentences on handshakes (5.1, 5.4.1 to 5.4.4). A hostile peer tests each of them; a case names its
section."""
import os
import struct
import time

import pytest

from hostile import LABEL_MAC1, LOW_ORDER, Handshake, Key, hash_, mac, timestamp
from lab import wait_for
from traffic import counters
from whitepaper import Chapter, run, world  # noqa: F401


case = Chapter()


@pytest.mark.parametrize("function", case.cases)
def test_sentence(world, function):  # noqa: F811
    run(world, function)


# --- 5.4.2, 5.4.3: the device answers ---

@case("5.4.3", "the response has our index, a mac1 under our key and no mac2, and both ends get the same keys")
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


@case("5.4.2", "indices are random: no two sessions of a device have the same one")
def indices_differ(p):
    first = p.initiate()
    time.sleep(0.03)
    assert p.initiate().theirs != first.theirs


@case("5.4.2", "the greatest timestamp is kept: a replayed initiation is not answered")
def replayed_initiation(p):
    h = p.handshake()
    message = h.initiation()
    p.send(message)
    assert h.finish(p.receive())
    time.sleep(0.03)
    p.send(message)
    assert p.silent()


@case("5.1", "an older or equal timestamp is discarded")
def older_timestamps(p):
    now = time.time()
    p.initiate(stamp=timestamp(now))
    for stamp in (now, now - 1, now - 1e6, 1):
        time.sleep(0.03)
        p.send(p.handshake().initiation(stamp=timestamp(stamp)))
        assert p.silent()
    time.sleep(0.03)
    assert p.initiate(stamp=timestamp(now + 1))


@case("5.1", "the timestamp survives sessions: an old recorded initiation cannot replace a session")
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


unanswered("reserved_bytes", "5.4.2", "the reserved bytes are zero", first=b"\x01\0\1\0")
unanswered("too_short", "5.4.2", "an initiation has 148 bytes, not 147", length=147)
unanswered("too_long", "5.4.2", "an initiation has 148 bytes, not 149", length=149)
unanswered("mac1_of_another", "5.4.4", "msg.mac1 is made with the responder's public key", mac1_of=b"x" * 32)
unanswered("static_changed", "5.4.2", "msg.static is authenticated", change=45)
unanswered("static_tag_changed", "5.4.2", "the tag of msg.static is checked", change=87)
unanswered("timestamp_changed", "5.4.2", "msg.timestamp is authenticated", change=90)
unanswered("ephemeral_changed", "5.4.2", "msg.ephemeral is in the hash", change=8)
unanswered("static_of_another", "5.4.2", "without the private key for msg.static, the timestamp cannot be made",
           static=Key(b"\7" * 32).public)
for _i, _point in enumerate(LOW_ORDER):
    unanswered(f"low_order_ephemeral_{_i}", "5.4", "a result of all zero bits is no secret", ephemeral_point=_point)
    unanswered(f"low_order_static_{_i}", "5.4", "a static key of low order is refused", static=_point)


@case("5.1", "silence: a sender that is no peer gets no answer")
def stranger(p):
    p.send(Handshake(Key(), p.world.public).initiation())
    assert p.silent()


@case("5.1", "silence: a message without a correct mac1 is ignored")
def mac1_changed(p):
    message = bytearray(p.handshake().initiation())
    message[116] ^= 1
    p.send(bytes(message))
    assert p.silent()


@case("5.1", "silence: unknown message types and empty datagrams")
def unknown_types(p):
    before = counters(p.world.lab.a)["drop_bad_message"]
    for message in (b"", b"\0" * 148, b"\5\0\0\0" + bytes(144), b"\x01", b"\xff" * 92, b"\x03\0\0\0" + bytes(59)):
        p.send(message)
    assert p.silent()
    wait_for(lambda: counters(p.world.lab.a)["drop_bad_message"] >= before + 5, "they are counted")


@case("5.4.4", "msg.mac2 is not checked without load")
def mac2_without_load(p):
    h = p.handshake()
    p.send(h.initiation()[:132] + os.urandom(16))
    assert p.delivers(h.finish(p.receive()))


@case("5.4.3", "a response without an initiation is dropped")
def response_out_of_nowhere(p):
    session = p.initiate()
    h = p.handshake()
    h.c = h.h = bytes(32)
    h.remote, h.point = session.theirs, Key().public
    p.send(h.response()[0])
    assert p.silent() and p.delivers(session)


# --- 5.4.2: the device initiates ---

@case("5.4.2", "an initiation of the device is correct: fields, macs, key and time")
def initiates(p):
    h = p.handshake()
    message = p.asked()
    assert len(message) == 148 and message[:4] == b"\x01\0\0\0" and message[132:] == bytes(16)
    static, stamp = h.accept(message)
    assert static == p.world.public
    assert abs(struct.unpack(">Q", stamp[:8])[0] - 0x400000000000000a - time.time()) < 60


@case("5.4.5", "the initiator may send at once: the waiting packets are sent first, in order")
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
        # The handshake is still under way, and the correct response is accepted.
        message, session = h.response()
        p.send(message)
        assert session.read(p.receive())
    function.__name__ = name
    case(section, sentence)(function)


ignored("empty_changed", "5.4.3", "msg.empty is authenticated", change=50)
ignored("ephemeral_of_response_changed", "5.4.3", "msg.ephemeral of the response is in the hash", change=20)
ignored("response_mac1_of_another", "5.4.4", "mac1 of the response is made with the initiator's key", mac1_of=b"y" * 32)
ignored("response_to_another", "5.4.3", "the receiver's index says which handshake it is", receiver=0x01020304)
ignored("response_reserved", "5.4.3", "the reserved bytes are zero", first=b"\x02\1\0\0")
for _i, _point in enumerate(LOW_ORDER[:3]):
    ignored(f"response_of_low_order_{_i}", "5.4", "a result of all zero bits is no secret", ephemeral_point=_point)


@case("5.4.3", "a response is accepted once")
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


@case("5.4.3", "the response may come from another address: it is authenticated, and updates the endpoint")
def response_from_elsewhere(p):
    h = p.handshake()
    h.accept(p.asked())
    other = p.another_socket()
    message, session = h.response()
    p.send(message, other)
    assert session.read(p.receive(other))
    assert p.endpoint() == p.port(other)


@case("6.3", "both initiate at the same time: there is a session at once")
def both_at_once(p):
    p.asked()
    session = p.initiate()
    assert p.delivers(session)
    p.world.inner.sendto(b"on it", (p.address, 9))
    while not session.read(got := p.receive()):
        assert got[0] in (1, 4)
