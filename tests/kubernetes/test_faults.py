# SPDX-License-Identifier: Apache-2.0
"""The API server is away, hangs, has lost data, or gives wrong answers. What agents know stays in force, and what changed
meanwhile is known soon after the server is back."""
import time

import pytest

from cluster import leaks
from cluster_api import KubernetesCluster
from control_plane import Refused
from hosts import Capture, wait_for
from proxy import FaultyProxy
from traffic import Requests


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
    """Waits until the newest setting is in force on all nodes."""
    for node in c.nodes:
        wait_for(mtu_is(node, mtu), f"{node.name} knows of MTU {mtu}", seconds)


class Traffic:
    """A request each 20 ms from pod to pod, during all that happens."""

    def __init__(self, c):
        if not any(n.pods for n in c.nodes):
            for node in c.nodes:
                c.pod(node, f"pod-{node.name}")
        source, sink = c.nodes[0].pods[0], c.nodes[1].pods[0]
        self.requests = Requests(source, sink, sink.address, interval=0.02)

    def lost(self):
        result = self.requests.stop()
        assert result["sent"] > 10
        return result["lost"]


def test_the_server_away(kubernetes):
    """While the server is down, traffic continues. A change is in force soon after the server is back."""
    c = kubernetes
    traffic = Traffic(c)
    before = [n.agent.log().count("\n") for n in c.nodes]
    c.control.apiserver.kill()
    time.sleep(8)  # the server must be away for a while
    assert c.encrypted()
    c.control.apiserver.start()
    change(c, 1401)
    arrives(c, 1401)
    assert traffic.lost() <= 1  # the change of the MTU may lose a request that is under way
    # One log line for each lost collection, one when it is back, and no flood of lines.
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
    """When the server hangs while its kernel still acknowledges, agents notice and report that within 35 s. Afterwards they
    recover."""
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


def test_the_position_of_the_watch_is_compacted(kubernetes):
    """After a compaction, a watch gets 410 and the agent lists again. It then knows what was deleted meanwhile."""
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
    """The kubelet replaces the token's file in time. If it is late, the agent continues with what it knows."""
    c = kubernetes
    node = c.nodes[0]
    node.agent.kill()
    kubeconfig = c.agent_kubeconfig(node, seconds=20)
    c.start_agent(node)
    c.wait_encrypted()
    wait_for(lambda: "must be logged in" in c.control.kubectl("get", "nodes", kubeconfig=kubeconfig,
                                                              check=False).stderr, "the token expires", 60)
    # The server refuses the expired token only for new requests; its restart ends the open watches.
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
def test_faults_between_agent_and_server(kubernetes, fault):
    """An agent copes with each fault between it and the server, at its start, when it lists all, and later, during watches."""
    c = kubernetes
    node = c.nodes[1]
    with c.without_agent(node), FaultyProxy(c.control) as proxy:
        kubeconfig = proxy.kubeconfig(c.kubeconfigs[node.name])
        proxy.set(*fault)
        c.start_agent(node, kubeconfig=kubeconfig, ready=False)
        wait_for(lambda: len(proxy.requests) >= 3, "it asks for all that it needs")
        assert node.agent.process.poll() is None
        if fault[0] in ("status", "garbage"):
            wait_for(lambda: "cannot be read" in node.agent.log(), "the log says that it cannot read the server")
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


def test_watches_do_not_poll(kubernetes):
    c = kubernetes
    node = c.nodes[1]
    with c.without_agent(node), FaultyProxy(c.control) as proxy:
        c.start_agent(node, kubeconfig=proxy.kubeconfig(c.kubeconfigs[node.name]))
        c.wait_encrypted()
        wait_for(lambda: sum("watch=true" in path for _, path in proxy.requests) == 2, "two watches run")
        asked = len(proxy.requests)
        change(c, 1350)
        arrives(c, 1350)
        time.sleep(5)
        assert [r for r in proxy.requests[asked:] if r[0] == "GET" and r[1] != "/version"] == []


# --- a server that has lost something ---

NODES, BLOCKS = "/api/v1/nodes", "/apis/crd.projectcalico.org/v1/ipamblocks"
NOT_FOUND = 404, {"kind": "Status", "message": "the server could not find the requested resource"}


def only(path, change):
    """Changes only the lists of this path."""
    return lambda at, status, document: change(status, document) if at == path else (status, document)


