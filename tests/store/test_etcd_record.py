# SPDX-License-Identifier: Apache-2.0
"""A node's own record in a real etcd: the agent keeps both its value and its lease."""
import pytest

from etcd import NODES, EtcdCluster
from hosts import wait_for


@pytest.fixture(scope="module")
def cluster():
    with EtcdCluster(1, secure=False) as made:
        made.start_agent(made.nodes[0])
        yield made


def test_a_record_without_our_lease_is_written_again(cluster):
    """An agent writes its record again if the record has lost its lease. Otherwise it would stay after the node is gone."""
    c = cluster
    key = NODES + c.nodes[0].name
    there = wait_for(lambda: c.etcd.get(key), "the record is there")
    assert int(there["lease"])
    c.etcd.put(key, there["value"])
    wait_for(lambda: int((c.etcd.get(key) or {}).get("lease", 0)) == int(there["lease"]), "it has our lease again")
    assert c.etcd.get(key)["value"] == there["value"]
