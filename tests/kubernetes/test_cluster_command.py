# SPDX-License-Identifier: Apache-2.0
"""`kubectl podveil`, which is `podveil cluster`: the cluster as its API server shows it, with the rights of the user."""
import json
import os
import re
import stat

import pytest

from cluster_api import KEY, KubernetesCluster
from control_plane import BIN
from hosts import PODVEIL, wait_for

LABEL = "app.kubernetes.io/name"
PODS = "/api/v1/namespaces/podveil-system/pods"


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cluster")
    with KubernetesCluster(directory, nodes=3) as made:
        made.path = str(directory / "bin")
        os.mkdir(made.path)
        os.symlink(PODVEIL, os.path.join(made.path, "kubectl-podveil"))
        made.home = str(directory / "home")
        os.makedirs(os.path.join(made.home, ".kube"))
        made.start_agents()
        for node in made.nodes:
            agent_is_ready(made, node)
        yield made


def plugin(c, *arguments, kubeconfig=None, **env):
    """Runs `kubectl podveil`, on the host of the API server, as a user who is not root."""
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", os.path.join(c.path, "kubectl-podveil"), *arguments]
    if kubeconfig is None:
        kubeconfig = c.control.admin
    readable(c, kubeconfig)
    return c.control.host.run(command, check=False, env={
        "HOME": c.home, **({"KUBECONFIG": kubeconfig} if kubeconfig else {}), **env})


def readable(c, *paths):
    """Lets the user read the files, and reach them."""
    for path in filter(None, paths):
        if not os.path.exists(path):
            continue
        os.chmod(path, 0o644)
        while len(path := os.path.dirname(path)) > 1:
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) | 0o011)


def agent_is_ready(c, node, ready=True):
    """Makes the pod of the node's agent look like one of the DaemonSet's."""
    c.control.patch(f"{PODS}/agent-{node.name}", {"metadata": {"labels": {LABEL: "podveil"}}})
    c.control.patch(f"{PODS}/agent-{node.name}/status", {"status": {"conditions": [
        {"type": "Ready", "status": str(ready)}]}})


