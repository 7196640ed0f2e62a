# SPDX-License-Identifier: Apache-2.0
"""Wire mode xdp: messages use AF_XDP on the uplink, or through sockets if AF_XDP is not possible.

Captures are taken at the switch, because on the nodes they do not see what goes through AF_XDP.
"""
import os
import re
import signal

import pytest

from cluster import Cluster, leaks
from lab import PORT, Capture, Device, Lab, implementation, wait_for
from traffic import Requests, counters, echo, ping, transfer
import workload
from workload import Steady

COMMAND = implementation("podveil")
XDP = ["--wire", "xdp"]


@pytest.fixture
def lab():
    with Lab(switch=True) as made:
        yield made


def mode(node):
    """How an XDP program is attached to eth0: "driver", "generic", or None."""
    for line in node.run("bpftool net show dev eth0").splitlines():
        if line.startswith("eth0("):
            return line.split()[1]
        if line.startswith("tc"):
            return None
    return None


def frames(node):
    """(sent, received) frames through AF_XDP on the uplink."""
    total = counters(node)
    return total["wire_frames_sent"], total["wire_frames_received"]


def both(lab, **options):
    left, right = (Device(node, COMMAND, arguments=XDP) for node in (lab.a, lab.b))
    lab.connect(left, right, **options)
    started(lab, lab.a, lab.b)
    return left, right


def started(lab, *nodes):
    """Returns when the nodes send and receive frames through AF_XDP."""
    for node in nodes:
        wait_for(lambda: mode(node), f"{node.name} has divert on its uplink")

    def flows():
        before = [frames(n) for n in nodes]
        assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
        return all(now[0] > was[0] and now[1] > was[1]
                   for now, was in zip([frames(n) for n in nodes], before))
    wait_for(flows, "frames flow both ways")


def nothing_was_lost(node, but=()):
    total = counters(node)
    for reason in ("drop_bad_tag", "drop_replayed", "drop_source", "drop_bad_inner", "drop_malformed",
                   "drop_bad_message", "drop_wire_error", "drop_wire_full"):
        assert total[reason] == 0 or reason in but, reason


@pytest.mark.parametrize("ipv6_uplink", [False, True], ids=["outer4", "outer6"])
def test_both_ends(ipv6_uplink):
    with Lab(switch=True, ipv6_uplink=ipv6_uplink) as lab:
        left, right = both(lab)
        assert mode(lab.a) == mode(lab.b) == "driver"
        for address_a, address_b in (("10.0.1.2", "10.0.2.2"), ("fd00:1::2", "fd00:2::2")):
            transfer(lab.pod_a, lab.pod_b, address_b, 32)
            transfer(lab.pod_b, lab.pod_a, address_a, 32)
            echo(lab.pod_a, lab.pod_b, address_b, [0, 1, 15, 16, 17, 100, 1391, 1392, 4000])
        for node in (lab.a, lab.b):
            sent, received = frames(node)
            assert sent > 20000 and received > 20000
            nothing_was_lost(node)

        # Both ends count the same bytes (a keepalive may be under way). Pings are few enough that no queue overflows; TCP
        # fills them on a busy machine.
        def counted():
            return left.transfer(right)[0], right.transfer(left)[1]
        received, sent = counted()
        assert ping(lab.pod_a, "10.0.2.2", count=20) == 20
        assert counted()[0] - received >= 20 * 128
        assert abs((counted()[0] - received) - (counted()[1] - sent)) <= 64


@pytest.mark.parametrize("left_is_ours,ipv6_uplink", [(True, False), (False, False), (True, True)],
                         ids=["initiator", "responder", "outer6"])
