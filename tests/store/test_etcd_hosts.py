# SPDX-License-Identifier: Apache-2.0
"""Host encryption, and a store over the network: who must be reached while no agent runs, and what strict mode says to that."""
import pytest

from etcd import EtcdCluster
from hosts import wait_for


@pytest.fixture(scope="module")
def cluster():
    """Two nodes that encrypt what they say to each other, too; the etcd is on neither."""
    with EtcdCluster(2, secure=False) as made:
        for node in made.nodes:
            made.start_agent(node)
        made.configure(wireguardEnabled=True, wireguardHostEncryptionEnabled=True)
        yield made


def hosts_inside(c):
    """Is the other node's own address in the tunnel, as the first node routes?"""
    return f"{c.nodes[1].address} dev wireguard.cali" in c.nodes[0].run("ip route show table 1")


@pytest.mark.parametrize("strict", [False, True], ids=["as-ever", "strict"])
def test_an_agent_ends(cluster, strict):
    """Nodes' addresses leave the tunnel, so that the next agent can be started and find its store. In strict mode they
    stay: nothing goes out in plain."""
    c = cluster
    c.configure(wireguardEnabled=True, wireguardHostEncryptionEnabled=True, podveilStrictMode=strict,
                podveilStrictCIDRs=["10.244.0.0/16"])
    wait_for(lambda: c.encrypted() and hosts_inside(c), "nodes talk through the tunnel", 30)
    c.nodes[0].agent.stop()
    try:
        assert hosts_inside(c) == strict
    finally:
        c.start_agent(c.nodes[0], ready=False)
