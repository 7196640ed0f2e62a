# SPDX-License-Identifier: Apache-2.0
"""What the tests of the whitepaper's sentences (test_whitepaper_*.py) share: a device, and hostile peers of it (hostile.py)."""
import base64
import os
import socket
import struct

import pytest

from hostile import Handshake, Key, socket_on
from lab import PORT, Device, Lab, implementation

COMMAND = implementation("podveil")
TARGET = ("172.18.0.1", PORT)
OURS = "10.50.0.1"  # the device's inner address
SOON = 5            # seconds that an answer may take on a loaded machine


class Chapter:
    """A list of cases. As a decorator, @chapter(section, sentence), it registers a test function that takes one peer."""

    def __init__(self):
        self.cases = []

    def __call__(self, section, sentence):
        def register(function):
            self.cases.append(pytest.param(function, id=f"{section}-{function.__name__}"))
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
    """The device, and what all cases share."""

    def __init__(self, lab, arguments=()):
        self.lab, self.device = lab, Device(lab.a, COMMAND, arguments=arguments)
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

    def another_socket(self, address="172.18.0.2"):
        s = socket_on(self.world.lab.b, socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((address, 0))
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
        """The next message of a session that is not a keepalive; a keepalive may come at any time."""
        while not (got := session.read(self.receive(by)))[1]:
            pass
        return got

    def silent(self, by=None, session=None):
        """True if nothing came except keepalives of the session. First another peer makes a correct handshake: the same thread
        answers it, so the device has handled all that was sent before."""
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
        """Makes a session with us as the initiator."""
        h = self.handshake()
        self.send(h.initiation(**broken), by)
        session = h.finish(self.receive(by))
        assert session
        return session

    def asked(self, payload=b"wake", port=9):
        """Sends an inner datagram for us into the device; returns the device's first message."""
        self.world.inner.sendto(payload, (self.address, port))
        return self.receive()

    def respond(self, payload=b"wake"):
        """Makes a session with the device as the initiator; returns (session, its first message)."""
        h = self.handshake()
        static, _ = h.accept(self.asked(payload))
        assert static == self.world.public
        message, session = h.response()
        self.send(message)
        return session, self.receive()

    def delivers(self, session, payload=None, by=None, counter=None):
        """True if an inner datagram over the session arrives."""
        payload = payload or os.urandom(12)
        self.send(session.message(ip4(self.address, OURS, udp(payload)), counter), by)
        return self.world.inner.recv(1 << 16) == payload

    def refuses(self, message, session, by=None):
        """True if the transport message is dropped, and the next one on the session arrives."""
        self.send(message, by)
        return self.delivers(session, b"behind it")

    def endpoint(self):
        lines = self.world.ask("get=1\n\n").split("public_key=" + self.key.public.hex())[1].splitlines()
        return [line for line in lines if line.startswith("endpoint=")][0].split(":")[-1]

    def port(self, by=None):
        return str((by or self.socket).getsockname()[1])


def good(p):
    return ip4(p.address, OURS, udp(b"no"))


def run(world, function):
    peer = world.peer()
    function(peer)
    peer.close()


@pytest.fixture(scope="module")
def world():
    with Lab() as lab:
        yield World(lab)