def test_with_others(peer, left_is_ours, ipv6_uplink):
    with Lab(switch=True, ipv6_uplink=ipv6_uplink) as lab:
        ours, others = (lab.a, lab.b) if left_is_ours else (lab.b, lab.a)
        made = {ours: Device(ours, COMMAND, arguments=XDP), others: Device(others, peer)}
        lab.connect(made[lab.a], made[lab.b])
        started(lab, ours)
        transfer(lab.pod_a, lab.pod_b, "10.0.2.2", 32)
        transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 32)
        echo(lab.pod_a, lab.pod_b, "10.0.2.2", [0, 1, 15, 16, 17, 100, 1391, 1392, 4000])
        sent, received = frames(ours)
        assert sent > 10000 and received > 10000
        nothing_was_lost(ours)


@pytest.mark.parametrize("ipv6_uplink", [False, True], ids=["outer4", "outer6"])
def test_frames_are_what_the_kernel_would_send(ipv6_uplink):
    with Lab(switch=True, ipv6_uplink=ipv6_uplink) as lab:
        both(lab)
        capture = Capture(lab.switch, "port-a", f"udp port {PORT}")
        lab.pod_a.run("ping -n -Q 1 -c 10 -i 0.02 -s 700 -p 5345435245543a 10.0.2.2")
        assert b"SECRET" not in capture.stop()
        from scapy.layers.inet import IP, UDP
        from scapy.layers.inet6 import IPv6
        from scapy.layers.l2 import Ether
        seen = [p for p in capture.packets() if bytes(p[UDP].payload)[0] == 4
                and (p.src == lab.a.run("cat /sys/class/net/eth0/address").strip())]
        assert len(seen) >= 5
        for p in seen:
            ip = p[IPv6 if ipv6_uplink else IP]
            assert {p[UDP].sport, p[UDP].dport} == {PORT} and p[UDP].chksum
            if ipv6_uplink:
                assert ip.hlim == 64 and ip.tc & 3 == 1
            else:
                assert ip.ttl == 64 and ip.tos & 3 == 1 and not ip.flags & 2
        # The checksums are those that scapy computes. (Those of the kernel's sockets are not finished here.)
        ours = [p for p in seen if p[UDP].chksum == Ether(rebuilt(p))[UDP].chksum]
        assert len(ours) >= 4


def rebuilt(packet):
    """A copy of the packet with new checksums."""
    from scapy.layers.inet import IP, UDP
    copy = packet.copy()
    if copy.haslayer(IP):
        del copy[IP].chksum
    del copy[UDP].chksum
    return bytes(copy)


def test_nothing_readable_on_the_wire(lab):
    both(lab)
    capture = Capture(lab.switch, "port-a")
    server = lab.pod_b.start(["python3", "-m", "http.server", "--bind", "10.0.2.2", "8000"])
    wait_for(lambda: "8000" in lab.pod_b.run("ss -ltn"), "the server listens")
    lab.pod_a.run(["python3", "-c", "import urllib.request as u\n"
                   "for i in range(50): u.urlopen(u.Request('http://10.0.2.2:8000/', "
                   "headers={'X': 'SECRET-MARKER-IN-PLAIN' * 20})).read()"])
    server.kill()
    captured = capture.stop()
    assert len(captured) > 20000
    assert b"SECRET-MARKER-IN-PLAIN" not in captured
    assert bytes([10, 0, 1, 2, 10, 0, 2, 2]) not in captured


def test_a_program_in_generic_mode():
    """A veth with fewer queues than its other end has no native XDP, so the program runs in generic mode. Superpackets of other
    traffic then reach the program whole, and the kernel cuts them."""
    with Lab(switch=True, queues=2) as lab:
        ours = Device(lab.a, COMMAND, arguments=XDP)
        lab.connect(ours, Device(lab.b, COMMAND, arguments=["--wire", "socket"]))
        started(lab, lab.a)
        assert mode(lab.a) == "generic"
        before = counters(lab.a)
        transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 32)
        transfer(lab.pod_a, lab.pod_b, "10.0.2.2", 32)
        after = counters(lab.a)
        nothing_was_lost(lab.a)
        messages = after["wire_messages_received"] - before["wire_messages_received"]
        through = after["wire_frames_received"] - before["wire_frames_received"]
        assert messages > 20000 and through < messages / 2


