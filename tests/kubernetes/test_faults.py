# SPDX-License-Identifier: Apache-2.0
"""The API server goes away, hangs, forgets, lies: what is known stays in force, and what changed meanwhile is
known soon after it is back."""
import time

import pytest

from cluster_api import KubernetesCluster
from hosts import wait_for
from proxy import FaultyProxy


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    with KubernetesCluster(tmp_path_factory.mktemp("faults"), nodes=2) as made:
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def mtu_is(node, mtu):
    return lambda: f"mtu {mtu} " in node.run("ip link show wireguard.cali")


def change(c, mtu):
    c.set(wireguardMTU=mtu)


def arrives(c, mtu, seconds=10):
    """The newest setting is in force, on all nodes."""
    for node in c.nodes:
        wait_for(mtu_is(node, mtu), f"{node.name} knows of MTU {mtu}", seconds)


class Traffic:
    """A ping every 20 ms from pod to pod, through whatever happens."""

    def __init__(self, c):
        if not any(n.pods for n in c.nodes):
            for node in c.nodes:
                c.pod(node, f"pod-{node.name}")
        self.process = c.nodes[0].pods[0].start(["ping", "-n", "-i", "0.02", c.nodes[1].pods[0].address])
        assert self.process.stdout.readline().startswith("PING")

    def lost(self):
        self.process.send_signal(2)
        out, _ = self.process.communicate(timeout=10)
        sent, received = (int(out.split(word)[0].split()[-1]) for word in (" packets transmitted", " received"))
        assert sent > 10, out
        return sent - received


def test_the_server_away(kubernetes):
    """Down for a while, with traffic; it comes back changed."""
    c = kubernetes
    traffic = Traffic(c)
    before = [n.agent.log().count("\n") for n in c.nodes]
    c.control.apiserver.kill()
    time.sleep(8)  # time is what this is about
    assert c.encrypted()
    c.control.apiserver.start()
    change(c, 1401)
    arrives(c, 1401)
    assert traffic.lost() <= 1  # the MTU's change may cost the one that was on its way
    # A line for each collection that is lost, one when it is back, no flood.
    for node, lines in zip(c.nodes, before):
        assert node.agent.log().count("\n") - lines < 20


def test_etcd_away(kubernetes):
    c = kubernetes
    c.control.etcd.kill()
    c.control.etcd.start()
    c.control.apiserver.wait_ready()
    change(c, 1402)
    arrives(c, 1402)


def test_the_server_hangs(kubernetes):
    """Its kernel acknowledges, but nobody answers: noticed within 35 s, said, and well again afterwards."""
    c = kubernetes
    lines = [n.agent.log() for n in c.nodes]
    c.control.apiserver.pause()
    try:
        for node, log in zip(c.nodes, lines):
            wait_for(lambda node=node, log=log: "cannot be read" in node.agent.log()[len(log):],
                     f"{node.name} notices", 40)
    finally:
        c.control.apiserver.resume()
    change(c, 1403)
    arrives(c, 1403, 15)
    assert c.encrypted()


def test_what_the_watch_was_at_is_forgotten(kubernetes):
    """Compaction makes a 410, and that a new list: what was deleted meanwhile is gone."""
    c = kubernetes
    extra = c.control.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {
        "name": "extra", "annotations": {"projectcalico.org/WireguardPublicKey": "A" * 42 + "E="}},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.77"}]}})
    assert extra
    peers = c.nodes[0]
    wait_for(lambda: "172.18.0.77" in peers.run("wg show wireguard.cali endpoints"), "extra is a peer")
    for node in c.nodes:
        node.agent.process.send_signal(19)  # SIGSTOP: they miss what happens now
    try:
        c.control.delete("/api/v1/nodes/extra")
        change(c, 1404)
        c.control.compact()
        c.control.apiserver.kill()
        c.control.apiserver.start()
    finally:
        for node in c.nodes:
            node.agent.process.send_signal(18)
    arrives(c, 1404, 30)
    wait_for(lambda: "172.18.0.77" not in peers.run("wg show wireguard.cali endpoints"), "extra is gone")


def test_a_rolled_certificate(kubernetes):
    c = kubernetes
    c.control.roll_certificate()
    c.control.apiserver.kill()
    c.control.apiserver.start()
    change(c, 1405)
    arrives(c, 1405)


def test_a_token_that_expires(kubernetes):
    """The kubelet replaces the file in time; also when it is late, the agent goes on where it was."""
    c = kubernetes
    node = c.nodes[0]
    node.agent.kill()
    kubeconfig = c.agent_kubeconfig(node, seconds=20)
    c.start_agent(node)
    c.wait_encrypted()
    wait_for(lambda: "must be logged in" in c.control.kubectl("get", "nodes", kubeconfig=kubeconfig,
                                                              check=False).stderr, "the token expires", 60)
    # What stands goes on; what is asked anew is refused.
    c.control.apiserver.kill()
    c.control.apiserver.start()
    wait_for(lambda: "Unauthorized" in node.agent.log(), "the agent is refused")
    assert c.encrypted()
    c.agent_kubeconfig(node)
    change(c, 1406)
    arrives(c, 1406, 15)


FAULTS = [("status", 429), ("status", 500), ("status", 403), ("garbage",), ("cut", 0), ("cut", 700), ("hang", 700),
          ("delay", 2)]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: "-".join(map(str, f)))
def test_between_agent_and_server(kubernetes, fault):
    """At the start, when everything has to be listed; and later, when watches stand."""
    c = kubernetes
    node = c.nodes[1]
    with FaultyProxy(c.control) as proxy:
        kubeconfig = proxy.kubeconfig(c.kubeconfigs[node.name])
        node.agent.kill()
        proxy.set(*fault)
        c.start_agent(node, kubeconfig=kubeconfig, ready=False)
        wait_for(lambda: len(proxy.requests) >= 3, "it asks for all that it needs")
        assert node.agent.process.poll() is None
        if fault[0] in ("status", "garbage"):
            wait_for(lambda: "cannot be read" in node.agent.log(), "it says that it cannot")
            asked = len(proxy.requests)
            time.sleep(2)
            assert len(proxy.requests) - asked < 40, "it waits between attempts"
        proxy.set(None)
        c.wait_encrypted(20)
        proxy.set(*fault)
        change(c, 1300 + FAULTS.index(fault))
        time.sleep(1)
        assert c.encrypted()
        proxy.set(None)
        arrives(c, 1300 + FAULTS.index(fault), 40)
        node.agent.kill()
    c.start_agent(node)
    c.wait_encrypted()


def test_watches_are_no_polling(kubernetes):
    c = kubernetes
    node = c.nodes[1]
    with FaultyProxy(c.control) as proxy:
        node.agent.kill()
        c.start_agent(node, kubeconfig=proxy.kubeconfig(c.kubeconfigs[node.name]))
        c.wait_encrypted()
        wait_for(lambda: sum("watch=true" in path for _, path in proxy.requests) == 2, "two watches stand")
        asked = len(proxy.requests)
        change(c, 1350)
        arrives(c, 1350)
        time.sleep(5)
        assert [r for r in proxy.requests[asked:] if r[0] == "GET" and r[1] != "/version"] == []
        node.agent.kill()
    c.start_agent(node)
    c.wait_encrypted()
