# SPDX-License-Identifier: Apache-2.0
"""The device as its user sees it: wg(8), ip(8), signals, and what is left after it ends."""
import json
import os
import random
import signal
import subprocess
import time

import pytest

from lab import MARK, PODVEIL, PORT, Capture, Device, Failed, implementation, resident, wait_for
from traffic import counters, ping, transfer

COMMAND = implementation("podveil")
SOCKET = "/var/run/wireguard/wg0.sock"


@pytest.fixture
def both(lab):
    left, right = Device(lab.a, COMMAND), Device(lab.b, COMMAND)
    lab.connect(left, right)
    assert ping(lab.pod_a, "10.0.2.2") == 3
    return left, right


def refused(host, command, code=1):
    done = host.run(command, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def request(host, text):
    """Sends a raw request to the device's wg socket; returns the answer."""
    return host.run(["python3", "-c", """
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(10)
s.sendall(sys.stdin.buffer.read()); s.shutdown(socket.SHUT_WR)
while True:
    data = s.recv(65536)
    if not data: break
    sys.stdout.write(data.decode())
""", SOCKET], stdin=text)


def test_wg_sets_and_shows_everything(lab):
    device = Device(lab.a, COMMAND)
    keys = [lab.a.run("wg genkey | wg pubkey").strip() for _ in range(2)]
    device.set("listen-port", 12345, "fwmark", hex(MARK), "peer", keys[0], "endpoint",
               "192.0.2.1:1000", "persistent-keepalive", 25, "allowed-ips",
               "10.9.0.0/16,fd09::/32,10.9.1.1/32", "peer", keys[1], "endpoint", "[2001:db8::1]:2000")
    assert device.show("listen-port") == "12345"
    assert device.show("fwmark") == hex(MARK)
    dump = lab.a.run("wg show wg0 dump").splitlines()
    assert dump[1].split("\t") == [keys[0], "(none)", "192.0.2.1:1000",
                                   "10.9.0.0/16,fd09::/32,10.9.1.1/32", "0", "0", "0", "25"]
    assert dump[2].split("\t")[2] == "[2001:db8::1]:2000"
    saved = lab.a.run("wg showconf wg0")
    # When an address moves to another peer, the first peer loses it.
    device.set("peer", keys[1], "allowed-ips", "10.9.1.1/32")
    assert "10.9.1.1/32" not in lab.a.run("wg show wg0 allowed-ips").splitlines()[0]
    lab.a.run("cat > /run/saved && wg syncconf wg0 /run/saved", stdin=saved)
    assert sorted(lab.a.run("wg showconf wg0").splitlines()) == sorted(saved.splitlines())
    device.set("peer", keys[0], "remove")
    assert keys[0] not in lab.a.run("wg show wg0")


def test_a_thousand_peers_in_one_request(lab):
    device = Device(lab.a, COMMAND)
    lines = ["[Interface]", f"PrivateKey = {device.private}", f"ListenPort = {PORT}"]
    want = {}
    from base64 import b64encode
    for i in range(1000):
        key = b64encode(bytes([i >> 8, i & 255] + [7] * 29 + [1])).decode()
        ips = [f"10.{i >> 8}.{i & 255}.{k}/32" for k in range(10)]
        want[key] = set(ips)
        lines += ["[Peer]", f"PublicKey = {key}", "AllowedIPs = " + ", ".join(ips)]
    text = "\n".join(lines) + "\n"
    lab.a.run("cat > /run/many && wg setconf wg0 /run/many", stdin=text)
    got = {}
    for line in lab.a.run("wg show wg0 allowed-ips").splitlines():
        key, ips = line.split("\t")
        got[key] = set(ips.split())
    assert got == want
    shown = lab.a.run("bpftool -j map dump pinned /sys/fs/bpf/podveil/wg0/allowed_ips4")
    assert shown.count('"formatted"') == 10000


BAD_REQUESTS = [
    ("set=1\nprivate_key=12\n\n", 22),
    ("set=1\nlisten_port=70000\n\n", 22),
    ("set=1\nlisten_port=-1\n\n", 22),
    ("set=1\nno_such_key=1\n\n", 22),
    ("set=1\npublic_key=zz\n\n", 22),
    ("set=1\nlisten_port\n\n", 22),
    ("set=1\nlisten_port=7777\npublic_key=" + "11" * 32 + "\nallowed_ip=10.0.0.0/33\n\n", 22),
    ("set=1\nlisten_port=7777\npublic_key=" + "11" * 32 + "\nendpoint=1.2.3.4\n\n", 22),
    ("set=1\n" + "x" * 5000 + "=1\n\n", 22),
    ("bad=1\n\n", 22),
    ("get=1\nlisten_port=1\n\n", 22),
]


@pytest.mark.parametrize("text,errno", BAD_REQUESTS)
def test_bad_requests_change_nothing(lab, text, errno):
    device = Device(lab.a, COMMAND)
    device.set("listen-port", 1234)
    before = lab.a.run("wg show wg0 dump")
    assert f"errno=-{errno}\n\n" in request(lab.a, text)
    assert lab.a.run("wg show wg0 dump") == before


def test_two_requests_on_one_connection(lab):
    device = Device(lab.a, COMMAND)
    answer = request(lab.a, "set=1\nlisten_port=4321\n\nget=1\n\n")
    assert answer.startswith("errno=0\n\n")
    assert "listen_port=4321" in answer
    assert device.show("listen-port") == "4321"


def test_bad_names(lab):
    podveil = [PODVEIL, "device"]
    assert "longer than 15" in refused(lab.a, podveil + ["a-name-that-is-too-long"], 2)
    assert "contains one of" in refused(lab.a, podveil + ["a/b"], 2)
    assert "needs one IFNAME" in refused(lab.a, podveil, 2)
    assert "not a number" in refused(lab.a, podveil + ["wg0", "--workers", "99"], 2)
    assert "no such implementation" in refused(lab.a, podveil + ["wg0", "--aead", "rot13"], 2)
    env = {"PODVEIL_LOG_STDERR": "1"}
    out = lab.a.run(podveil + ["eth0"], check=False, env=env)
    assert out.returncode == 1 and "exists" in out.stderr
    # None of these attempts left anything.
    assert lab.a.run("ls /run/podveil /run/wireguard; ip -br link | grep xsk || true").count("\n") <= 3


def test_second_device_of_the_same_name(lab):
    Device(lab.a, COMMAND)
    done = lab.a.run([PODVEIL, "device", "wg0"], check=False)
    assert done.returncode == 1
    assert "another podveil" in done.stderr
    assert "wg0" in lab.a.run("wg show interfaces")


def test_without_capabilities(lab):
    out = refused(lab.a, ["setpriv", "--bounding-set=-net_admin,-bpf,-sys_admin",
                          "--inh-caps=-net_admin,-bpf,-sys_admin", PODVEIL, "device", "wg7"])
    assert "CAP_NET_ADMIN" in out and "CAP_BPF" in out


def test_port_in_use_keeps_the_old_one(both, lab):
    left, right = both
    holder = lab.a.start(["python3", "-c", "import socket; s = socket.socket(socket.AF_INET, "
                          "socket.SOCK_DGRAM); s.bind(('', 5555)); print('held', flush=True); input()"],
                         stdin=subprocess.PIPE)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Failed, match="Address already in use"):
        left.set("listen-port", 5555)
    assert left.show("listen-port") == str(PORT)
    assert ping(lab.pod_a, "10.0.2.2") == 3


