# SPDX-License-Identifier: Apache-2.0
"""The tunnel process by its socket alone: it makes a device, has its key, sends news, and outlives whoever asks."""
import base64
import contextlib
import os
import signal
import socket
import subprocess

import pytest

from agents import enable, record
from cluster import leaks
from lab import PODVEIL, PORT, Capture, Device, Host, Lab, implementation, wait_for
from traffic import counters, ping
from workload import Steady


class Process:
    """`podveil tunnel` on a host."""

    def __init__(self, host):
        self.host = host
        self.start()

    def start(self):
        self.process = self.host.start([PODVEIL, "tunnel", "--log-level", "debug"])
        wait_for(self.answers, "the tunnel process answers")

    def answers(self):
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        code = self.process.wait(10)
        self.host.started.remove(self.process)
        self.process.stdout.close()
        return code

    def root(self, path):
        return f"/proc/{self.host.pid}/root/{path}"

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.root("run/podveil/tunnel.sock"))
        return s

    def ask(self, *lines):
        """Returns (errno, {key: value}) of the answer; of lines that come several times, the last."""
        with self.connect() as s:
            s.sendall(("\n".join(lines) + "\n\n").encode())
            text = read_answer(s)
        pairs = dict(line.split("=", 1) for line in text.splitlines() if line)
        return -int(pairs.pop("errno")), pairs


def read_answer(s):
    text = b""
    while not text.endswith(b"\n\n"):
        part = s.recv(1 << 16)
        if not part:
            raise ConnectionError(f"the connection ended after {text!r}")
        text += part
    return text.decode()


def make(process, name="wg0"):
    error, answer = process.ask("make=one", f"name={name}", "inner_name=pv4.xsk", "workers=1", "mtu=1420")
    assert error == 0
    return answer


@pytest.fixture
def process():
    with Host("node") as host:
        yield Process(host)


def test_it_says_what_it_is(process):
    error, answer = process.ask("hello=1")
    assert (error, answer["protocol"], answer["pid"]) == (0, "1", str(process.process.pid))
    error, answer = process.ask("hello=2")
    assert (error, answer["protocol"]) == (93, "1")  # EPROTONOSUPPORT: whoever asks learns which one it is
    assert oct(os.stat(process.root("run/podveil/tunnel.sock")).st_mode)[-2:] == "00"  # nobody else
    # A second one leaves the first alone.
    second = process.host.run([PODVEIL, "tunnel"], check=False)
    assert second.returncode == 1 and "another tunnel process runs" in second.stderr
    assert process.ask("hello=1")[0] == 0


def test_the_key_stays_inside(process):
    """The process makes the key and shows the public one; it takes none, and gives none away."""
    error, answer = process.ask("key=one")
    private = process.host.run("cat /run/podveil/one.key").strip()
    public = process.host.run(f"echo {private} | wg pubkey").strip()
    assert error == 0
    assert bytes.fromhex(answer["public_key"]) == base64.b64decode(public)
    make(process)
    assert process.host.run("wg show wg0 public-key").strip() == public
    with process.connect() as s:
        s.sendall(b"get=one\n\n")
        assert "private" not in read_answer(s)
    other = process.host.run("wg genkey").strip()
    assert process.ask("set=one", f"private_key={base64.b64decode(other).hex()}")[0] == 1
    # Somebody else sets another key; the owner has ours put back.
    process.host.run(f"echo {other} > /run/other && wg set wg0 private-key /run/other")
    before = int(process.ask("get=one")[1]["version"])
    error, answer = process.ask("set=one", "own_key=true")
    assert error == 0 and int(answer["version"]) == before + 1
    assert process.host.run("wg show wg0 public-key").strip() == public
    process.host.run("rm /run/podveil/one.key")
    error, answer = process.ask("repair=one")
    assert error == 0 and int(answer["repaired"]) >= 1
    assert process.host.run("cat /run/podveil/one.key").strip() == private
    assert process.ask("forget_key=one")[0] == 16  # EBUSY: the device uses it
    assert process.ask("drop=one")[0] == 0
    assert process.ask("forget_key=one")[0] == 0
    assert not os.path.exists(process.root("run/podveil/one.key"))
    assert process.ask("quit=1")[0] == 0
    assert process.process.wait(10) == 0


class Hosted:
    """A device in a tunnel process, with what Lab.connect_one() asks of a device."""

    def __init__(self, process):
        self.process, self.node, self.name = process, process.host, "wg0"
        self.public = base64.b64encode(bytes.fromhex(make(process)["public_key"])).decode()

    def give_peers(self, other):
        return self.process.ask(
            "set=one", "workers=1", "wire=socket", "uplink=0", "low_latency=false", "own_key=true", f"listen_port={PORT}",
            f"fwmark={0x200000}", f"public_key={base64.b64decode(other.public).hex()}", "replace_allowed_ips=true",
            "allowed_ip=10.0.2.0/24", "allowed_ip=fd00:2::/64", f"endpoint=172.18.0.2:{PORT}")