@pytest.mark.parametrize("queues", [1, 2])
def test_two_workers(queues):
    """Two workers have a queue each; if there is only one queue, one worker has it and the other uses sockets."""
    with Lab(switch=True, queues=queues, uplink_queues=queues) as lab:
        devices = [Device(node, COMMAND, arguments=[*XDP, "--workers", "2"]) for node in (lab.a, lab.b)]
        lab.connect(*devices)
        wait_for(lambda: mode(lab.a) == mode(lab.b) == "driver", "divert is on both uplinks")
        wait_for(lambda: f"queues={queues}" in open(devices[0].log.name).read(), "so many queues")
        for port in (5201, 5202):
            lab.pod_b.start(f"iperf3 -s -p {port}")
            wait_for(lambda: str(port) in lab.pod_b.run("ss -ltn"), "iperf3 listens")
        both_ways = [lab.pod_a.start("iperf3 -c 10.0.2.2 -t 2 -P 4 -p 5201"),
                     lab.pod_a.start("iperf3 -c 10.0.2.2 -t 2 -P 4 -p 5202 -R")]
        for process in both_ways:
            out, _ = process.communicate(timeout=60)
            assert process.returncode == 0, out
        for node in (lab.a, lab.b):
            # A worker that is descheduled with a batch sends it after the other worker's messages. On a busy machine, it may
            # then be outside the replay window.
            nothing_was_lost(node, but=["drop_replayed"])
            assert min(frames(node)) > 1000


def test_roaming(lab):
    left, right = both(lab)
    lab.b.run("ip addr del 172.18.0.2/24 dev eth0 && ip addr add 172.18.0.77/24 dev eth0")
    right.set("listen-port", 40000)
    # Messages from the new address go through AF_XDP at once, and the device learns the endpoint from them.
    assert ping(lab.pod_b, "10.0.1.2", count=5) >= 4
    assert left.show("endpoints").split()[1] == "172.18.0.77:40000"
    started(lab, lab.a, lab.b)
    left.set("listen-port", 40001)
    assert ping(lab.pod_a, "10.0.2.2", count=5) >= 4
    assert right.show("endpoints").split()[1] == "172.18.0.1:40001"
    started(lab, lab.a, lab.b)


def test_uplink_down_and_up(lab):
    both(lab)
    pinging = lab.pod_a.start(["ping", "-n", "-q", "-i", "0.02", "-w", "4", "10.0.2.2"])
    for node in (lab.a, lab.b):
        lab.a.run("ip link set eth0 down && ip link set eth0 up")
        # An interface loses its IPv6 addresses when it goes down; this test does not need them.
    pinging.communicate(timeout=60)
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
    started(lab, lab.a, lab.b)


def test_uplink_changes(lab):
    """Frames follow changes of the uplink's MTU and MAC address."""
    left, right = both(lab)
    for mtu in (1300, 1500):
        for node in (lab.a, lab.b):
            node.run(f"ip link set eth0 mtu {mtu}")
        # The kernel fragments what does not fit.
        transfer(lab.pod_a, lab.pod_b, "10.0.2.2", 4)
        transfer(lab.pod_b, lab.pod_a, "10.0.1.2", 4)
        started(lab, lab.a, lab.b)
    lab.a.run("ip link set eth0 address 02:00:00:00:00:99")
    started(lab, lab.a, lab.b)
    # With an MTU above the size of a frame, sockets are used.
    lab.a.run("ip link set eth0 mtu 9000")
    wait_for(lambda: mode(lab.a) is None, "divert is gone")
    assert ping(lab.pod_a, "10.0.2.2") == 3
    # It may have stopped because of the MAC address first; then it says "above" at its next attempt.
    wait_for(lambda: "above" in left.log.read(), "the log names the obstacle", 15)
    lab.a.run("ip link set eth0 mtu 1500")
    started(lab, lab.a, lab.b)


