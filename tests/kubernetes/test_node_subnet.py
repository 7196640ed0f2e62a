# SPDX-License-Identifier: Apache-2.0
"""Pods with addresses of the nodes' subnet, as the CNIs of clouds give them: no podCIDRs, no IPAM blocks, only the pods' own
addresses (WorkloadIPs), in strict mode for the whole subnet. Captures on all nodes judge."""
import os
import sys

import pytest

from cluster_api import MANIFESTS, KubernetesCluster
from hosts import ROOT, Capture, wait_for
from test_route_sources import PODS, all_have, gone, running, source

sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from traffic import Requests, ping  # noqa: E402

SUBNET = "172.18.0.0/16"
# What a capture keeps: packets from or to a pod's address, as they are or in VXLAN.
READABLE = "udp port 4789 or " + " or ".join(f"net 172.18.{n}.0/24" for n in (10, 11, 12, 77))
MADE = 40  # pods that come and go

# Sends a datagram to each of these addresses again and again, until the input ends.
SPRAY = """
import select, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
print("sending", flush=True)
while not select.select([sys.stdin], [], [], 0.05)[0]:
    for a in sys.argv[1:]:
        try: s.sendto(b"secret", (a, 7777))
        except OSError: pass
"""


class Subnet(KubernetesCluster):
    def register(self, node):
        return self.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name},
            "status": {"addresses": [{"type": "InternalIP", "address": node.address}]}})

    def pod(self, node, name):
        pod = super().pod(node, name)
        pod.address = f"172.18.{10 + node.index}.{len(node.pods)}"
        self.give(node, pod, pod.address)
        return pod

    @staticmethod
    def device(node, pod):
        return f"cali{node.index}n{2 + node.pods.index(pod)}"

    def give(self, node, pod, address):
        """Gives the pod an address. The node answers for it on the subnet, as a cloud's network would."""
        pod.run(f"ip addr add {address}/32 dev eth0; ip route replace default via 169.254.1.1 src {pod.address}")
        node.run(f"ip route add {address} dev {self.device(node, pod)}; ip neigh add proxy {address} dev eth0; "
                 "sysctl -qw net.ipv4.neigh.eth0.proxy_delay=0")

    def take(self, node, pod, address):
        node.run(f"ip neigh del proxy {address} dev eth0; ip route del {address}")
        pod.run(f"ip addr del {address}/32 dev eth0")


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    with Subnet(tmp_path_factory.mktemp("subnet")) as made:
        made.control.apply_kustomization(os.path.join(MANIFESTS, "workload-ips"))
        for node in made.nodes:
            for k in range(2):
                pod = made.pod(node, f"pod-{node.index}-{k}")
                running(made, pod.name, node, pod.address)
        made.start_agents()
        yield made


def readable(captures):
    """The captured packets with an address of a pod in them; ARP is none."""
    found = []
    for capture in captures:
        capture.stop()
        found += capture.packets().filter(lambda p: p.haslayer("IP"))
    return found


def pairs(c):
    return [(a, b) for n in c.nodes for a in n.pods for m in c.nodes for b in m.pods if n is not m]


def test_pods_of_the_nodes_subnet_in_strict_mode(kubernetes):
    c = kubernetes
    one, two = c.nodes[1], c.nodes[2]
    assert source(one) == ("WorkloadIPs", "auto: no IPAM blocks, no CiliumNodes with ranges, no Node has podCIDRs")
    captures = [Capture(n, "eth0", READABLE) for n in c.nodes]
    assert all(ping(a, b.address, 1) == 1 for a, b in pairs(c)[:4])
    assert readable(captures), "without encryption the captures see it"
    c.set(wireguardEnabled=True)
    c.wait_encrypted()
    wait_for(all_have(c, lambda n: [f"{p.address}/32" for p in n.pods]), "all pods are known")
    # The API server is in the subnet, too. It is no node.
    c.set(podveilStrictMode=True, podveilStrictCIDRs=[SUBNET])
    wait_for(lambda: all(f"unreachable {SUBNET}" in n.run("ip route show table 20566", check=False).stdout for n in c.nodes),
             "strict")
    assert "throw 172.18.0.1" in one.run("ip route show table 20566")
    captures = [Capture(n, "eth0", READABLE) for n in c.nodes]
    assert all(ping(a, b.address, 1) == 1 for a, b in pairs(c))
    # Nodes reach each other, and their own pods. What nobody has is reached by nobody.
    assert ping(one, two.address) == ping(one, one.pods[0].address) == ping(one.pods[0], one.pods[1].address) == 3
    assert ping(one, "172.18.77.7", deadline=2) == ping(one.pods[0], "172.18.77.7", deadline=2) == 0
    # Pods come and go, two at a time on two nodes, and are sent to and send before, while and after they are known.
    live = [Requests(one.pods[0], two.pods[0], two.pods[0].address, "udp"),
            Requests(two.pods[0], one.pods[0], one.pods[0].address, "tcp")]
    addresses = [f"172.18.{10 + n.index}.{100 + k}" for k in range(MADE // 2) for n in (one, two)]
    spray = c.nodes[0].pods[0].start(["python3", "-c", SPRAY, *addresses], stdin=-1)
    assert spray.stdout.readline() == "sending\n"
    for k in range(0, MADE, 2):
        for node, address in zip((one, two), addresses[k:k + 2]):
            c.give(node, node.pods[1], address)
            running(c, f"made-{address.replace('.', '-')}", node, address)
            node.pods[1].run(["ping", "-c1", "-W1", "-I", address, c.nodes[0].pods[1].address], check=False)
        if k >= 6:
            for node, address in zip((one, two), addresses[k - 6:k - 4]):
                gone(c, f"made-{address.replace('.', '-')}")
                c.take(node, node.pods[1], address)
    key = two.run("wg show wireguard.cali public-key").strip()
    wait_for(lambda: addresses[-1] in c.nodes[0].run(f"wg show wireguard.cali allowed-ips | grep {key}"), "the last is known")
    assert ping(c.nodes[0].pods[0], addresses[-1]) == 3
    spray.communicate("\n", timeout=30)
    results = [r.stop() for r in live]
    assert not readable(captures)
    for r in results:
        assert r["sent"] > 100 and r["lost"] == 0 and not r["broken"], r
    assert len(c.control.get(PODS)["items"]) < MADE
