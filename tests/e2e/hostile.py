# SPDX-License-Identifier: Apache-2.0
"""A WireGuard peer, written only from the whitepaper, that can make each mistake on purpose.

Names and sections are the whitepaper's (Donenfeld, WireGuard: Next Generation Kernel Network Tunnel, June 2020).
"""
import ctypes
import hmac
import os
import socket
import struct
import threading
import time
from hashlib import blake2s

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

CONSTRUCTION = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
LABEL_MAC1, LABEL_COOKIE = b"mac1----", b"cookie--"
INITIATION, RESPONSE, COOKIE_REPLY, DATA = 1, 2, 3, 4
ZERO = bytes(32)

# Points of low order: X25519 with any private key gives zero. Some are other encodings of such a point, which X25519 accepts.
LOW_ORDER = [bytes.fromhex(p) for p in (
    "00" * 32, "01" + "00" * 31,
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")]


# --- 5.4: the functions ---

def hash_(*parts):
    return blake2s(b"".join(parts)).digest()


def mac(key, data):
    return blake2s(data, digest_size=16, key=key).digest()


def kdf(n, key, data):
    t0 = hmac.digest(key, data, blake2s)
    out, last = [], b""
    for i in range(1, n + 1):
        last = hmac.digest(t0, last + bytes([i]), blake2s)
        out.append(last)
    return out


def seal(key, counter, plain, authenticated=b""):
    return ChaCha20Poly1305(key).encrypt(struct.pack("<4xQ", counter), plain, authenticated)


def open_(key, counter, sealed, authenticated=b""):
    """Decrypts; None if the text is not authentic."""
    try:
        return ChaCha20Poly1305(key).decrypt(struct.pack("<4xQ", counter), sealed, authenticated)
    except InvalidTag:
        return None


def hchacha20(key, nonce):
    s = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))

    def quarter(a, b, c, d):
        for x, y, z, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xffffffff
            s[z] ^= s[x]
            s[z] = (s[z] << by | s[z] >> (32 - by)) & 0xffffffff
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            quarter(a, b, c, d)
    return struct.pack("<8I", *s[:4], *s[12:])


def xseal(key, nonce, plain, authenticated):
    return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plain, authenticated)


def xopen(key, nonce, sealed, authenticated):
    try:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).decrypt(bytes(4) + nonce[16:], sealed, authenticated)
    except InvalidTag:
        return None


class Key:
    """A Curve25519 key pair."""

    def __init__(self, private=None):
        self.private = X25519PrivateKey.from_private_bytes(private or os.urandom(32))
        self.public = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)

    def dh(self, public):
        try:
            return self.private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:  # a point of low order: without a check, the result is zero
            return ZERO


def timestamp(seconds=None):
    """A TAI64N timestamp."""
    now = time.time() if seconds is None else seconds
    return struct.pack(">QI", 0x400000000000000a + int(now), int(now % 1 * 1e9))


class Session:
    """The transport keys and counters of one end (5.4.5, 5.4.6)."""

    def __init__(self, sends, receives, ours, theirs):
        self.sends, self.receives, self.ours, self.theirs = sends, receives, ours, theirs
        self.counter = 0

    def message(self, plain, counter=None, padded=True, receiver=None, first=b"\x04\0\0\0"):
        if counter is None:
            counter, self.counter = self.counter, self.counter + 1
        if padded:
            plain += bytes(-len(plain) % 16)
        return (first + struct.pack("<IQ", self.theirs if receiver is None else receiver, counter)
                + seal(self.sends, counter & (1 << 64) - 1, plain))

    def read(self, message):
        """(counter, plaintext); None if the message is not of this session."""
        if message[0] != DATA or struct.unpack_from("<I", message, 4)[0] != self.ours:
            return None
        counter, = struct.unpack_from("<Q", message, 8)
        plain = open_(self.receives, counter, message[16:])
        return None if plain is None else (counter, plain)


