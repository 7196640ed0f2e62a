# SPDX-License-Identifier: Apache-2.0
"""The whitepaper's sentences on load, cookies and repetition (5.3, 5.4.7, 6.4, 6.6). A hostile peer tests each of them; a
case names its section."""
import os
import time

import pytest

from hostile import Handshake, mac
from whitepaper import SOON, TARGET, Chapter, run, world  # noqa: F401


case = Chapter()


@pytest.mark.parametrize("function", case.cases)
def test_sentence(world, function):  # noqa: F811
    run(world, function)


# --- 5.3, 5.4.7: under load ---

def load(p):
    """Sends more initiations with a correct mac1 than the device can handle."""
    noise = [Handshake(p.key, p.world.public)._macs(b"\x01\0\0\0" + os.urandom(112), p.world.public) for _ in range(64)]
    s = p.another_socket()
    s.connect(TARGET)
    for i in range(6000):
        s.send(noise[i % 64])
    s.close()


def until(p, right, cookie=None, by=None, pause=0.0):
    """Sends an initiation under load; returns right(handshake, answer) for its answer. The flood makes some messages get
    lost, so it tries again, as each peer does."""
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


@case("5.4.7", "under load, a cookie is sent instead of an answer. With the cookie there is an answer, to that address and port only")
def cookies(p):
    cookie = until(p, Handshake.cookie)
    # A cookie is bound to an address and port.
    assert until(p, Handshake.cookie, cookie, p.another_socket()) != cookie
    # The flood has ended; the device is still under load.
    session = until(p, Handshake.finish, cookie, pause=0.3)
    assert p.delivers(session)


@case("5.3", "under load, too, a sender that does not know the public key gets no answer")
def no_cookie_without_mac1(p):
    load(p)
    p.send(p.handshake().initiation(mac1_of=b"z" * 32))
    time.sleep(0.3)
    p.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        p.receive()


@case("5.3", "under load, too, a sender that does not flood gets an answer without a cookie")
def no_cookie_for_who_does_not_flood(p):
    p.world.lab.b.run("ip addr replace 172.18.0.3/24 dev eth0")
    other = p.world.peer()
    elsewhere = other.another_socket("172.18.0.3")

    def answers_other(h, answer):
        session = other.initiate(by=elsewhere) if h.cookie(answer) else None
        assert session is None or other.delivers(session, by=elsewhere)
        return session
    # If the flood's own address needs a cookie, the device is under load, for another second.
    assert until(p, answers_other)
    other.close()


# --- 6.4, 6.6: what takes five seconds, all at the same time ---

def test_initiations_are_repeated(world):  # noqa: F811
    """An initiation is repeated after Rekey-Timeout with another ephemeral key (6.4), and not earlier after a cookie reply
    (5.4.7, 6.6). It has a mac2 if a correct cookie came, and none if the cookie was wrong."""
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
    # A second reply with another cookie: the first one was accepted and counts.
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
        if p is late:  # the response to the first initiation comes too late
            p.send(first[p][3].response()[0])
            assert p.silent()
        p.send(answer)
        assert session.read(p.receive())
        p.close()