def test_a_neighbour_that_is_not_known(lab):
    """If the neighbour is not known, sockets send, so that the kernel resolves it. A neighbour that has moved is followed."""
    both(lab)
    mac = lab.b.run("cat /sys/class/net/eth0/address").strip()
    assert mac in lab.a.run("ip neigh show 172.18.0.2")
    for _ in range(3):
        lab.a.run("ip neigh flush dev eth0")
        assert ping(lab.pod_a, "10.0.2.2") == 3
    started(lab, lab.a, lab.b)
    before = frames(lab.a)
    # No host has that address: pings get no answer, and nothing hangs.
    lab.a.run("ip neigh replace 172.18.0.2 lladdr 02:00:00:00:00:77 dev eth0 nud permanent")
    ping(lab.pod_a, "10.0.2.2", count=3, deadline=1)
    lab.a.run("ip neigh del 172.18.0.2 dev eth0")
    assert ping(lab.pod_a, "10.0.2.2", deadline=10) == 3
    started(lab, lab.a, lab.b)
    assert frames(lab.a)[0] > before[0]


def test_a_neighbour_that_moved_silently(lab):
    """A neighbour that moved without a word is found, although the kernel checks neighbours only for its own packets."""
    for node in (lab.a, lab.b):
        node.run("sysctl -qw net.ipv4.neigh.eth0.base_reachable_time_ms=4000 "
                 "net.ipv4.neigh.eth0.delay_first_probe_time=1")
    both(lab)
    mac = lab.a.run("cat /sys/class/net/eth0/address").strip()
    wait_for(lambda: "STALE" in lab.a.run("ip neigh show 172.18.0.2"), "the neighbour is stale")
    # The moved end has a permanent entry for us, so it sends no ARP request that would show its new address.
    lab.b.run(f"ip link set eth0 address 02:00:00:00:00:99 && "
              f"ip neigh replace 172.18.0.1 lladdr {mac} dev eth0 nud permanent")
    pinging = lab.pod_a.start(["ping", "-n", "-q", "-i", "0.05", "-w", "13", "10.0.2.2"])
    # This must happen before silence leads to a new handshake, which the kernel would send.
    wait_for(lambda: "02:00:00:00:00:99" in lab.a.run("ip neigh show 172.18.0.2"), "it is asked", 12)
    pinging.kill()
    started(lab, lab.a)


def test_a_route_elsewhere(lab):
    """Messages that do not leave by the uplink go through sockets."""
    both(lab)
    extra = lab.host("gateway")
    lab.wire(lab.a, "eth1", extra, "eth0", 1500)
    lab.wire(extra, "eth1", lab.b, "eth1", 1500)
    lab.a.run("ip addr add 172.19.1.1/24 dev eth1")
    lab.b.run("ip addr add 172.19.2.2/24 dev eth1")
    extra.run("sysctl -qw net.ipv4.ip_forward=1 && ip addr add 172.19.1.9/24 dev eth0 && "
              "ip addr add 172.19.2.9/24 dev eth1")
    lab.a.run("ip route add 172.18.0.2/32 via 172.19.1.9 src 172.19.1.1")
    lab.b.run("ip route add 172.19.1.0/24 via 172.19.2.9; "
              "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth1.rp_filter=0")
    extra.run("ip route add 172.18.0.2/32 via 172.19.2.2")

    def through_the_sockets():
        before = frames(lab.a)[0]
        assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
        return frames(lab.a)[0] == before
    wait_for(through_the_sockets, "the other direction")
    lab.a.run("ip route del 172.18.0.2/32")
    started(lab, lab.a)


def test_a_foreign_xdp_program(lab):
    """A foreign XDP program on the uplink stays: messages go through sockets, and that is reported. When it is removed, ours is
    attached."""
    with_foreign_program(lab.a)
    left = Device(lab.a, COMMAND, arguments=XDP)
    lab.connect(left, Device(lab.b, COMMAND, arguments=XDP))
    assert ping(lab.pod_a, "10.0.2.2") == 3
    wait_for(lambda: re.search(r"has an XDP program already: id \d+", open(left.log.name).read()), "the log says so")
    assert frames(lab.a) == (0, 0)
    assert "stranger" in lab.a.run("bpftool prog show")
    lab.a.run("ip link set dev eth0 xdp off")
    started(lab, lab.a, lab.b)


