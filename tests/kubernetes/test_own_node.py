# SPDX-License-Identifier: Apache-2.0
"""What an agent writes to its own Node: what only that node knows, no more often than needed, and nothing once it
has left."""
import base64
import collections
import json
import os
import time

import pytest

from cluster_api import KEY, KubernetesCluster
from hosts import wait_for
from proxy import FaultyProxy


AGENTS = "system:serviceaccount:podveil-system:podveil"


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    """Two nodes, encrypted. What agents ask of the API server is in its audit log."""
    directory = tmp_path_factory.mktemp("own-node")
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [
        {"level": "Metadata", "omitStages": ["RequestReceived", "ResponseStarted"], "users": [AGENTS]}]}))
    with KubernetesCluster(directory, nodes=2, base="calico", arguments=[
            f"--audit-policy-file={policy}", f"--audit-log-path={directory}/audit.log",
            "--audit-log-mode=blocking"]) as made:
        made.audit_log = directory / "audit.log"
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def asked(c):
    """(verb, path without its query) of all that the agents asked and were answered."""
    with open(c.audit_log) as f:
        return [(e["verb"], e["requestURI"].split("?")[0]) for e in map(json.loads, f)]


def events(c, node, reason):
    found = c.control.get("/api/v1/namespaces/default/events")["items"]
    return [e for e in found if e["reason"] == reason and e["involvedObject"]["name"] == node.name]


def test_nodes_that_join_make_the_others_write_nothing(kubernetes):
    """What a node says of itself depends on itself alone; and while a watch speaks, nobody asks for the others."""
    c = kubernetes
    for node in c.nodes:
        wait_for(lambda node=node: (c.condition(node) or {}).get("reason") == "Encrypting", "the condition says so")
    before = len(asked(c))
    for i in range(17):
        c.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": f"joined-{i}", "annotations": {KEY: base64.b64encode(os.urandom(32)).decode()}},
            "spec": {"podCIDRs": [f"10.244.{100 + i}.0/26"]},
            "status": {"addresses": [{"type": "InternalIP", "address": f"172.18.0.{100 + i}"}]}})
        time.sleep(1)  # time is what this is about: a quiet watch would be asked for after 15 s
    for node in c.nodes:
        wait_for(lambda node=node: node.run("wg show wireguard.cali peers | wc -l").strip() == "18", "all are peers")
    assert collections.Counter(asked(c)[before:]) == {}
    for i in range(17):
        c.control.delete(f"/api/v1/nodes/joined-{i}")


def test_events_are_bounded(kubernetes):
    """Whatever changes how often, a node sends five at once."""
    c = kubernetes
    for mtu in range(101, 109):
        c.set(wireguardMTU=mtu)
        for node in c.nodes:
            wait_for(lambda node=node: str(mtu) in (node.agent.status()["refused"] or ""), "it is refused")
        time.sleep(0.6)  # longer than the agents' tick
    time.sleep(2.5)  # longer than an Event waits for its turn
    for node in c.nodes:
        assert len(events(c, node, "SettingRefused")) == 5
    c.set(wireguardMTU=None)


def test_an_agent_that_leaves_does_not_publish_its_key_again(kubernetes):
    """The watch tells that the key is gone before the PATCH that removed it is answered."""
    c = kubernetes
    node = c.nodes[1]
    with c.without_agent(node), FaultyProxy(c.control) as proxy:
        c.start_agent(node, "--cleanup-on-exit", kubeconfig=proxy.kubeconfig(c.kubeconfigs[node.name]))
        c.wait_encrypted()
        wait_for(lambda: (c.condition(node) or {}).get("reason") == "Encrypting", "the condition says so")
        proxy.set("hold", "PATCH")
        node.agent.process.send_signal(15)
        wait_for(lambda: not c.annotation(node), "the key is gone")
        time.sleep(1)  # for the event, and for a pass that must not come
        proxy.set(None)
        assert node.agent.process.wait(timeout=60) == 0
        assert c.annotation(node) is None
        assert c.condition(node)["reason"] == "Removed"
        assert "wireguard.cali" not in node.run("ip -br link")
