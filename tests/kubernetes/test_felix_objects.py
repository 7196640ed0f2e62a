# SPDX-License-Identifier: Apache-2.0
"""With an agent's rights, podveil doctor in the DaemonSet finds Calico's Felix by its objects in the cluster."""
import copy
import json

import pytest

from cluster_api import KEY, KubernetesCluster
from hosts import PODVEIL, wait_for

ADDRESS = "projectcalico.org/IPv4Address"
ROLES = "/apis/rbac.authorization.k8s.io/v1/clusterroles"


def felix(c):
    node = c.nodes[0]
    done = node.run([PODVEIL, "doctor", "--json"], check=False, env={
        **c.environment(node=node), "NODE_NAME": node.name, "PODVEIL_STORE": "kubernetes"})
    return next(f for f in json.loads(done.stdout) if f["check"] == "Felix")


@pytest.mark.parametrize("base", ["plain", "calico"])
def test_felix_is_found_by_its_objects(base, tmp_path):
    with KubernetesCluster(tmp_path, nodes=1, base=base) as c:
        node = c.nodes[0]
        c.set(wireguardEnabled=True)
        c.start_agent(node)
        wait_for(lambda: c.annotation(node), "its key")
        # The key in the annotation is the agent's own.
        assert c.annotation(node, KEY) and felix(c)["found"] == "none on this machine"
        c.annotate(node, ADDRESS, f"{node.address}/16")
        found = felix(c)
        assert f"annotation {ADDRESS}" in found["found"] and "its WireGuard is off" in found["found"]
        # Both agents run without the environment of plain's DaemonSet, so their device has the same name as Felix's.
        assert found["verdict"] == "note" and "patch daemonset calico-node" in found["do"]
        assert ("FelixConfiguration enables it" in found["found"]) == (base == "calico")
        node.agent.kill()
        assert f"annotation {ADDRESS}" in felix(c)["found"], "without an agent"
        # A missing right is no error; doctor finds the rest.
        for role in ["podveil-settings", "podveil"]:
            original = c.control.get(f"{ROLES}/{role}")
            c.control.patch(f"{ROLES}/{role}", {"rules": []})
            wait_for(lambda: "FelixConfiguration" not in felix(c)["found"], "the right is removed")
            if role == "podveil":
                wait_for(lambda: felix(c)["found"] == "none on this machine", "the Node is not to be read")
            else:
                assert ADDRESS in felix(c)["found"]
            c.control.patch(f"{ROLES}/{role}", {"rules": copy.deepcopy(original["rules"])})