def with_foreign_program(node):
    node.run("""cat > /run/stranger.c <<'END'
#include <linux/bpf.h>
__attribute__((section("xdp"), used)) int stranger(struct xdp_md *ctx) { return XDP_PASS; }
END
clang -O2 -g -target bpf -I/usr/include/$(uname -m)-linux-gnu -c /run/stranger.c -o /run/stranger.o &&
bpftool prog load /run/stranger.o /sys/fs/bpf/stranger type xdp &&
bpftool net attach xdp pinned /sys/fs/bpf/stranger dev eth0""")


def test_nothing_is_left_on_the_uplink(lab):
    """After the device ends or is killed, the kernel gets its packets again."""
    left, right = both(lab)
    pid = right.pid()
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
    assert mode(lab.b) is None
    pid = left.pid()
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the process ends")
    wait_for(lambda: mode(lab.a) is None, "the program is removed with it")
    again = Device(lab.a, COMMAND, arguments=["--wire", "socket"])
    lab.connect(again, Device(lab.b, COMMAND, arguments=["--wire", "auto"]))
    assert ping(lab.pod_a, "10.0.2.2", deadline=15) == 3
    # veth has no zero-copy, so auto uses sockets.
    assert mode(lab.a) is None and mode(lab.b) is None


def test_one_queue_for_one_device(lab):
    """A second device on the same uplink uses sockets and says why."""
    both(lab)
    second = Device(lab.a, COMMAND, name="wg1", arguments=XDP)
    other = Device(lab.b, COMMAND, name="wg1", arguments=XDP)
    for mine, theirs, i in ((second, other, 2), (other, second, 1)):
        mine.set("listen-port", 51900, "peer", theirs.public, "endpoint", f"172.18.0.{i}:51900",
                 "allowed-ips", f"10.9.{i}.0/24")
        mine.node.run(f"ip addr add 10.9.{3 - i}.1/24 dev wg1 && ip link set wg1 up && "
                      f"ip route add 10.9.{i}.0/24 dev wg1")
    assert ping(lab.a, "10.9.2.1") == 3
    wait_for(lambda: "has an XDP program already" in open(second.log.name).read(), "the log says so")
    started(lab, lab.a, lab.b)


def test_invalid_options(lab):
    done = lab.a.run([*COMMAND, "wg0", "--wire", "pigeon"], check=False)
    assert done.returncode == 2 and "not auto, socket or xdp" in done.stderr
    device = Device(lab.a, COMMAND, arguments=[*XDP, "--uplink", "eth7"])
    lab.a.run("ip link set wg0 up")
    wait_for(lambda: "the uplink does not exist" in open(device.log.name).read(), "the log says so")


# --- the agent ---

@pytest.fixture
def cluster():
    """Two nodes that encrypt; the pod .client is on the first, .server on the second."""
    with Cluster(2) as c:
        c.client, c.server = c.pod(c.nodes[0], "frontend-client"), c.pod(c.nodes[1], "backend-api")
        workload.backend(c.server)
        for node in c.nodes:
            c.start_agent(node)
        c.podveil("enable")
        wait_for(c.encrypted, "all nodes encrypt")
        yield c


def wire(node, family=0):
    tunnel = node.agent.status()["tunnels"][family]
    return tunnel["wire"], tunnel["wireWhy"], tunnel["wireRefused"]