def test_sigterm_leaves_nothing(lab):
    device = Device(lab.a, COMMAND)
    pid = device.pid()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
    assert "wg0" not in lab.a.run("ip -br link")
    assert lab.a.run("find /run/wireguard /run/podveil /sys/fs/bpf/podveil -type f 2>/dev/null "
                     "|| true") == ""


def test_deleting_the_device_ends_it(both, lab):
    left, _ = both
    pid = left.pid()
    flood = lab.pod_a.start(["ping", "-f", "-q", "10.0.2.2"])
    lab.a.run("ip link delete wg0")
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
    flood.kill()
    assert not lab.a.run("ls /run/wireguard").strip()


def test_kill_9_and_start_again(both, lab):
    left, right = both
    capture = Capture(lab.b, "eth0", "net 10.0.0.0/8 or net fd00:1::/32")
    pid = left.pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
    # Without the process, packets are dropped and counted, and never sent in plain.
    before = counters(lab.a)["drop_no_socket"]
    assert ping(lab.pod_a, "10.0.2.2", count=3, deadline=2) == 0
    assert counters(lab.a)["drop_no_socket"] >= before + 3
    again = Device(lab.a, COMMAND)
    again.set("private-key", "/dev/stdin", stdin=left.private + "\n")
    again.set("listen-port", PORT, "fwmark", hex(MARK), "peer", right.public, "endpoint",
              lab.endpoint(2), "allowed-ips", "10.0.2.0/24")
    # Routes and addresses were still there.
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) >= 3
    capture.stop()
    assert len(capture.packets()) == 0


