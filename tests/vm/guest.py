#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs in the emulated machine: Podveil with that kernel's own WireGuard, in both roles and with both IP versions; then two
agents."""
import base64
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from hostile import Flood  # noqa: E402
from lab import PODVEIL, PORT, Capture, Device, Lab, implementation, wait_for  # noqa: E402
from agents import record, write_record  # noqa: E402
from cluster import Cluster, inner_layers  # noqa: E402
from traffic import counters, echo, ping, transfer  # noqa: E402

KERNEL = ["sh", "-c", 'ip link add "$1" type wireguard', "sh"]


def release():
    return tuple(int(n) for n in os.uname().release.split("-")[0].split("+")[0].split(".")[:2])


def check(what, true):
    print(f"{'ok' if true else 'NOT OK'}: {what}", flush=True)
    if not true:
        raise SystemExit(1)


def pair(arguments, initiator, psk=False):
    with Lab() as lab:
        left = Device(lab.a, implementation("podveil"), arguments=arguments)
        right = Device(lab.b, KERNEL)
        lab.connect(left, right, preshared=lab.a.run("wg genpsk").strip() if psk else None)
        if initiator:
            check("ping, Podveil initiates", ping(lab.pod_a, "10.0.2.2", deadline=20) == 3)
        else:
            check("ping, the kernel initiates", ping(lab.pod_b, "10.0.1.2", deadline=20) == 3)
        check("handshake is known to both", left.handshake(right) and right.handshake(left))
        loaded = lab.a.run("bpftool -j prog show")
        whole = "--per-packet" in arguments or release() < (6, 9)
        check(f"mode is {'per-packet' if whole else 'superpackets'}",
              ('"classify_whole"' in loaded) == whole)
        for there, back in (("10.0.2.2", "10.0.1.2"), ("fd00:2::2", "fd00:1::2")):
            transfer(lab.pod_a, lab.pod_b, there, 4)
            transfer(lab.pod_b, lab.pod_a, back, 4)
            echo(lab.pod_a, lab.pod_b, there, [0, 1, 100, 1392, 4000])
        check("TCP and UDP both ways, IPv4 and IPv6", True)
        total = counters(lab.a)
        if "xdp" in arguments:
            check("frames went through AF_XDP both ways",
                  total["wire_frames_sent"] > 1000 and total["wire_frames_received"] > 1000)
        check("nothing was dropped as damaged", not any(
            total[r] for r in ("drop_bad_tag", "drop_bad_inner", "drop_malformed", "drop_source")))


def kernel_anew(lab, old):
    """Makes the kernel's device anew, as after a restart of its machine: it keeps its key and nothing else."""
    lab.b.run("ip link delete wg0")
    return Device(lab.b, KERNEL, private=old.private)


def flooded(lab, target, anew, pod, address):
    """Under a flood, the end that starts anew needs the other end's cookie, because the flood has the same source address."""
    source, i = (lab.b, 1) if target.node is lab.a else (lab.a, 2)
    with Flood(source, (f"172.18.0.{i}", PORT), base64.b64decode(target.public)) as flood:
        wait_for(lambda: 3 in flood.answers, "it is under load", 60)
        fresh = anew()
        lab.connect_one(fresh, target)
        wait_for(lambda: ping(pod, address, deadline=10) == 3, "a session in the flood", 120)
    return fresh


def disturbed():
    with Lab() as lab:
        left, right = Device(lab.a, implementation("podveil")), Device(lab.b, KERNEL)
        lab.connect(left, right)
        check("ping", ping(lab.pod_a, "10.0.2.2", deadline=20) == 3)
        right = kernel_anew(lab, right)
        lab.connect_one(right, left)
        check("ping, the kernel's device made anew", ping(lab.pod_b, "10.0.1.2", deadline=20) == 3)
        left = left.start_anew()
        lab.connect_one(left, right)
        check("ping, Podveil killed and started", ping(lab.pod_a, "10.0.2.2", deadline=20) == 3)
        right = flooded(lab, left, lambda: kernel_anew(lab, right), lab.pod_b, "10.0.1.2")
        check("the kernel takes our cookie", ping(lab.pod_a, "10.0.2.2", deadline=20) == 3)
        flooded(lab, right, left.start_anew, lab.pod_a, "10.0.2.2")
        check("we take the kernel's cookie", ping(lab.pod_b, "10.0.1.2", deadline=20) == 3)