@pytest.fixture
def pair():
    """(lab, device of a tunnel process on the left, `podveil device` on the right, events of the left): peers."""
    with Lab() as lab:
        left, right = Hosted(Process(lab.a)), Device(lab.b, implementation("podveil"))
        events = left.process.connect()
        events.sendall(b"events=1\n\n")
        assert read_answer(events) == "errno=0\n\n"
        assert left.give_peers(right)[0] == 0
        lab.connect_one(right, left)
        lab.a.run("ip link set wg0 up && ip route replace 10.0.2.0/24 dev wg0")
        yield lab, left, right, events
        events.close()


def test_it_outlives_whoever_asks(pair):
    """Traffic goes on when the client is gone, also in the middle of a request, and the next one finds all as it was."""
    lab, left, right, events = pair
    assert left.process.ask("handshake=one", "anyway=true",
                            f"public_key={base64.b64decode(right.public).hex()}")[0] == 0
    assert read_answer(events) == "event=sessions\ndevice=one\n\n"
    assert ping(lab.pod_a, "10.0.2.2") == 3
    before = left.process.ask("get=one")[1]
    assert (before["peers"], before["listen_port"], before["sessions"]) == ("1", str(PORT), "1")
    events.close()
    with left.process.connect() as half:
        half.sendall(b"set=one\nreplace_peers=true\n")  # and no empty line: the client dies
    # An agent that starts anew makes the device once more, and configures what is configured: the session stands.
    again = make(left.process)
    assert again["made"] == "0" and again["public_key"] == base64.b64decode(left.public).hex()
    assert left.give_peers(right)[0] == 0
    after = left.process.ask("get=one")[1]
    assert (after["peers"], after["sessions"], after["ifindex"]) == ("1", "1", before["ifindex"])
    assert ping(lab.pod_a, "10.0.2.2") == 3
    error, counters = left.process.ask("counters=one")
    assert error == 0 and counters["slot"] == "15"


def test_what_it_tells(pair):
    """It tells that a device was renamed or deleted. What follows is refused, until it is made again."""
    lab, left, _, events = pair
    lab.a.run("ip link set wg0 down && ip link set wg0 name wg7")
    news = ""
    while "renamed" not in news:
        news = read_answer(events)
    assert left.process.ask("get=one")[1]["name"] == "wg7"
    lab.a.run("wg show wg7 && ip link del wg7")
    while "ended" not in news:
        news = read_answer(events)
    for request in ("get=one", "counters=one", "set=one", "drop=one"):
        assert left.process.ask(request)[0] == 19  # ENODEV
    assert make(left.process)["made"] == "1"


def test_its_successor_adopts(pair):
    """After kill -9 the device stays and sends nothing in plain; the next process takes it over with its key."""
    lab, left, right, events = pair
    assert ping(lab.pod_a, "10.0.2.2") == 3
    before = left.process.ask("get=one")[1]
    left.process.kill()
    assert events.recv(1 << 16) in (b"", b"event=sessions\ndevice=one\n\n")
    assert ping(lab.pod_a, "10.0.2.2", deadline=1) == 0
    left.process.start()
    made = make(left.process)
    assert (made["made"], made["ifindex"]) == ("1", before["ifindex"])
    assert base64.b64encode(bytes.fromhex(made["public_key"])).decode() == left.public
    assert left.give_peers(right)[0] == 0
    assert ping(lab.pod_a, "10.0.2.2") == 3
    # Told to end, it leaves the device too.
    assert left.process.kill(signal.SIGTERM) == 0
    lab.a.run("ip link show wg0")


def test_a_request_is_carried_out_or_not(pair):
    """A request with one wrong line changes nothing, whatever the other lines are."""
    lab, left, right, _ = pair
    before = left.process.ask("get=one")[1]
    for lines in (["replace_peers=true", "public_key=nonsense"], ["workers=1", "replace_peers=true", "wire=usb"],
                  ["listen_port=1", "workers=1"], ["low_latency=true", "low_latency=true"]):
        assert left.process.ask("set=one", *lines)[0] == 22, lines
    # The port is taken: the number of workers goes back, too.
    with lab.a.start(["python3", "-c", "import socket, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); "
                      "s.bind(('', 4711)); print(flush=True); sys.stdin.read()"], stdin=subprocess.PIPE) as taker:
        taker.stdout.readline()
        assert left.process.ask("set=one", "workers=2", "listen_port=4711", "replace_peers=true")[0] == 98
        taker.stdin.close()
    after = left.process.ask("get=one")[1]
    assert {k: after[k] for k in ("version", "peers", "workers", "listen_port")} == {
        k: before[k] for k in ("version", "peers", "workers", "listen_port")}


def test_five_thousand_peers(process):
    """One request brings them, one report shows them, and a second request that changes nothing keeps them."""
    make(process)
    peers = [line for i in range(5000) for line in (
        "public_key=" + (i + 1).to_bytes(4, "big").hex() + "5a" * 28, "replace_allowed_ips=true",
        f"allowed_ip=10.{i >> 8}.{i & 255}.0/24", f"endpoint=192.0.2.{i % 250 + 1}:{PORT}")]
    for _ in range(2):
        assert process.ask("set=one", f"listen_port={PORT}", *peers)[0] == 0
        assert process.ask("get=one")[1]["peers"] == "5000"


