# SPDX-License-Identifier: Apache-2.0
"""An agent accepts as its etcd only a server whose certificate its authority signed for the given name, and uses no proxy."""
import pytest

import pki
from etcd import EtcdCluster
from hosts import PODVEIL, wait_for

@pytest.fixture(scope="module")
def cluster():
    """Two nodes; etcd also listens at an address that its certificate does not have."""
    with EtcdCluster(2, more_urls=["https://0.0.0.0:2999"]) as made:
        made.switch.run("ip addr add 172.18.0.200/16 dev br0")
        made.start_agent(made.nodes[0])
        made.podveil("enable")
        yield made




def asks(c, url, env=None):
    """Runs a command that must reach the store: (exit code, standard error)."""
    done = c.nodes[1].run([PODVEIL, "enable", "--store", "etcd:" + url], env={**c.etcd.environment, **(env or {})},
                          check=False)
    return done.returncode, done.stderr


def test_the_right_one(cluster):
    assert asks(cluster, cluster.etcd.url) == (0, "")


def test_a_certificate_of_another_authority_is_refused(cluster):
    stranger = pki.Authority(cluster.directory.name, "stranger-ca", "somebody else")
    code, said = asks(cluster, cluster.etcd.url, {"ETCDCTL_CACERT": stranger.path})
    assert code == 1 and "certificate" in said, said


def test_a_name_that_is_not_in_its_certificate(cluster):
    code, said = asks(cluster, "https://172.18.0.200:2999")
    assert code == 1 and "certificate" in said, said


@pytest.mark.parametrize("variable", ["https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_no_proxy_is_used(cluster, variable):
    """Proxy variables, which are meant for other programs, do not send the store's password to a proxy."""
    assert asks(cluster, cluster.etcd.url, {variable: "http://127.0.0.1:9"}) == (0, "")


def test_an_agent_refuses_a_false_server(cluster):
    c = cluster
    stranger = pki.Authority(c.directory.name, "liar-ca", "somebody else")
    node = c.nodes[1]
    c.start_agent(node, env={"ETCDCTL_CACERT": stranger.path}, ready=False)
    wait_for(lambda: "certificate" in node.agent.log(), "the log says that it does not trust the server")
    assert c.record(node) is None