def test_the_setting_changes_under_traffic(cluster):
    c = cluster
    steady = Steady(c.client, c.server.address, rate=300)
    asking = Requests(c.client, c.server, c.server.address, interval=0.005, patience=30)
    capture = Capture(c.switch, "br0")
    for _ in range(3):
        for way in ("xdp", "socket"):
            c.configure(podveilWire=way)
            wait_for(lambda: {wire(n)[0] for n in c.nodes} == {way}, f"both have {way}")
            assert {bool(mode(n)) for n in c.nodes} == {way == "xdp"}
            steady.more(300)
    c.configure(podveilWire="xdp")
    wait_for(lambda: {wire(n)[0] for n in c.nodes} == {"xdp"}, "both have xdp")
    steady.more(300)
    asked = asking.stop()
    result = steady.stop()
    assert result["failed"] == 0, result
    assert asked["sent"] > 500 and not asked["lost"], asked
    capture.stop()
    assert not leaks(capture.packets())


def test_the_agent_reports_its_wire(cluster):
    c, node = cluster, cluster.nodes[0]
    assert wire(node)[0] == "socket"
    c.configure(podveilWire="auto")
    wait_for(lambda: wire(node) == ("socket", "auto: eth0 has no zero-copy AF_XDP", False), "auto")
    c.configure(podveilWire="xdp")
    wait_for(lambda: wire(node) == ("xdp", "eth0, the kernel copies", False), "xdp")
    assert node.agent.status()["wire"] == "xdp"
    assert ", xdp\n" in node.run([c_podveil(), "status"])
    assert "ok    wire             xdp: eth0, the kernel copies" in node.run(
        [c_podveil(), "doctor"], check=False).stdout
    assert ping(c.client, c.server.address, count=5) == 5
    metrics = node.run("curl -s localhost:9586/metrics")
    assert 'podveil_wire_info{iface="wireguard.cali",wire="xdp",why="eth0, the kernel copies"} 1' in metrics
    assert 'podveil_wire_refused{iface="wireguard.cali"} 0' in metrics
    # verify shows the wire mode, because it cannot see all of that traffic.
    done = node.run([c_podveil(), "verify", "--seconds", "1"], check=False)
    assert "wire: xdp" in done.stdout
    # If xdp is not possible, all reports say so, and traffic continues.
    c.configure(podveilWire="socket")
    wait_for(lambda: mode(node) is None, "divert is removed")
    with_foreign_program(node)
    c.configure(podveilWire="xdp")
    wait_for(lambda: wire(node)[2], "xdp is refused")
    assert wire(node)[:1] == ("socket",) and "already: id " in wire(node)[1]
    assert "messages use sockets, not xdp: eth0 has an XDP program already" in node.run(
        [c_podveil(), "status"])
    assert "note  wire             socket: eth0 has an XDP program" in node.run(
        [c_podveil(), "doctor"], check=False).stdout
    assert 'podveil_wire_refused{iface="wireguard.cali"} 1' in node.run("curl -s localhost:9586/metrics")
    assert ping(c.client, c.server.address, count=5) == 5


def c_podveil():
    return COMMAND[0]


def test_agents_end(cluster):
    """Agents in xdp mode may be killed with encryption in force, or end and remove everything."""
    c = cluster
    c.configure(podveilWire="xdp")
    wait_for(lambda: {wire(n)[0] for n in c.nodes} == {"xdp"}, "both have xdp")
    node = c.nodes[0]
    node.agent.kill()
    wait_for(lambda: mode(node) is None, "the program is removed when the agent ends")
    c.start_agent(node)
    wait_for(lambda: wire(node)[0] == "xdp", "the next one takes over")
    assert ping(c.client, c.server.address, count=5, deadline=15) == 5
    node.agent.stop()
    assert mode(node) is None
    node.run([c_podveil(), "agent", "--cleanup"])
    assert "wireguard.cali" not in node.run("ip -br link")


def test_both_tunnels_want_the_queue(cluster):
    c = cluster
    c.podveil("enable", "--ipv6")
    c.configure(podveilWire="xdp")
    wait_for(lambda: c.encrypted(family="ipv6"), "IPv6 encrypts, too")
    for node in c.nodes:
        wait_for(lambda: sorted(wire(node, i)[0] for i in (0, 1)) == ["socket", "xdp"], "one of them uses the queue")
    assert ping(c.client, c.server.address, count=5) == 5
    assert ping(c.client, c.server.address6, count=5) == 5