def items(keep):
    return lambda status, document: (status, {**document, "items": [o for o in document["items"] if keep(o)]})


def backup(own):
    """Lists from before the other Nodes and the settings existed."""
    return lambda _, status, document: (status, document if "items" not in document else {
        **document, "metadata": {"resourceVersion": "1"},
        "items": [o for o in document["items"] if o["metadata"]["name"] == own]})


def padded(c):
    """The other node's object is larger than an agent reads."""
    def pad(status, document):
        for o in document["items"]:
            if o["metadata"]["name"] == c.nodes[0].name:
                o["metadata"].setdefault("annotations", {})["pad"] = "x" * (3 << 20)
        return status, document
    return pad


def blocks(c):
    """A list of IPAM blocks as Calico would have assigned them to the nodes."""
    return lambda *_: (200, {"kind": "IPAMBlockList", "metadata": {"resourceVersion": "1000000"}, "items": [
        {"metadata": {"name": n.name}, "spec": {"cidr": f"10.244.{n.index}.0/27", "affinity": f"host:{n.name}"}}
        for n in c.nodes]})


def lost(c):
    other, own = c.nodes[0].name, c.nodes[1].name
    settings = c.settings_path
    return [
        ("every list is empty", lambda _, status, o: (status, {**o, "items": []} if "items" in o else o), "not in the list"),
        ("no nodes", only(NODES, items(lambda o: False)), "not in the list"),
        ("the others' only", only(NODES, items(lambda o: o["metadata"]["name"] != own)), "not in the list"),
        ("settings empty", only(settings, items(lambda o: False)), "has none left"),
        ("settings not installed", only(settings, lambda *_: NOT_FOUND), "not installed"),
        ("an old backup", backup(own), "older state"),
        ("an object too large", only(NODES, padded(c)), "more than 2 MiB"),
        ("no version", only(NODES, lambda status, o: (status, {**o, "metadata": {"resourceVersion": ""}})),
         "no resourceVersion"),
        ("another cluster's", only(NODES, lambda status, o: (status, {**o, "items": [
            {**n, "metadata": {**n["metadata"], "uid": "another"}} for n in o["items"]
            if n["metadata"]["name"] != other]})), "was replaced"),
    ]


def trouble(node):
    return ((node.agent.status() or {}).get("store", {}).get("trouble") or {}).get("why", "")


def in_order(node):
    store = (node.agent.status() or {}).get("store")
    return store and store["synced"] and store["trouble"] is None and not store["held"]


def ranges(node):
    status = node.agent.status()
    return sorted(r["cidr"] for r in status["tunnels"][0]["ranges"]) if status else []


def test_what_the_server_lost_stays_in_force(kubernetes):
    """When the server loses data, in each possible way, nothing leaves in plain and no setting is lost, also when an agent is
    killed and started meanwhile."""
    c = kubernetes
    node = c.nodes[1]
    if not any(n.pods for n in c.nodes):
        for n in c.nodes:
            c.pod(n, f"pod-{n.name}")
    c.set(podveilStrictMode=True)
    with c.without_agent(node, forget=True), FaultyProxy(c.control) as proxy:
        proxied = proxy.kubeconfig(c.kubeconfigs[node.name])
        c.start_agent(node, kubeconfig=proxied)
        c.wait_encrypted()
        wait_for(lambda: in_order(node), "no problem is reported")
        capture = Capture(node, "eth0")
        traffic = node.pods[0].start(["ping", "-n", "-q", "-i", "0.01", c.nodes[0].pods[0].address])
        for what, rewrite, says in lost(c):
            before = len(proxy.requests)
            proxy.set("rewrite", rewrite)
            wait_for(lambda: says in trouble(node), f"{what}: status says {says}", 15)
            assert c.encrypted(), what
            node.agent.kill()
            c.start_agent(node, kubeconfig=proxied, ready=False)
            wait_for(c.encrypted, f"{what}: encrypted after a restart")
            wait_for(lambda: says in trouble(node), f"{what}: status still says {says}", 15)
            assert node.agent.status()["settings"]["podveilStrictMode"]["value"] == "true", what
            assert len(proxy.requests) - before < 150, f"{what}: it waits between attempts"
            proxy.set(None)
            wait_for(lambda: in_order(node), f"{what}: in order again", 90 if "installed" in what else 20)
        # When blocks are missing that existed before, ranges stay as the blocks said, also after a restart.
        proxy.set("rewrite", only(BLOCKS, blocks(c)))
        node.agent.kill()  # a running agent looks for missing resources only once per minute
        c.start_agent(node, kubeconfig=proxied, ready=False)
        wait_for(lambda: f"10.244.{c.nodes[0].index}.0/27" in ranges(node), "the blocks are known")
        for fault in (lambda *_: NOT_FOUND, lambda *_: (200, {"metadata": {"resourceVersion": "1000001"}, "items": []})):
            proxy.set("rewrite", only(BLOCKS, fault))
            wait_for(lambda: "all IPAM blocks are missing" in trouble(node), "status says so")
            node.agent.kill()
            c.start_agent(node, kubeconfig=proxied, ready=False)
            wait_for(c.encrypted, "encrypted after a restart")
            mark = len(proxy.requests)
            wait_for(lambda: sum(at.startswith(BLOCKS) for _, at in proxy.requests[mark:]) > 2, "it asks again", 30)
            assert "all IPAM blocks are missing" in trouble(node)
            assert f"10.244.{c.nodes[0].index}.0/27" in ranges(node)
        traffic.send_signal(2)
        traffic.communicate(timeout=60)
        capture.stop()
        assert not leaks(capture.packets())


