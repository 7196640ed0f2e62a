# SPDX-License-Identifier: Apache-2.0
"""Runs the pages' commands for a cluster, exactly as printed, against an API server, which must accept them.

tests/doc_commands.py finds them; tests/kubernetes/test_cluster.py runs those that need nodes.
"""
import os
import re

import pytest

import doc_commands
from control_plane import BIN
from hosts import PODVEIL, ROOT, wait_for

CALICO_NODE = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
               "spec": {"selector": {"matchLabels": {"k8s-app": "calico-node"}},
                        "template": {"metadata": {"labels": {"k8s-app": "calico-node"}},
                                     "spec": {"containers": [{"name": "calico-node", "image": "calico/node"}]}}}}
WORKER = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker"}}
FELIX = {"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration", "metadata": {"name": "default"}}


@pytest.fixture(scope="module")
def calico(control_plane, tmp_path_factory):
    control_plane.path = str(tmp_path_factory.mktemp("bin"))
    os.symlink(PODVEIL, os.path.join(control_plane.path, "kubectl-podveil"))
    control_plane.apply_calico_crds()
    control_plane.apply(FELIX, CALICO_NODE, WORKER)
    return control_plane


def is_image(command):
    """True for commands that build or push an image: they need a registry, and no test has one. Checks that the Dockerfile
    knows their arguments."""
    words = command.split()
    if words[0] != "buildah":
        return False
    with open(os.path.join(ROOT, words[words.index("-f") + 1])) as f:
        dockerfile = f.read()
    for name, value in (w.split("=") for w in words if "=" in w):
        assert re.search(rf"^ARG {name}=", dockerfile, re.M), command
        assert name != "PROGRAM" or f" AS {value}\n" in dockerfile, command
    return True


@pytest.mark.parametrize("block", doc_commands.blocks("api server"), ids=doc_commands.name)
def test_api_server(block, calico):
    c = calico

    def taken(command):
        done = c.host.run(["bash", "-c", f"cd {ROOT} && {command}"], check=False,
                          env={"KUBECONFIG": c.admin, "PATH": ":".join([BIN, c.path, os.environ["PATH"]])})
        # As the page says: if the definition was too new, the command must run a second time.
        again = "apply" in command and "no matches for kind" in done.stderr
        assert again or done.returncode == 0, f"{doc_commands.name(block)}: {command}\n{done.stdout}{done.stderr}"
        return not again
    if re.search("podveilconfiguration|kubectl podveil", block.text) and "apply" not in block.text:
        c.apply_kustomization(os.path.join(ROOT, "deploy/kubernetes/plain"))
    for line in block.text.splitlines():
        command = line.split(" #")[0].strip()
        if not is_image(command):
            wait_for(lambda: taken(command), f"{command} is taken", 30)
    if "podveilconfiguration" in block.text:
        assert c.get("/apis/podveil.io/v1/podveilconfigurations/default")["spec"]["wireguardEnabled"] is True
    if "felixconfiguration" in block.text:
        assert c.get("/apis/crd.projectcalico.org/v1/felixconfigurations/default")["spec"]["wireguardEnabled"] is True
    if "calico-node" in block.text:
        containers = c.get("/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node")["spec"]["template"]["spec"]["containers"]
        assert {"name": "FELIX_WIREGUARDENABLED", "value": "false"} in containers[0]["env"]
