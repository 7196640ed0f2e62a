# SPDX-License-Identifier: Apache-2.0
"""What an agent writes to its own Node: only what that node knows, no more often than needed, and nothing after it has left
encryption."""
import base64
import collections
import datetime
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
    """Two nodes that encrypt. The API server's audit log has the agents' requests."""
    directory = tmp_path_factory.mktemp("own-node")
    policy = directory / "audit-policy.json"
    policy.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [
        {"level": "Metadata", "omitStages": ["RequestReceived"], "users": [AGENTS]}]}))
    with KubernetesCluster(directory, nodes=2, base="calico", arguments=[
            f"--audit-policy-file={policy}", f"--audit-log-path={directory}/audit.log",
            "--audit-log-mode=blocking"]) as made:
        made.audit_log = directory / "audit.log"
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def asked(c, since=""):
    """(verb, path without query) of all requests of the agents that were answered. A watch counts when its answer begins.
    since: a time of the API server's; requests that came before it do not count."""
    with open(c.audit_log) as f:
        return [(e["verb"], e["requestURI"].split("?")[0]) for e in map(json.loads, f)
                if (e["stage"] == "ResponseStarted") == (e["verb"] == "watch") and e["requestReceivedTimestamp"] >= since]


def now():
    """As in the audit log."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def events(c, node, reason):
    found = c.control.get("/api/v1/namespaces/default/events")["items"]
    return [e for e in found if e["reason"] == reason and e["involvedObject"]["name"] == node.name]


def test_nodes_that_join_make_the_others_write_nothing(kubernetes):
    """When nodes join, the other agents write nothing, because a node's record depends on that node only. While a watch
    delivers events, they read nothing else either."""
    c = kubernetes
    for node in c.nodes:
        wait_for(lambda node=node: (c.condition(node) or {}).get("reason") == "Encrypting", "the condition says so")
    since, last, longest = now(), time.monotonic(), 0
    for i in range(17):
        c.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": f"joined-{i}", "annotations": {KEY: base64.b64encode(os.urandom(32)).decode()}},
            "spec": {"podCIDRs": [f"10.244.{100 + i}.0/26"]},
            "status": {"addresses": [{"type": "InternalIP", "address": f"172.18.0.{100 + i}"}]}})
        time.sleep(1)  # the test is about time: after 12 s, an agent would check a quiet watch
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    for node in c.nodes:
        wait_for(lambda node=node: node.run("wg show wireguard.cali peers | wc -l").strip() == "18", "all are peers")
    checks = {("get", "/version")} if longest > 10 else set()  # a busy machine may have made a pause
    assert collections.Counter(r for r in asked(c, since) if r not in checks) == {}
    for i in range(17):
        c.control.delete(f"/api/v1/nodes/joined-{i}")


def test_events_are_bounded(kubernetes):
    """A node sends at most five Events at once, no matter how often things change."""
    c = kubernetes
    for mtu in range(101, 109):
        c.set(wireguardMTU=mtu)
        for node in c.nodes:
            wait_for(lambda node=node: str(mtu) in (node.agent.status()["refused"] or ""), "it is refused")
        time.sleep(0.6)  # longer than the agents' tick
    time.sleep(2.5)  # longer than an Event waits to be sent
    for node in c.nodes:
        assert len(events(c, node, "SettingRefused")) == 5
    c.set(wireguardMTU=None)


def test_an_agent_that_leaves_does_not_publish_its_key_again(kubernetes):
    """An agent that leaves does not publish its key again when the watch reports the removal before the PATCH is answered."""
    c = kubernetes
    node = c.nodes[1]
    with c.without_agent(node), FaultyProxy(c.control) as proxy:
        c.start_agent(node, "--cleanup-on-exit", kubeconfig=proxy.kubeconfig(c.kubeconfigs[node.name]))
        c.wait_encrypted()
        wait_for(lambda: (c.condition(node) or {}).get("reason") == "Encrypting", "the condition says so")
        proxy.set("hold", "PATCH")
        node.agent.process.send_signal(15)
        wait_for(lambda: not c.annotation(node), "the key is gone")
        time.sleep(1)  # time for the event, and for a second write, which must not come
        proxy.set(None)
        assert node.agent.process.wait(timeout=60) == 0
        assert c.annotation(node) is None
        assert c.condition(node)["reason"] == "Removed"
        assert "wireguard.cali" not in node.run("ip -br link")
