# SPDX-License-Identifier: Apache-2.0
"""What an agent writes to its own Node: what only that node knows, no more often than needed, and nothing once it
has left."""
import time

import pytest

from cluster_api import KEY, KubernetesCluster
from hosts import wait_for
from proxy import FaultyProxy


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    with KubernetesCluster(tmp_path_factory.mktemp("own-node"), nodes=2) as made:
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def test_an_agent_that_leaves_does_not_publish_its_key_again(kubernetes):
    """The watch tells that the key is gone before the PATCH that removed it is answered."""
    c = kubernetes
    node = c.nodes[1]
    node.agent.kill()
    with FaultyProxy(c.control) as proxy:
        c.start_agent(node, "--cleanup-on-exit", kubeconfig=proxy.kubeconfig(c.kubeconfig))
        c.wait_encrypted()
        wait_for(lambda: (c.condition(node) or {}).get("reason") == "Encrypting", "the condition says so")
        proxy.set("hold", "PATCH")
        node.agent.process.send_signal(15)
        wait_for(lambda: not c.annotation(node), "the key is gone")
        time.sleep(1)  # for the event, and for a pass that must not come
        proxy.set(None)
        assert node.agent.process.wait(timeout=20) == 0
        assert c.annotation(node) is None
        assert c.condition(node)["reason"] == "Removed"
        assert "wireguard.cali" not in node.run("ip -br link")
    c.start_agent(node)
    c.wait_encrypted()