def renewals():
    """Rekeying under traffic, once with each end as the initiator. It takes more than two minutes, so run it by hand."""
    from test_sessions import REKEY_AFTER, rekeys
    for initiator in ("podveil", "kernel"):
        with Lab() as lab:
            left, right = Device(lab.a, implementation("podveil")), Device(lab.b, KERNEL)
            lab.connect(left, right)
            check("ping", (ping(lab.pod_a, "10.0.2.2", deadline=20) if initiator == "podveil" else
                           ping(lab.pod_b, "10.0.1.2", deadline=20)) == 3)
            result, handshakes, ours = rekeys(lab, ("podveil", "kernel"), REKEY_AFTER + 10)
            check(f"{initiator} initiates: {handshakes} initiations, {result['lost']} of {result['sent']} lost, ours {ours}",
                  handshakes and not ours and not result["lost"])


# Sends a packet of a pod to a pod on another node in plain, without the kernel's routing.
LEAK = """
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); s.bind(("eth0", 0))
ip = bytes.fromhex("450000140001000040110000") + socket.inet_aton("10.244.0.2") + socket.inet_aton("10.244.1.2")
try: s.send(bytes.fromhex("020000000001020000000002" "0800") + ip)
except OSError: pass
"""


def strict(node):
    """The guard attaches with the means of this kernel, and drops packets."""
    def guard():
        return node.agent.status()["guard"]
    wait_for(lambda: {"eth0", "vxlan.calico"} <= {d["device"] for d in guard()["devices"] if d["stands"]},
             "the guard is active", 60)
    check("TCX from Linux 6.6 on", guard()["method"] == ("tcx" if release() >= (6, 6) else "clsact"))
    before = guard()["dropLeak"]
    node.run(["python3", "-c", LEAK])
    wait_for(lambda: guard()["dropLeak"] == before + 1, "the leak is dropped", 20)
    if release() < (6, 6):
        node.run("tc qdisc del dev eth0 clsact")
        wait_for(lambda: "guard" in node.run("tc filter show dev eth0 egress"), "it comes back", 20)
    check("strict mode", True)


def first_line(c, left, right):
    """Strict mode's routes and nftables rules work on this kernel."""
    node = c.nodes[0]
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])
    wait_for(lambda: (status := node.agent.status()) and status["firstLine"]["routing"]
             and status["firstLine"]["nftables"], "the first line is active", 60)
    check("what nobody published is unreachable",
          "Unreachable" in left.run("ping -n -c 1 -W 2 10.244.77.7", check=False).stdout)
    node.run(f"ping -n -c 1 -W 1 -I eth0 {right.address}", check=False)
    check("who names a device is dropped by nftables", node.agent.status()["firstLine"]["dropOutward"] > 0)
    check("ping in strict mode", ping(left, right.address, deadline=20) == 3)


def agents():
    """Two agents with a pod each: the kernel has what the programs on tunnel and uplink need."""
    with Cluster(2) as c:
        left, right = c.pod(c.nodes[0], "left"), c.pod(c.nodes[1], "right")
        c.configure(wireguardEnabled=True)
        for node in c.nodes:
            c.start_agent(node, ready=False)
        wait_for(c.encrypted, "both nodes encrypt", 60)
        check("ping between pods", ping(left, right.address, deadline=20) == 3)
        transfer(left, right, right.address, 4)
        transfer(right, left, left.address, 4)
        echo(left, right, right.address, [0, 1, 100, 1392])
        first_line(c, left, right)
        strict(c.nodes[0])


