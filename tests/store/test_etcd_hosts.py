# SPDX-License-Identifier: Apache-2.0
"""Host encryption with a store over the network: what must be reachable while no agent runs, also in strict mode."""
import pytest

from etcd import EtcdCluster
from hosts import wait_for


@pytest.fixture(scope="module")
def cluster():
    """Two nodes that also encrypt the traffic between themselves; etcd is on neither of them."""
    with EtcdCluster(2, secure=False) as made:
        for node in made.nodes:
            made.start_agent(node)
        made.configure(wireguardEnabled=True, wireguardHostEncryptionEnabled=True)
        yield made


def hosts_inside(c):
    """True if the first node routes the other node's own address into the tunnel."""
    return f"{c.nodes[1].address} dev wireguard.cali" in c.nodes[0].run("ip route show table 1")


@pytest.mark.parametrize("strict", [False, True], ids=["as-ever", "strict"])
def test_an_agent_ends(cluster, strict):
    """When an agent ends, nodes' own addresses leave the tunnel, so that the next agent can start and reach its store. In
    strict mode they stay in the tunnel, so that nothing leaves in plain."""
    c = cluster
    c.configure(wireguardEnabled=True, wireguardHostEncryptionEnabled=True, podveilStrictMode=strict,
                podveilStrictCIDRs=["10.244.0.0/16"])
    wait_for(lambda: c.nodes[0].agent.status()["settings"]["podveilStrictMode"]["value"] == str(strict).lower(),
             "the setting is known")
    wait_for(lambda: c.encrypted() and hosts_inside(c), "nodes talk through the tunnel", 30)
    c.nodes[0].agent.stop()
    try:
        assert hosts_inside(c) == strict
    finally:
        c.start_agent(c.nodes[0], ready=False)