def document(c, *arguments, code):
    done = plugin(c, "status", "-o", "json", *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return json.loads(done.stdout)


def whole(c):
    """True when each node's condition says that it encrypts."""
    return all((c.condition(n) or {}).get("reason") == "Encrypting" and c.annotation(n) for n in c.nodes)


def test_enable_shows_every_pair_and_disable_none(kubernetes):
    c = kubernetes
    done = plugin(c, "enable")
    assert (done.returncode, done.stdout) == (0, "wireguardEnabled: true for the cluster, in podveilconfigurations.podveil.io\n"), \
        done.stderr
    wait_for(lambda: whole(c), "all nodes encrypt")
    seen = document(c, code=0)
    assert seen["encrypted"] is True and seen["problems"] == []
    assert [(n["name"], n["encrypts"], n["ipv4"], n["ipv6"], n["reason"], n["address"]) for n in seen["nodes"]] == \
        [(n.name, True, True, False, "Encrypting", n.address) for n in sorted(c.nodes, key=lambda n: n.name)]
    assert seen["pairs"] == {"all": 3, "encrypted": 3, "plain": []}
    assert seen["settings"]["objects"] == {"default": {"wireguardEnabled": True}}
    table = plugin(c, "status").stdout
    assert re.search(r"^wireguard-worker +yes +IPv4: encrypts", table, re.M) and "\033" not in table
    assert "pairs of nodes: 3 of 3 encrypted\n" in table
    wide = plugin(c, "status", "--output=wide").stdout
    assert c.node("wireguard-worker").address in wide

    # One node alone is switched off: it is in no encrypted pair.
    assert plugin(c, "disable", "--node", "wireguard-worker").returncode == 0
    worker = c.node("wireguard-worker")
    wait_for(lambda: c.condition(worker)["reason"] == "EncryptionOff" and not c.annotation(worker), "it says so")
    seen = document(c, code=1)
    assert seen["pairs"]["encrypted"] == 1
    assert [(p["a"], p["b"], p["why"]) for p in seen["pairs"]["plain"]] == [
        ("wireguard-control-plane", "wireguard-worker", "wireguard-worker: encryption is switched off"),
        ("wireguard-worker", "wireguard-worker2", "wireguard-worker: encryption is switched off")]
    table = plugin(c, "status").stdout
    assert "not encrypted: wireguard-control-plane and wireguard-worker (wireguard-worker: encryption is switched off)" in table
    assert "settings: podveilconfigurations.podveil.io/node.wireguard-worker: wireguardEnabled=false" in table
    c.control.delete(f"{c.settings_path}/node.wireguard-worker")
    wait_for(lambda: whole(c), "all nodes encrypt again")
    assert document(c, code=0)["encrypted"]

    # A node whose agent's pod is not ready, or gone, is not taken at its word.
    control, worker, worker2 = sorted(c.nodes, key=lambda n: n.name)
    agent_is_ready(c, control, False)
    c.control.patch(f"{PODS}/agent-{worker2.name}", {"metadata": {"labels": {LABEL: None}}})
    seen = document(c, code=1)
    assert [n["reason"] for n in seen["nodes"]] == ["AgentNotReady", "Encrypting", "NoAgent"]
    assert seen["nodes"][1]["agent"] == {"pod": f"agent-{worker.name}", "image": "none", "ready": True}
    agent_is_ready(c, control)
    agent_is_ready(c, worker2)

    # kubectl itself finds the plugin.
    done = c.control.host.run(["kubectl", "podveil", "status", "--context", "lab"], check=False, env={
        "PATH": f"{c.path}:{BIN}:{os.environ['PATH']}", "KUBECONFIG": c.control.admin})
    assert done.returncode == 0 and "3 of 3 encrypt" in done.stdout, done.stderr
    assert plugin(c, "disable").returncode == 0
    wait_for(lambda: not any(c.annotation(n) for n in c.nodes), "the keys are gone")
    assert document(c, code=1)["pairs"]["encrypted"] == 0


def test_what_cannot_be_read_is_said(kubernetes, tmp_path):
    """Each refusal names what was wrong and what would be right, and the exit code is never that of an encrypted cluster."""
    c = kubernetes
    nobody = c.control.kubeconfig("nobody", "nobody")

    def refused(*arguments, code=2, **options):
        done = plugin(c, *arguments, **options)
        assert done.returncode == code and not done.stdout, (done.stdout, done.stderr)
        return done.stderr
    assert f"needs {c.home}/.kube/config, KUBECONFIG=FILE or --kubeconfig FILE" in refused("status", kubeconfig="")
    assert 'no context "x", which --context names' in refused("status", "--context", "x")
    assert "/nowhere: no such file" in refused("status", "--kubeconfig", "/nowhere")
    said = refused("status", kubeconfig=nobody)
    assert 'HTTP status 403: nodes is forbidden: User "nobody" cannot list resource "nodes"' in said
    assert said.rstrip().endswith(": the user of the kubeconfig needs this right")
    assert "nothing was changed" in refused("enable", kubeconfig=nobody, code=1)
    assert 'cannot patch resource' in refused("enable", "--config-resource", "podveilconfigurations.podveil.io",
                                             kubeconfig=nobody, code=1)
    config = json.load(open(c.control.admin))
    config["users"][0]["user"] = {"token": "wrong"}
    wrong = os.path.join(c.control.directory, "wrong.kubeconfig")
    with open(wrong, "w") as f:
        json.dump(config, f)
    said = refused("status", kubeconfig=wrong)
    assert "HTTP status 401" in said and said.rstrip().endswith(": the server refuses the credentials in the kubeconfig")
    config["clusters"][0]["cluster"]["server"] = "https://172.18.0.1:1"
    with open(wrong, "w") as f:
        json.dump(config, f)
    assert "https://172.18.0.1:1 cannot be read" in refused("status", kubeconfig=wrong)
    assert "needs table, wide or json" in refused("status", "-o", "xml")
    assert "is not status, enable or disable" in refused("verify")
    # Several files are one configuration; ~/.kube/config counts where KUBECONFIG does not.
    users, rest = (os.path.join(c.control.directory, f"{n}.kubeconfig") for n in ("users", "rest"))
    config = json.load(open(c.control.admin))
    for path, part in ((users, {"users": config.pop("users")}), (rest, config)):
        with open(path, "w") as f:
            json.dump(part, f)
    readable(c, users, rest)
    assert plugin(c, "status", kubeconfig=f"{users}:/nowhere:{rest}").returncode == 1
    assert 'no user "admin"' in refused("status", kubeconfig=rest)
    os.symlink(c.control.admin, os.path.join(c.home, ".kube/config"))
    try:
        readable(c, c.home + "/.kube/config")
        assert plugin(c, "status", kubeconfig="").returncode == 1
    finally:
        os.unlink(os.path.join(c.home, ".kube/config"))


def test_the_resource_is_that_of_the_agents(kubernetes):
    """enable writes where the agents read, also where PodveilConfiguration is installed beside Calico's resource."""
    c = kubernetes
    path = "/apis/apps/v1/namespaces/podveil-system/daemonsets/podveil"
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "podveil", "env": [
        {"name": "PODVEIL_CONFIG_RESOURCE", "value": "felixconfigurations.crd.projectcalico.org"}]}]}}}}
    before = c.control.get(path)["spec"]["template"]["spec"]["containers"][0]
    unread = c.control.get(c.settings_path)["items"]
    c.control.request("PATCH", path, patch, "application/strategic-merge-patch+json")
    try:
        done = plugin(c, "enable")
        assert done.returncode == 1 and "nothing was changed" in done.stderr and "is Podveil installed?" in done.stderr
        seen = document(c, code=1)
        assert (seen["settings"]["resource"], seen["settings"]["installed"]) == ("felixconfigurations.crd.projectcalico.org", False)
        c.control.apply_calico_crds("felixconfigurations")
        done = plugin(c, "enable")
        assert done.returncode == 0 and "in felixconfigurations.crd.projectcalico.org" in done.stdout, done.stderr
        spec = c.control.get("/apis/crd.projectcalico.org/v1/felixconfigurations/default")["spec"]
        assert spec == {"wireguardEnabled": True}
        assert c.control.get(c.settings_path)["items"] == unread
    finally:
        c.control.patch(path, {"spec": {"template": {"spec": {"containers": [
            before, *c.control.get(path)["spec"]["template"]["spec"]["containers"][1:]]}}}})


def test_nodes_of_a_large_cluster_come_in_pages(kubernetes):
    """More nodes than a page has: each is there, and two of them with one key encrypt nothing."""
    c = kubernetes
    connection = c.control.connection()
    for i in range(510):
        c.control.send(connection, "POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": f"many{i:03}", "annotations": {KEY: "A" * 42 + "E="} if i < 2 else {}}})
    try:
        seen = document(c, code=1)
        assert len(seen["nodes"]) == 513
        assert seen["nodes"][0]["why"] == "has the IPv4 key of node many001"
        assert seen["nodes"][2]["reason"] == "NoAgent"
        assert seen["pairs"]["all"] == 513 * 512 // 2 and seen["pairs"]["encrypted"] == 0
        assert len(seen["pairs"]["plain"]) == 1000
        assert "and 131318 more" in plugin(c, "status").stdout
    finally:
        for i in range(510):
            c.control.send(connection, "DELETE", f"/api/v1/nodes/many{i:03}")
        connection.close()