def test_rename(both, lab):
    left, right = both
    lab.a.run("ip link set wg0 down && ip link set wg0 name pod0 && ip link set pod0 up && "
              "ip route replace 10.0.2.0/24 dev pod0")
    wait_for(lambda: lab.a.run("wg show interfaces").strip() == "pod0", "wg finds the new name")
    assert right.public in lab.a.run("wg show pod0 peers")
    assert ping(lab.pod_a, "10.0.2.2") == 3
    assert "allowed_ips4" in lab.a.run("ls /sys/fs/bpf/podveil/pod0")


def test_moved_to_another_namespace(both, lab):
    """A device works in another network namespace, where container runtimes put it, while its sockets stay in the first."""
    lab.a.run(f"ip link set wg0 netns {lab.pod_a.pid}")
    lab.pod_a.run("ip addr add 10.0.1.2/32 dev wg0 && ip link set wg0 mtu 1440 up && "
                  "ip route replace 10.0.2.0/24 dev wg0 src 10.0.1.2")
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) >= 3
    transfer(lab.pod_a, lab.pod_b, "10.0.2.2", 16)
    transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 16)
    # A superpacket of datagrams (UDP_SEGMENT) keeps its boundaries, although there is no classifier.
    sizes = superpacket_of_datagrams(lab.pod_a, lab.pod_b, "10.0.2.2", [300] * 39 + [77])
    assert sizes == [300] * 39 + [77]
    assert counters(lab.a)["unstamped"] > 0


def superpacket_of_datagrams(source, sink, address, sizes):
    """Sends datagrams of these sizes in one call with UDP_SEGMENT; returns the sizes of those that arrived."""
    receiver = sink.start(["python3", "-c", """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 7002)); print('listening', flush=True); s.settimeout(5); sizes = []
while len(sizes) < int(sys.argv[2]): sizes.append(len(s.recv(65536)))
print(sizes)
""", address, str(len(sizes))])
    assert receiver.stdout.readline() == "listening\n"
    source.run(["python3", "-c", """
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.connect((sys.argv[1], 7002))
s.setsockopt(17, 103, int(sys.argv[2])); s.send(os.urandom(int(sys.argv[3])))
""", address, str(sizes[0]), str(sum(sizes))])
    return json.loads(receiver.communicate(timeout=60)[0])


def test_down_and_up_under_traffic(both, lab):
    flood = lab.pod_a.start(["ping", "-n", "-i", "0.01", "-c", "300", "-W", "1", "10.0.2.2"])
    for _ in range(3):
        lab.a.run("ip link set wg0 down && ip link set wg0 up && "
                  "ip route replace 10.0.2.0/24 dev wg0")
    flood.communicate(timeout=60)
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) >= 3


def test_sessions_come_back_with_the_device(both, lab):
    """A device that goes down and up again starts a new session by itself, without traffic. The other end still uses the old
    session and would notice only after 15 s."""
    def heard():
        return int(lab.b.run("wg show wg0 transfer").split()[1])
    for _ in range(3):
        # Longer than the 20 ms in which a second initiation is refused.
        assert ping(lab.pod_b, "10.0.1.2") == 3
        before = heard()
        # The process sees both changes at once, as on a busy machine.
        os.kill(both[0].pid(), signal.SIGSTOP)
        lab.a.run("ip link set wg0 down && ip link set wg0 up && "
                  "ip route replace 10.0.2.0/24 dev wg0")
        os.kill(both[0].pid(), signal.SIGCONT)
        wait_for(lambda: heard() > before, "it asks for a session")
        wait_for(lambda: ping(lab.pod_b, "10.0.1.2", count=1, deadline=1) == 1, "traffic flows")


def test_mtu_changes_under_traffic(both, lab):
    transferring = lab.pod_b.start("iperf3 -s -1")
    wait_for(lambda: "5201" in lab.pod_b.run("ss -ltn"), "iperf3 listens")
    client = lab.pod_a.start("iperf3 -c 10.0.2.2 -t 3")
    for mtu in (1280, 9000, 600, 1440):
        for node in (lab.a, lab.b):
            node.run(f"ip link set wg0 mtu {mtu}")
    out, _ = client.communicate(timeout=60)
    assert client.returncode == 0, out
    transferring.communicate(timeout=60)
    assert ping(lab.pod_a, "10.0.2.2") == 3


def test_senders_get_icmp_unreachable(both, lab):
    lab.a.run("ip route add 10.77.0.0/16 dev wg0 && ip -6 route add fd77::/32 dev wg0")
    out = lab.pod_a.run("ping -n -c 1 -W 2 10.77.0.1", check=False).stdout
    assert "Destination Host Unreachable" in out
    out = lab.pod_a.run("ping -n -c 1 -W 2 fd77::1", check=False).stdout
    assert "Address unreachable" in out
    assert counters(lab.a)["drop_no_peer"] >= 2


