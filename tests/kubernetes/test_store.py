# SPDX-License-Identifier: Apache-2.0
"""Agents and a real API server: settings and nodes come, keys go, whatever happens in between."""
import pytest

from cluster_api import KEY, KubernetesCluster
from hosts import wait_for


@pytest.fixture(params=["plain", "calico"])
def kubernetes(request, tmp_path):
    with KubernetesCluster(tmp_path, base=request.param) as made:
        yield made


def public_key(node):
    return node.run("wg show wireguard.cali public-key").strip()


def test_one_patch_encrypts_the_cluster(kubernetes):
    c = kubernetes
    c.start_agents()
    c.set(wireguardEnabled=True)
    c.wait_encrypted()
    for node in c.nodes:
        assert c.annotation(node) == public_key(node)
    worker = c.node("wireguard-worker")
    peers = worker.run("wg show wireguard.cali allowed-ips")
    assert all(n.pods4 in peers for n in c.nodes if n is not worker)
    wait_for(lambda: (c.condition(worker) or {}).get("status") == "True", "the condition says ready")
    assert c.condition(worker)["reason"] == "Encrypting"
    assert "2 of 2 peers" in c.condition(worker)["message"]
    c.set(wireguardEnabled=False)
    wait_for(lambda: not any(c.annotation(n) for n in c.nodes), "the keys are gone")
    wait_for(lambda: all("wireguard.cali" not in n.run("ip -br link") for n in c.nodes), "the devices are gone")
