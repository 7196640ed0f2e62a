# SPDX-License-Identifier: Apache-2.0
"""After a kill and an immediate start, the programs are still attached, and nothing leaves in plain.
tests/bench/bench_restart.py measures how soon traffic continues."""
import json

from agents import enable, judge
from lab import PODVEIL, Capture, Device, implementation, wait_for
from traffic import ping
from workload import Steady

TOOK_OVER = "took over the programs of an earlier process"
NOT_OURS = "a pinned object is not the one that an earlier process recorded"


def programs(node, *pins):
    """The kernel's ids of the programs at these pins."""
    return [json.loads(node.run(f"bpftool -j prog show pinned /sys/fs/bpf/podveil/{pin}"))["id"] for pin in pins]


def replace_settings(node, device):
    """Replaces our pinned map by a foreign one of the same shape; returns the id of ours."""
    pin = f"/sys/fs/bpf/podveil/{device}/settings"
    was = json.loads(node.run(f"bpftool -j map show pinned {pin}"))
    node.run(f"rm {pin} && bpftool map create {pin} type array key {was['bytes_key']} value {was['bytes_value']} "
             f"entries {was['max_entries']} name settings")
    return was["id"]


def test_a_killed_agent_in_strict_mode_goes_on_with_its_programs(cluster):
    c, node = cluster, cluster.nodes[1]
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
    enable(c)
    pins = ("guard/guard", "guard/shield", "wireguard.cali/classify", "wireguard.cali/steer")
    before = programs(node, *pins)
    capture = Capture(node, "eth0")
    steady = Steady(c.client, c.server.address, rate=200)
    for _ in range(3):
        node.agent.kill()
        c.start_agent(node)
        wait_for(c.encrypted, "encrypting again after kill -9")
        assert node.agent.log().count(TOOK_OVER) == 2, node.agent.log()
    assert programs(node, *pins) == before
    # The agent does not use a foreign map, and reports it.
    node.agent.kill()
    replace_settings(node, "wireguard.cali")
    c.start_agent(node)
    wait_for(c.encrypted, "encrypting again after a pin was replaced")
    assert NOT_OURS in node.agent.log() and "/wireguard.cali/settings" in node.agent.log()
    now = programs(node, *pins)
    assert now[:2] == before[:2] and now[2] != before[2] and now[3] != before[3]
    outcome = steady.stop()
    leaked, ports = judge(capture)
    assert not leaked and 51820 in ports
    assert outcome["failed"] == 0, outcome
    node.agent.kill()
    node.run([PODVEIL, "agent", "--cleanup"])
    assert node.run("find /sys/fs/bpf/podveil 2>/dev/null || true") == ""


def test_a_killed_device_goes_on_with_its_programs(lab):
    left = Device(lab.a, implementation("podveil"))
    lab.connect(left, Device(lab.b, implementation("podveil")))
    assert ping(lab.pod_a, "10.0.2.2") == 3
    lab.a.run("wg showconf wg0 >/run/wg0.conf")
    capture = Capture(lab.b, "eth0")
    before = programs(lab.a, "wg0/classify", "wg0/steer")
    for _ in range(4):  # each time it waits until the kernel has given back the queues
        lab.a.run(["kill", "-9", str(left.pid())])
        # The old process holds the lock until it has ended.
        wait_for(lambda: lab.a.run([PODVEIL, "device", "wg0"], check=False).returncode == 0, "the device starts again")
        lab.a.run("wg setconf wg0 /run/wg0.conf")
        wait_for(lambda: ping(lab.pod_a, "10.0.2.2", count=1, deadline=1), "packets arrive again")
    assert programs(lab.a, "wg0/classify", "wg0/steer") == before
    capture.stop()
    packets = capture.packets()
    from scapy.layers.inet import IP, UDP
    assert any(p.haslayer(UDP) and p[UDP].dport == 51820 for p in packets)
    assert not [p for p in packets if p.haslayer(IP) and p[IP].src.startswith("10.0.")]
    lab.a.run(["kill", str(left.pid())])
    wait_for(lambda: not lab.a.run("ls /sys/fs/bpf/podveil 2>/dev/null || true"), "nothing stays of a device that ends")