def test_marked_packets_do_not_loop(both, lab):
    before = counters(lab.a)["drop_marked"]
    lab.a.run(f"ping -m {MARK} -n -c 2 -W 1 -w 2 -i 0.2 10.0.2.2", check=False)
    assert counters(lab.a)["drop_marked"] > before


def test_congestion_marks_are_carried(both, lab):
    capture = Capture(lab.b, "eth0", "udp port 51820")
    assert ping(lab.pod_a, "10.0.2.2") == 3
    lab.pod_a.run("ping -n -Q 2 -c 3 -i 0.05 10.0.2.2")
    capture.stop()
    from scapy.layers.inet import IP
    marks = [p[IP].tos & 3 for p in capture.packets() if p[IP].src == "172.18.0.1"]
    assert 2 in marks and 0 in marks


def test_hostile_datagrams(both, lab):
    """Replayed, truncated, changed and invented datagrams are counted, and the session continues."""
    left, right = both
    capture = Capture(lab.a, "eth0", "udp dst port 51820 and dst host 172.18.0.1")
    assert ping(lab.pod_a, "10.0.2.2", count=20) == 20
    capture.stop()
    from scapy.layers.inet import UDP
    real = [bytes(p[UDP].payload) for p in capture.packets()]
    # 84 bytes of a ping, padded to 96, and 32 of WireGuard. The sender hands several messages at once to the kernel (UDP GSO),
    # which the capture sees as one packet.
    data = [m[i:i + 128] for m in real if m[0] == 4 for i in range(0, len(m), 128)]
    assert len(data) >= 20 and all(len(m) == 128 and m[0] == 4 for m in data)
    rng = random.Random(1)
    hostile = list(data)                                        # replayed
    hostile += [m[:len(m) - 5] for m in data]                   # truncated: bad tag
    for m in data:                                              # a bit flipped
        at = rng.randrange(16, len(m))
        hostile.append(m[:at] + bytes([m[at] ^ 1]) + m[at + 1:])
    hostile += [m[:4] + b"\xde\xad\xbe\xef" + m[8:] for m in data]   # no such session
    hostile += [rng.randbytes(rng.randrange(0, 1500)) for _ in range(500)]
    hostile += [bytes([t, 0, 0, 0]) + rng.randbytes(n - 4)
                for t, n in ((1, 148), (2, 92), (3, 64)) for _ in range(50)]
    before = counters(lab.a)
    sender = "import socket,sys,json\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n" \
             "for m in json.load(sys.stdin): s.sendto(bytes.fromhex(m),('172.18.0.1',51820))\n"
    lab.b.run(["python3", "-c", sender], stdin=json.dumps([m.hex() for m in hostile]))
    wait_for(lambda: counters(lab.a)["drop_bad_message"] >= before["drop_bad_message"] + 480,
             "strangers' datagrams are counted")
    after = counters(lab.a)
    assert after["drop_replayed"] - before["drop_replayed"] == len(data)
    assert after["drop_bad_tag"] - before["drop_bad_tag"] == 2 * len(data)
    assert after["drop_unknown_index"] - before["drop_unknown_index"] >= len(data)
    # The peer's endpoint did not change.
    assert left.show("endpoints").split()[1] == f"172.18.0.2:{PORT}"
    assert ping(lab.pod_a, "10.0.2.2") == 3


def test_sources_that_are_not_allowed(both, lab):
    left, right = both
    lab.b.run("ip addr add 10.66.0.1/32 dev lo")
    lab.a.run("ip route add 10.66.0.0/16 dev wg0")
    before = counters(lab.a)["drop_source"]
    lab.b.run("ping -n -I 10.66.0.1 -c 2 -W 1 -w 2 -i 0.2 10.0.1.2", check=False)
    assert counters(lab.a)["drop_source"] >= before + 2


def test_idle_costs_nothing(both, lab):
    left, _ = both
    pid = left.pid()

    def ticks():
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    time.sleep(0.5)
    before = ticks()
    time.sleep(3)
    assert ticks() - before <= 3  # of 300: one of a hundred


def test_memory(lab):
    device = Device(lab.a, COMMAND, arguments=["--workers", "2"])
    for i in range(10):
        device.set("peer", lab.a.run("wg genkey | wg pubkey").strip(), "allowed-ips",
                   f"10.8.{i}.0/24")
    assert resident(device.pid()) < 64 * 1024