def plain(capture, pod):
    """The readable packets that this pod has sent."""
    return [p for p in capture if p.haslayer("IP") and any(
        layer.src == pod.address for layer in inner_layers(p))]


def felix_device(c, node, peer):
    """Makes a WireGuard device with rule and routes as Felix of Calico 3.28 does (its mark is not ours); returns its public
    key."""
    node.run("ip link add wireguard.cali type wireguard && wg genkey > /run/felix.key && wg set wireguard.cali "
             "private-key /run/felix.key listen-port 51820 fwmark 0x100000 && ip addr add "
             f"10.244.{node.index}.0/32 dev wireguard.cali && ip link set wireguard.cali mtu 1440 up && "
             "ip rule add priority 99 not fwmark 0x100000/0x100000 lookup 1 && "
             f"ip route add {peer.pods4} dev wireguard.cali scope link table 1 && "
             f"ip route add throw {node.pods4} table 1")
    return node.run("wg show wireguard.cali public-key").strip()


class Migration:
    """Two nodes, each with a pod. `ours` runs an agent; `node` has Felix's WireGuard device, and an agent beside it."""

    def __init__(self, c):
        self.c, (self.ours, self.node) = c, c.nodes
        self.left, self.right = c.pod(self.ours, "left"), c.pod(self.node, "right")
        os.makedirs(os.path.join(c.store, "nodes"))
        c.configure(wireguardEnabled=True)
        self.agent(self.ours)

    def felix(self):
        """Felix encrypts on `node`, and says so in the store."""
        c, ours, node = self.c, self.ours, self.node
        self.key = felix_device(c, node, ours)
        write_record(c, {"name": node.name, "ipv4": node.address, "podCIDRs": [node.pods4], "wireguardPublicKey": self.key})
        mine = wait_for(lambda: ours.run("wg show wireguard.cali public-key", check=False).stdout.strip(), "its device", 60)
        node.run(f"wg set wireguard.cali peer {mine} endpoint {ours.address}:51820 allowed-ips {ours.pods4}")
        wait_for(lambda: "10.244.1.0/26 dev wireguard.cali" in ours.run("ip route show table 1"), "a session", 60)

    def agent(self, node=None):
        node = node or self.node
        self.c.start_agent(node, ready=False)
        wait_for(lambda: (status := node.agent.status()) and status["store"]["synced"], "it has read the store", 60)

    def lets_go(self):
        """As Felix does when its WireGuard is switched off: it removes the key and leaves the rest. Traffic goes on meanwhile."""
        self.captures = [Capture(n, "eth0", "not udp port 51820") for n in self.c.nodes]
        self.steady = self.right.start(["ping", "-n", "-q", "-i", "0.05", self.left.address])
        document = record(self.c, self.node)
        write_record(self.c, {k: v for k, v in document.items() if k != "wireguardPublicKey"})

    def taken_over(self):
        """Waits until the agent has taken over, and checks what is then there."""
        node = self.node
        wait_for(lambda: self.c.encrypted() and "veth" in node.run("ip -d link show wireguard.cali", check=False).stdout,
                 "both nodes encrypt", 25)
        check("the key is the same", record(self.c, node)["wireguardPublicKey"] == self.key ==
              node.run("wg show wireguard.cali public-key").strip())
        check("the rule is ours", node.run("ip rule").count("fwmark") == 1 and "proto 92" in node.run("ip rule"))
        check("Felix's device is gone, and ours has its name", "wireguard" not in node.run("ip -br link show type wireguard")
              and "pv4.next" not in node.run("ip -br link"))
        check("packets are encrypted", ping(self.left, self.right.address, deadline=20) == 3)
        self.steady.terminate()
        self.steady.wait(timeout=60)
        for capture in self.captures:
            capture.stop()
        check("nothing of this node's was in plain", not [
            p for capture in self.captures for p in plain(capture.packets(), self.right)])