class Handshake:
    """One handshake (5.4.2 and 5.4.3), as initiator or as responder."""

    def __init__(self, ours, theirs, psk=ZERO):
        self.ours, self.theirs, self.psk = ours, theirs, psk
        self.index = struct.unpack("<I", os.urandom(4))[0]
        self.mac1 = None

    def _begin(self, responder):
        self.c = hash_(CONSTRUCTION)
        self.h = hash_(hash_(self.c, IDENTIFIER), responder)

    def _mix(self, data):
        self.h = hash_(self.h, data)

    def _macs(self, body, to, cookie=None, mac1_of=None):
        self.mac1 = mac(hash_(LABEL_MAC1, mac1_of or to), body)
        return body + self.mac1 + (mac(cookie, body + self.mac1) if cookie else bytes(16))

    def initiation(self, ephemeral_point=None, static=None, stamp=None, cookie=None, mac1_of=None, first=b"\x01\0\0\0",
                   change=None, length=148):
        self._begin(self.theirs)
        self.ephemeral = Key()
        point = ephemeral_point or self.ephemeral.public
        self.c, = kdf(1, self.c, point)
        self._mix(point)
        self.c, key = kdf(2, self.c, self.ephemeral.dh(self.theirs) if not ephemeral_point else ZERO)
        sealed_static = seal(key, 0, static or self.ours.public, self.h)
        self._mix(sealed_static)
        self.c, key = kdf(2, self.c, self.ours.dh(self.theirs))
        sealed_stamp = seal(key, 0, stamp or timestamp(), self.h)
        self._mix(sealed_stamp)
        body = bytearray(first + struct.pack("<I", self.index) + point + sealed_static + sealed_stamp)
        if change is not None:
            body[change] ^= 1
        message = self._macs(bytes(body), self.theirs, cookie, mac1_of)
        return message[:length] + bytes(max(0, length - 148))

    def finish(self, message):
        """Reads the response; returns the session, or None if the response is not correct."""
        if len(message) != 92 or message[0] != RESPONSE or struct.unpack_from("<I", message, 8)[0] != self.index:
            return None
        self.remote = struct.unpack_from("<I", message, 4)[0]
        point, empty = message[12:44], message[44:60]
        c, = kdf(1, self.c, point)
        h = hash_(self.h, point)
        c, = kdf(1, c, self.ephemeral.dh(point))
        c, = kdf(1, c, self.ours.dh(point))
        c, t, key = kdf(3, c, self.psk)
        h = hash_(h, t)
        if open_(key, 0, empty, h) != b"":
            return None
        return Session(*kdf(2, c, b""), self.index, self.remote)

    def accept(self, message):
        """Reads an initiation; returns (initiator's public key, timestamp), or None if it is not correct."""
        if len(message) != 148 or message[:4] != b"\x01\0\0\0":
            return None
        if mac(hash_(LABEL_MAC1, self.ours.public), message[:116]) != message[116:132]:
            return None
        self.remote, = struct.unpack_from("<I", message, 4)
        self.point = message[8:40]
        self._begin(self.ours.public)
        self.c, = kdf(1, self.c, self.point)
        self._mix(self.point)
        self.c, key = kdf(2, self.c, self.ours.dh(self.point))
        static = open_(key, 0, message[40:88], self.h)
        if static is None:
            return None
        self._mix(message[40:88])
        self.c, key = kdf(2, self.c, self.ours.dh(static))
        stamp = open_(key, 0, message[88:116], self.h)
        self._mix(message[88:116])
        self.received_mac1 = message[116:132]
        return None if stamp is None else (static, stamp)

    def response(self, ephemeral_point=None, change=None, receiver=None, mac1_of=None, first=b"\x02\0\0\0"):
        """(message, session)."""
        ephemeral = Key()
        point = ephemeral_point or ephemeral.public
        c, = kdf(1, self.c, point)
        h = hash_(self.h, point)
        c, = kdf(1, c, ZERO if ephemeral_point else ephemeral.dh(self.point))
        c, = kdf(1, c, ZERO if ephemeral_point else ephemeral.dh(self.theirs))
        c, t, key = kdf(3, c, self.psk)
        h = hash_(h, t)
        empty = seal(key, 0, b"", h)
        body = bytearray(first + struct.pack("<II", self.index, self.remote if receiver is None else receiver)
                         + point + empty)
        if change is not None:
            body[change] ^= 1
        receives, sends = kdf(2, c, b"")
        return self._macs(bytes(body), self.theirs, None, mac1_of), Session(sends, receives, self.index, self.remote)

    def cookie_reply(self, cookie, mac1=None, key_of=None, receiver=None):
        """The cookie reply (5.4.7) to the initiation that accept() has read."""
        nonce = os.urandom(24)
        sealed = xseal(hash_(LABEL_COOKIE, key_of or self.ours.public), nonce, cookie, mac1 or self.received_mac1)
        return b"\x03\0\0\0" + struct.pack("<I", self.remote if receiver is None else receiver) + nonce + sealed

    def cookie(self, message):
        """The cookie in a reply to the message that was sent last; None if the reply is not correct."""
        if len(message) != 64 or message[:4] != b"\x03\0\0\0" or struct.unpack_from("<I", message, 4)[0] != self.index:
            return None
        return xopen(hash_(LABEL_COOKIE, self.theirs), message[8:32], message[32:], self.mac1)


# --- floods ---

class Flood:
    """Until the `with` ends, sends initiations with a correct mac1 and random content, from one address of a host.
    `answers`: the types of the messages that came back."""

    def __init__(self, host, address, public):
        self.socket = socket_on(host, socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect(address)
        self.noise = [Handshake(None, public)._macs(b"\x01\0\0\0" + os.urandom(112), public) for _ in range(64)]
        self.answers, self.ended, self.thread = set(), threading.Event(), threading.Thread(target=self._run)

    def _run(self):
        while not self.ended.wait(0.02):
            try:
                for message in self.noise * 8:  # more at once than fit into a queue of the device
                    self.socket.send(message)
                while True:
                    self.answers.add(self.socket.recv(1 << 16, socket.MSG_DONTWAIT)[0])
            except (BlockingIOError, ConnectionRefusedError):
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.socket.close()


# --- sockets on hosts of the lab ---

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def socket_on(host, *arguments):
    """Makes a socket in a host's network namespace."""
    made = []

    def make():
        with open(f"/proc/{host.pid}/ns/net") as f:
            if _libc.setns(f.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.socket(*arguments))
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