# Not drop_no_peer: the kernel's own multicasts count there, and a request without a peer would fail at once.
FELT = ("drop_no_socket", "drop_no_endpoint", "drop_stale_peer", "drop_staged_full", "drop_staged_expired",
        "drop_unknown_index", "staged", "unstamped")


def felt(node):
    """What packets feel of a tunnel that is not as it should be: those that were dropped for it, or had to wait; and handshakes
    that an agent asked for."""
    counted = counters(node, "wireguard.cali")
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(f"/proc/{node.pid}/root/run/podveil/tunnel.sock")
        s.sendall(b"get=wireguard\n\n")
        asked = [line for line in read_answer(s).splitlines() if line.startswith("handshakes.started.owner=")]
    return {**{name: counted[name] for name in FELT}, "asked": asked}


def test_a_killed_agent_is_not_felt(cluster):
    """20 times kill -9 of the agent under traffic, every third time while a setting is applied: no request fails, no packet is
    dropped or waits, no handshake is asked for, and the tunnel process is the same."""
    c, node = cluster, cluster.nodes[1]
    enable(c)
    pid = node.agent.tunnel_process()
    capture = Capture(node, "eth0", "udp port 4789 or net 10.244.0.0/16")
    steady = Steady(c.client, c.server.address, rate=1000)
    steady.more(100)
    before = felt(node)
    for i in range(20):
        if i % 3 == 0:
            c.configure(wireguardKeepAlive=f"{i + 5}s")
        node.agent.kill(tunnel=False)
        steady.more(100)
        c.start_agent(node)
        steady.more(100)
    wait_for(c.encrypted, "the last agent is content")
    assert node.agent.tunnel_process() == pid
    assert felt(node) == before
    # Without an agent for a while, and told to end: the same.
    node.agent.stop(tunnel=False)
    steady.more(1000)
    assert felt(node) == before
    outcome = steady.stop()
    capture.stop()
    assert outcome["failed"] == 0 and not leaks(capture.packets()), outcome
    c.start_agent(node)


def test_a_killed_tunnel_process_comes_back(cluster):
    """The agent starts another tunnel process, which adopts device and key and gets its peers. Nothing leaves in plain, and
    TCP connections live on."""
    c, node = cluster, cluster.nodes[1]
    enable(c)
    key = node.run("wg show wireguard.cali public-key")
    capture = Capture(node, "eth0", "udp port 4789 or net 10.244.0.0/16")
    steady = Steady(c.client, c.server.address, rate=1000)
    steady.more(100)
    for _ in range(5):
        pid = node.agent.tunnel_process()
        node.agent.end_tunnel_process(signal.SIGKILL)
        wait_for(lambda: node.agent.tunnel_process() not in (None, pid), "another one runs")
        steady.more(100)
        wait_for(c.encrypted, "encrypting again")
        assert node.run("wg show wireguard.cali public-key") == key
    assert node.agent.process.poll() is None
    outcome = steady.stop()
    capture.stop()
    assert outcome["failed"] == 0 and not leaks(capture.packets()), outcome


# A tunnel process of the future.
OTHER_PROTOCOL = """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
while True:
    c, _ = s.accept()
    while c.recv(4096):
        c.sendall(b'protocol=2\\nversion=9.9.9\\npid=1\\nerrno=-93\\n\\n')
"""


def test_an_agent_that_waits_for_its_tunnel_process(cluster):
    """With --tunnel wait, an agent starts none. Before there is one it raises strict mode's lines all the same, and says what
    it lacks; then it goes on by itself."""
    c, node = cluster, cluster.nodes[1]
    node.agent.stop()
    c.configure(wireguardEnabled=True, podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16"])
    c.start_agent(node, "--tunnel", "wait", ready=False)
    wait_for(lambda: "lookup 20566" in node.run("ip rule"), "the first line stands")
    assert "no tunnel process answers yet" in node.agent.log() and not node.agent.tunnel_process()
    other = node.start(["python3", "-c", OTHER_PROTOCOL, "/run/podveil/tunnel.sock"])
    wait_for(lambda: "the tunnel process speaks another protocol" in node.agent.log(), "it is said")
    assert not node.run("wg show interfaces").strip()
    other.kill()
    other.wait()
    process = Process(node)
    wait_for(c.encrypted, "all nodes encrypt")
    process.kill()
    process.start()
    wait_for(c.encrypted, "all nodes encrypt with the next one")


def test_the_published_key_stays_without_a_tunnel_process(cluster):
    """An agent whose tunnel process is not there yet does not take its key back: the others would send in plain."""
    c, node = cluster, cluster.nodes[1]
    enable(c)
    key = record(c, node)["wireguardPublicKey"]
    node.agent.stop()
    c.start_agent(node, "--tunnel", "wait", ready=False)
    wait_for(lambda: (node.agent.status() or {}).get("failed"), "a pass has failed")
    assert record(c, node)["wireguardPublicKey"] == key
    Process(node)
    wait_for(c.encrypted, "all nodes encrypt")