def beside_felix(m):
    """An agent beside Felix's WireGuard changes nothing, whether encryption is on or off."""
    node = m.node
    state = "ip rule; ip route show table all; ip -d link show wireguard.cali; wg showconf wireguard.cali"
    before = node.run(state)
    for enabled in (False, True):
        m.c.configure(node=node.name, wireguardEnabled=enabled)
        m.agent()
        if enabled:
            wait_for(lambda: node.agent.status()["tunnels"][0]["problem"], "status names the owner of the device", 60)
            check("Felix is named, with the command that helps",
                  "kubectl -n kube-system patch daemonset" in node.agent.status()["tunnels"][0]["problem"])
        check(f"Felix's WireGuard stays, encryption {enabled}", node.run(state) == before and
              record(m.c, node)["wireguardPublicKey"] == m.key and ping(m.left, m.right.address, deadline=20) == 3)
        if not enabled:
            node.agent.stop()
            check("and when the agent ends", node.run(state) == before)
            node.run([PODVEIL, "agent", "--cleanup"])
            check("and at --cleanup", node.run(state) == before)


# The steps of a takeover. When this shell condition is true, the step is done.
STEPS = {
    "our device is made": "[ -e /sys/class/net/pv4.next ]",
    "the rule is ours": "ip rule | grep -q 'proto 92'",
    "Felix's device is gone": "! ip -d link show wireguard.cali | grep -q 'wireguard numtx'",
}


def killed(m, step):
    """The agent is killed after a step of the takeover. The next one goes on, and nothing leaves in plain meanwhile."""
    node = m.node
    killer = node.start(["sh", "-c", f"until {STEPS[step]} 2>/dev/null; do :; done; kill -9 {node.agent.process.pid}"])
    m.lets_go()
    killer.wait(timeout=120)
    node.agent.process.wait(timeout=60)
    print(f"killed: {step}", flush=True)
    if step == "our device is made":
        check("Felix's device works until ours does", "wireguard" in node.run("ip -br link show type wireguard")
              and ping(m.left, m.right.address, deadline=20) == 3)
    m.agent()
    m.taken_over()


def felix():
    """Beside Felix's WireGuard, an agent does nothing. When Felix stops encrypting, the agent takes over from it."""
    with Cluster(2) as c:
        m = Migration(c)
        m.felix()
        beside_felix(m)
        m.lets_go()
        m.taken_over()
        for step in STEPS:
            m.node.agent.stop()
            m.node.run([PODVEIL, "agent", "--cleanup"])
            m.felix()
            m.agent()
            killed(m, step)
        print("each takeover was completed", flush=True)


def main():
    if sys.argv[1:] in (["disturbed"], ["renewals"]):
        subprocess.run(["modprobe", "-a", "wireguard", "veth", "cls_bpf", "sch_ingress"], check=True)
        disturbed() if sys.argv[1] == "disturbed" else renewals()
        return 0
    if sys.argv[1:] == ["felix"]:
        subprocess.run(["modprobe", "-a", "wireguard", "veth", "cls_bpf", "sch_ingress"], check=True)
        felix()
        return 0
    subprocess.run(["modprobe", "-a", "wireguard", "veth", "cls_bpf", "sch_ingress", "tun"], check=True)
    print(f"Linux {os.uname().release}", flush=True)
    pair([], True)
    pair([], False, psk=True)
    pair(["--wire", "xdp"], True)
    disturbed()
    if release() >= (6, 9):
        pair(["--per-packet"], True)
    agents()
    for program in ("test_guard", "test_hook"):
        done = subprocess.run([os.path.join(ROOT, "build/tests/bpf", program)], capture_output=True, text=True)
        check(f"{program} {done.stdout[-2000:] + done.stderr[-2000:] if done.returncode else ''}", done.returncode == 0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