def gone(c, path):
    try:
        c.control.get(path)
    except Refused as refused:
        return refused.code == 404
    return False


def test_deleted_objects_are_removed(kubernetes):
    """What an administrator deletes ends: a setting, all settings, one Node of two. If a resource definition is removed with
    its objects, that does not count as such a deletion."""
    c = kubernetes
    node = c.nodes[1]
    value = lambda name: node.agent.status()["settings"][name]["value"]  # noqa: E731
    c.set(podveilStrictMode=True, wireguardMTU=1380)
    wait_for(lambda: value("podveilStrictMode") == "true" and value("wireguardMTU") == "1380", "it is known")
    c.set(wireguardMTU=None)
    wait_for(lambda: value("wireguardMTU") == "0", "lowered to what it is without")
    definition = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podveilconfigurations.podveil.io"
    there = c.control.get(definition)
    # The server first deletes the definition's objects. That may take any time: here, one has a finalizer.
    held = f"{c.settings_path}/node.held"
    c.control.apply({"apiVersion": "podveil.io/v1", "kind": "PodveilConfiguration", "spec": {"wireguardMTU": 1380},
                     "metadata": {"name": "node.held", "finalizers": ["podveil.io/test"]}})
    c.control.delete(definition)
    wait_for(lambda: [o["metadata"]["name"] for o in c.control.get(c.settings_path)["items"]] == ["node.held"],
             "the others are deleted")
    wait_for(lambda: "not installed" in trouble(node) or value("podveilStrictMode") == "false", "they are missed", 30)
    assert value("podveilStrictMode") == value("wireguardEnabled") == "true"
    c.control.patch(held, {"metadata": {"finalizers": None}})
    wait_for(lambda: gone(c, definition), "the definition is gone", 30)
    assert "not installed" in trouble(node)
    assert value("podveilStrictMode") == value("wireguardEnabled") == "true"
    c.control.apply({"apiVersion": there["apiVersion"], "kind": there["kind"],
                     "metadata": {"name": there["metadata"]["name"]}, "spec": there["spec"]})
    wait_for(lambda: "has none left" in trouble(node) or "not installed" in trouble(node), "it is back, and empty", 90)
    assert value("podveilStrictMode") == "true"
    wait_for(lambda: c.set(wireguardEnabled=True, podveilStrictMode=True) or True, "its owner publishes it again")
    c.set("node.held", wireguardMTU=1380)
    wait_for(lambda: in_order(node), "no problem is reported", 90)
    c.control.delete(held)
    c.control.delete(f"{c.settings_path}/default")
    wait_for(lambda: value("podveilStrictMode") == "false" and value("wireguardEnabled") == "false", "deleted", 20)
    c.nodes[0].agent.kill()
    c.control.delete(f"{NODES}/{c.nodes[0].name}")
    wait_for(lambda: node.agent.status() and not ranges(node), "the node is gone")
    assert in_order(node)
    c.register(c.nodes[0])
    c.set(wireguardEnabled=True)
    c.start_agent(c.nodes[0])
    c.wait_encrypted()