def test_wg_is_answered_during_a_flood_of_initiations(both, lab):
    left, _ = both
    flood = lab.b.start(["python3", "-c", """
import os, socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
end = time.monotonic() + 3
while time.monotonic() < end:
    s.sendto(bytes([1, 0, 0, 0]) + os.urandom(144), ('172.18.0.1', 51820))
"""])
    while flood.poll() is None:
        assert "latest handshake" in lab.a.run("wg show wg0")
    assert ping(lab.pod_a, "10.0.2.2") == 3


def test_a_kernel_without_btf(lab):
    out = lab.a.run("mount -t tmpfs tmpfs /sys/kernel/btf && exec " + PODVEIL + " device wg0",
                    check=False)
    assert out.returncode == 1
    assert "CONFIG_DEBUG_INFO_BTF" in out.stderr
    assert "wg0" not in lab.a.run("ip -br link")


# Runs a command for which sockets of one address family are refused, as by a kernel that was built without it.
WITHOUT_FAMILY = """
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
load, jeq, ret = 0x20, 0x15, 0x06
code = [(load, 0, 0, 0), (jeq, 0, 3, int(sys.argv[2])), (load, 0, 0, 16), (jeq, 0, 1, int(sys.argv[1])),
        (ret, 0, 0, 0x00050000 | 97), (ret, 0, 0, 0x7fff0000)]
program = b''.join(struct.pack('HBBI', *line) for line in code)
buffer = ctypes.create_string_buffer(program)
class Fprog(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.c_void_p)]
fprog = Fprog(len(code), ctypes.addressof(buffer))
assert not libc.prctl(38, 1, 0, 0, 0) and not libc.prctl(22, 2, ctypes.byref(fprog), 0, 0)
os.execv(sys.argv[3], sys.argv[3:])
"""
AF_XDP = 44
SYS_SOCKET = 41 if os.uname().machine == "x86_64" else 198


def test_a_kernel_without_af_xdp(lab):
    out = lab.a.run(["python3", "-c", WITHOUT_FAMILY, str(AF_XDP), str(SYS_SOCKET), PODVEIL,
                     "device", "wg0"], check=False)
    assert out.returncode == 1
    assert "CONFIG_XDP_SOCKETS" in out.stderr
    assert "wg0" not in lab.a.run("ip -br link")


def test_without_bpffs_nothing_is_pinned_and_it_says_so(lab):
    """Without a bpffs and the right to mount one, a device starts, pins nothing, and says so."""
    lab.a.run("umount /sys/fs/bpf")
    out = lab.a.run(["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", PODVEIL,
                     "device", "wg0"], check=False)
    assert out.returncode == 0, out.stderr
    assert "maps are not pinned" in out.stderr
    assert "counters" in lab.a.run("bpftool map show")
    assert "wg0" in lab.a.run("wg show interfaces")


def test_bpffs_is_mounted_where_it_is_missing(lab):
    lab.a.run("umount /sys/fs/bpf")
    Device(lab.a, COMMAND)
    assert "allowed_ips4" in lab.a.run("ls /sys/fs/bpf/podveil/wg0")


def test_installed(lab, tmp_path):
    """make install installs one program that works by itself, and a unit that systemd accepts."""
    import lab as here
    subprocess.run(["make", "-s", "install", f"PREFIX={tmp_path}/usr/local"], cwd=here.ROOT, check=True,
                   stdin=subprocess.DEVNULL)
    installed = str(tmp_path / "usr/local/sbin/podveil")
    assert "device" in subprocess.run([installed, "--help"], capture_output=True, text=True).stdout
    Device(lab.a, [installed, "device"])
    # systemd accepts the unit.
    unit = str(tmp_path / "usr/local/lib/systemd/system/podveil.service")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "wg0" in lab.a.run("wg show interfaces")


def test_pods_with_tunnels_of_their_own(lab, both):
    """A pod's own VXLAN works: the kernel leaves the checksums of the inner packets to the device."""
    for more in ("noudpcsum", "udpcsum"):
        for pod, i, other in ((lab.pod_a, 1, 2), (lab.pod_b, 2, 1)):
            pod.run(f"ip link add inside type vxlan id 7 dstport 4799 local 10.0.{i}.2 remote 10.0.{other}.2 {more} && "
                    f"ip link set inside mtu 1300 up && ip addr add 192.168.9.{i}/24 dev inside")
        assert ping(lab.pod_a, "192.168.9.2") == 3
        transfer(lab.pod_a, lab.pod_b, "192.168.9.2", 3)
        transfer(lab.pod_b, lab.pod_a, "192.168.9.1", 3)
        for pod in (lab.pod_a, lab.pod_b):
            pod.run("ip link del inside")
