# SPDX-License-Identifier: Apache-2.0
"""Requests to the wg socket: long or contradictory ones, many at once, and sockets of two devices in one directory."""
import contextlib
import os
import socket
import subprocess
import time

import pytest

from lab import PODVEIL, PORT, Device, Host, Lab, implementation, resident, wait_for
from traffic import ping

COMMAND = implementation("podveil")
SOCKET = "/var/run/wireguard/wg0.sock"


@pytest.fixture(scope="module")
def pair():
    """(lab, left, right): one lab for all tests that leave it as it was."""
    with Lab() as made:
        left, right = Device(made.a, COMMAND), Device(made.b, COMMAND)
        made.connect(left, right)
        assert ping(made.pod_a, "10.0.2.2") == 3
        yield made, left, right


@contextlib.contextmanager
def connection(host, name="wg0"):
    """A connection to the socket of a device in a host's mount namespace."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(f"/proc/{host.pid}/root/run/wireguard/{name}.sock")
        yield s


def ask(host, text, name="wg0"):
    with connection(host, name) as s:
        s.sendall(text.encode())
        s.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: s.recv(1 << 16), b"")).decode()


def hexadecimal(key):
    import base64
    return base64.b64decode(key).hex()


def test_a_request_is_a_sequence(pair):
    """The lines of a request take effect in order: a peer can be removed and made again in one request, and update_only
    changes only a peer that exists."""
    lab, left, right = pair
    key = hexadecimal(right.public)
    again = f"endpoint=172.18.0.2:{PORT}\nallowed_ip=10.0.2.0/24\nallowed_ip=fd00:2::/64\n"
    assert ask(lab.a, f"set=1\npublic_key={key}\nremove=true\npublic_key={key}\n{again}\n") == "errno=0\n\n"
    assert left.show("allowed-ips") == f"{right.public}\t10.0.2.0/24 fd00:2::/64"
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
    assert ask(lab.a, f"set=1\nreplace_peers=true\npublic_key={key}\npublic_key={key}\nremove=true\n"
                      f"public_key={key}\nupdate_only=true\nallowed_ip=10.9.9.9/32\n"
                      f"public_key={key}\n{again}\n") == "errno=0\n\n"
    assert left.show("allowed-ips") == f"{right.public}\t10.0.2.0/24 fd00:2::/64"
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3


def configuration(private, peers):
    lines = ["[Interface]", f"PrivateKey = {private}"]
    for key, ips in peers:
        lines += ["[Peer]", f"PublicKey = {key}"]
        lines += ["AllowedIPs = " + ", ".join(ips[i:i + 200]) for i in range(0, len(ips), 200)]
    return "\n".join(lines) + "\n"


def test_a_hundred_thousand_allowed_ips():
    """A peer with 140,000 allowed IPs can be set, set again, lose them to another peer, and lose that peer, each in seconds.
    wireguard-go takes a second for each step."""
    with Host("node") as node:
        device = Device(node, COMMAND)
        first, second = (node.run("wg genkey | wg pubkey").strip() for _ in range(2))
        ips = [f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}/32" for i in range(140000)]
        for step, peers in (("setconf", [(first, ips)]),
                            # Old and new ones together would be more than there is room for.
                            ("syncconf", [(first, ips)]),
                            ("syncconf", [(first, ips[:10]), (second, ips[10:])]),
                            ("syncconf", [(first, ips[:10])])):
            begin = time.monotonic()
            node.run(f"cat > /run/conf && wg {step} wg0 /run/conf", stdin=configuration(device.private, peers))
            assert time.monotonic() - begin < 20  # it took minutes
            shown = dict(line.split("\t") for line in node.run("wg show wg0 allowed-ips").splitlines())
            assert {key: shown[key].split() for key in shown} == dict(peers)


def test_clients_that_read_no_answer(pair):
    """A client that sends requests and does not read answers costs no memory: the next request waits until it reads."""
    lab, left, _ = pair
    n = 6000
    keys = "".join(f"public_key={i:064x}\nallowed_ip=10.99.{i}.0/24\n" for i in range(1, 201))
    assert ask(lab.a, f"set=1\n{keys}\n") == "errno=0\n\n"
    before = resident(left.pid())
    with connection(lab.a) as s:
        s.sendall(b"get=1\n\n" * n)
        # Another client has an answer now, so the device has also handled our requests, as far as we read.
        assert ask(lab.a, "get=1\n\n").endswith("errno=0\n\n")
        assert resident(left.pid()) - before < 16 * 1024
        got, tail = 0, b""
        while got < 1000:
            data = tail + s.recv(1 << 20)
            got += data.count(b"errno=0\n\n")
            tail = data[-8:]
        assert resident(left.pid()) - before < 16 * 1024
    gone = "".join(f"public_key={i:064x}\nremove=true\n" for i in range(1, 201))
    assert ask(lab.a, f"set=1\n{gone}\n") == "errno=0\n\n"


def test_idle_clients_make_room(pair):
    lab, left, _ = pair
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connection(lab.a)) for _ in range(60)]
        # The newest connection still works; the oldest ones were closed.
        assert ask(lab.a, "get=1\n\n").endswith("errno=0\n\n")
        idle[-1].sendall(b"get=1\n\n")
        assert b"public_key" in idle[-1].recv(1 << 16)
        assert idle[0].recv(1) == b""
        assert lab.a.run("wg show wg0 peers").strip()


def test_a_name_that_is_served_elsewhere(lab):
    """If two network namespaces share one /run, a device never takes a socket that another device serves."""
    mine = Device(lab.a, COMMAND)
    lab.a.run("ip netns add other")
    other = lab.a.start(["nsenter", "--net=/run/netns/other", PODVEIL, "device", "wg1", "--foreground"],
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(f"/proc/{lab.a.pid}/root/run/wireguard/wg1.sock"), "the other one is up")
    secret = "11" * 32
    assert ask(lab.a, f"set=1\nprivate_key={secret}\n\n", "wg1") == "errno=0\n\n"
    pins = lab.a.run("ls -di /sys/fs/bpf/podveil/wg1")
    lab.a.run("ip link set wg0 down && ip link set wg0 name wg1 && ip link set wg1 up")
    wait_for(lambda: "keep their old name" in mine.log.read(), "the log says so")
    assert f"private_key={hexadecimal(mine.private)}" in ask(lab.a, "get=1\n\n", "wg0")
    assert "private_key=" in ask(lab.a, "get=1\n\n", "wg1")
    assert f"private_key={hexadecimal(mine.private)}" not in ask(lab.a, "get=1\n\n", "wg1")
    assert lab.a.run("ls -di /sys/fs/bpf/podveil/wg1") == pins
    # When it ends, the other device's socket stays.
    lab.a.run("ip link delete wg1")
    wait_for(lambda: not mine.pid(), "the renamed one ends")
    assert "private_key=" in ask(lab.a, "get=1\n\n", "wg1")
    assert not os.path.exists(f"/proc/{lab.a.pid}/root/run/wireguard/wg0.sock")
    # When the name is free again, the device takes it.
    again = Device(lab.a, COMMAND)
    other.terminate()
    other.wait(10)
    lab.a.run("ip link set wg0 down && ip link set wg0 name wg1 && ip link set wg1 up")
    wait_for(lambda: lab.a.run("wg show interfaces").strip() == "wg1", "wg finds the new name")
    assert f"private_key={hexadecimal(again.private)}" in ask(lab.a, "get=1\n\n", "wg1")
