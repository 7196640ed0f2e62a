# SPDX-License-Identifier: Apache-2.0
"""The policy in deploy/kubernetes/keep-keys: Felix, which removes a node's key whenever it starts with its WireGuard off, does not
get it removed while Podveil's agent uses the key or waits for it."""
import base64
import os

import pytest

from cluster_api import KEY, MANIFESTS, KubernetesCluster
from hosts import wait_for

FIRST, SECOND = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with KubernetesCluster(tmp_path_factory.mktemp("keep-keys"), nodes=1, base="calico") as c:
        c.control.apply_kustomization(os.path.join(MANIFESTS, "keep-keys"))

        def in_force():
            write(c, FIRST, FIRST)
            write(c, None)
            return keys(c)[0] == FIRST
        wait_for(in_force, "the policy is in force", 30)
        yield c


def names(family):
    return KEY + family, "podveil.io/WireguardPublicKey" + family, "podveil.io/WireguardReleasedKey" + family


def keys(c, family=""):
    """Calico's annotation, Podveil's, and the released key."""
    annotations = c.control.get(f"/api/v1/nodes/{c.nodes[0].name}")["metadata"].get("annotations", {})
    return tuple(annotations.get(name) for name in names(family))


def write(c, *values, family=""):
    """Writes the first annotations as Felix does: it reads the Node, changes it, and puts the whole object back as its status."""
    path = f"/api/v1/nodes/{c.nodes[0].name}"
    node = c.control.get(path)
    annotations = node["metadata"].setdefault("annotations", {})
    for name, value in zip(names(family), values):
        annotations.pop(name, None)
        if value is not None:
            annotations[name] = value
    c.control.put(f"{path}/status", node)


def start(c, calico, own, family=""):
    """Both removed in one change: nothing is kept. Then both are set."""
    write(c, None, None, None, family=family)
    assert keys(c, family) == (None, None, None)
    write(c, calico, own, family=family)
    assert keys(c, family) == (calico, own, None)


@pytest.mark.parametrize("family", ["", "V6"])
def test_a_key_that_podveil_uses_stays(family, cluster):
    c = cluster
    start(c, FIRST, FIRST, family)
    write(c, None, family=family)
    assert keys(c, family) == (FIRST, FIRST, FIRST), "kept, and it is said that somebody tried to remove it"
    write(c, "", family=family)
    assert keys(c, family)[0] == FIRST, "empty is the same as absent"
    # One family's key does not depend on the other's.
    other = "V6" if not family else ""
    start(c, FIRST, None, other)
    write(c, None, family=other)
    assert keys(c, other)[0] is None and keys(c, family)[0] == FIRST


def test_other_keys_are_felixs_business(cluster):
    c = cluster
    start(c, FIRST, None)
    write(c, None)
    assert keys(c) == (None, None, None), "Podveil does not use it"
    start(c, FIRST, "off")
    write(c, None)
    assert keys(c) == (None, "off", None), "Podveil has stopped"
    start(c, FIRST, FIRST)
    write(c, SECOND)
    assert keys(c)[0] == SECOND, "Felix has another key"
    write(c, None)
    assert keys(c)[0] is None, "which Podveil does not use"


def test_the_agent_takes_its_key_back(cluster):
    """As an agent does when encryption is switched off."""
    c = cluster
    start(c, FIRST, FIRST)
    code, _ = c.as_agent(c.nodes[0], "PATCH", f"/api/v1/nodes/{c.nodes[0].name}/status",
                         {"metadata": {"annotations": dict(zip(names(""), (None, "off", None)))}})
    assert code == 200 and keys(c) == (None, "off", None)
