# SPDX-License-Identifier: Apache-2.0
"""What the manifests allow is what an agent needs, and no more; and what it says where something is missing."""
import copy
import json

import pytest

from cluster_api import KEY, KubernetesCluster
from control_plane import Refused
from hosts import PODVEIL, wait_for

ROLES = "/apis/rbac.authorization.k8s.io/v1"


@pytest.fixture(scope="module", params=["plain", "calico"])
def kubernetes(request, tmp_path_factory):
    with KubernetesCluster(tmp_path_factory.mktemp(request.param), nodes=1, base=request.param) as made:
        # Plain clusters may have Calico's IPAM, too.
        made.control.apply_calico_crds("ipamblocks")
        made.set(wireguardEnabled=True)
        yield made


@pytest.fixture(autouse=True)
def no_agent_stays(request):
    yield
    if "kubernetes" in request.fixturenames:
        agent = request.getfixturevalue("kubernetes").nodes[0].agent
        if agent and agent.process.poll() is None:
            agent.kill()


def test_every_right_is_needed(kubernetes):
    """Each verb is taken away, once: a fresh agent misses it, says so, and goes on when it is back."""
    c, node = kubernetes, kubernetes.nodes[0]
    checked = []
    for role in ("clusterroles/podveil", "clusterroles/podveil-settings"):
        original = c.control.get(f"{ROLES}/{role}")
        for i, rule in enumerate(original["rules"]):
            for verb in rule["verbs"]:
                less = copy.deepcopy(original["rules"])
                less[i]["verbs"].remove(verb)
                if not less[i]["verbs"]:
                    del less[i]
                c.control.patch(f"{ROLES}/{role}", {"rules": less})
                c.annotate(node)
                c.start_agent(node, ready=False)
                resource = rule["resources"][0].split("/")[0]
                wait_for(lambda: "forbidden" in node.agent.log() and f"cannot {verb} resource" in node.agent.log()
                         and resource in node.agent.log(), f"{verb} {resource} is missed", 20)
                c.control.patch(f"{ROLES}/{role}", {"rules": original["rules"]})
                wait_for(lambda: c.annotation(node), f"well again with {verb} {resource}", 20)
                node.agent.kill()
                checked.append(f"{verb} {rule['resources'][0]}")
    assert sorted(checked) == sorted([
        "list nodes", "watch nodes", "patch nodes/status", "list ipamblocks", "watch ipamblocks",
        f"list {c.resource.split('.')[0]}", f"watch {c.resource.split('.')[0]}"])


def test_events_need_their_right_too(kubernetes):
    c, node = kubernetes, kubernetes.nodes[0]
    binding = f"{ROLES}/namespaces/default/rolebindings/podveil-events"
    original = c.control.get(binding)
    c.control.delete(binding)

    def told():
        return [e for e in c.control.get("/api/v1/namespaces/default/events")["items"]
                if e["reason"] == "NodesContradict"]
    for name in ("one", "two"):
        c.control.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": name, "annotations": {KEY: "A" * 42 + "E="}}})
    c.start_agent(node, "--log-level", "debug")
    wait_for(lambda: "an Event was not taken" in node.agent.log(), "it is refused")
    assert not told()
    node.agent.kill()
    del original["metadata"]["resourceVersion"], original["metadata"]["uid"]
    c.control.post(binding.rsplit("/", 1)[0], original)
    c.start_agent(node)
    wait_for(told, "with the right the Event is there")
    node.agent.kill()
    for name in ("one", "two"):
        c.control.delete(f"/api/v1/nodes/{name}")


def test_an_agent_may_change_its_own_node_only(tmp_path):
    """The strict manifests: admission looks at the node of the pod that the token is bound to."""
    with KubernetesCluster(tmp_path, nodes=2, base="strict") as c:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent", "namespace": "podveil-system"},
               "spec": {"nodeName": c.nodes[0].name, "serviceAccountName": "podveil",
                        "containers": [{"name": "c", "image": "none"}]}}
        made = c.control.post("/api/v1/namespaces/podveil-system/pods", pod)
        answer = c.control.post("/api/v1/namespaces/podveil-system/serviceaccounts/podveil/token", {
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"boundObjectRef": {
                "kind": "Pod", "apiVersion": "v1", "name": "agent", "uid": made["metadata"]["uid"]}}})
        with open(c.kubeconfig) as f:
            path = json.load(f)["users"][0]["user"]["tokenFile"]
        with open(path, "w") as f:
            f.write(answer["status"]["token"])
        token = answer["status"]["token"]

        def refused():
            """A patch of the other node, as the agent would send it, but for show."""
            connection = c.control.connection(admin=False)
            connection.request("PATCH", f"/api/v1/nodes/{c.nodes[1].name}/status?dryRun=All",
                               '{"metadata":{"annotations":{"a":"b"}}}', {
                                   "Content-Type": "application/merge-patch+json", "Authorization": f"Bearer {token}"})
            return b"and no other" in connection.getresponse().read()
        wait_for(refused, "the policy is in force, a moment after it was made", 20)
        c.start_agent(c.nodes[1], ready=False)
        wait_for(lambda: "and no other" in c.nodes[1].agent.log(), "not the other node", 20)
        assert not c.annotation(c.nodes[1])
        c.nodes[1].agent.kill()
        c.start_agent(c.nodes[0])
        wait_for(lambda: c.annotation(c.nodes[0]), "its own", 20)
        assert c.nodes[0].agent.status()["settings"]["podveilStrictMode"]["value"] in ("true", "false")


def test_server_side_dry_run(kubernetes, tmp_path):
    """All bases are what the API server takes; monitoring needs an operator that is not here."""
    c = kubernetes
    for base in ("calico",) if "felix" in c.resource else ("plain", "strict"):
        c.control.apply_kustomization(f"{c.manifests}/{base}", "--dry-run=server")
    done = c.control.kubectl("apply", "-k", f"{c.manifests}/monitoring", "--dry-run=server", check=False)
    assert "no matches for kind \"PodMonitor\"" in done.stderr


def test_without_the_resource_definition(tmp_path):
    """The settings' resource is not installed: said once, and everything else works."""
    with KubernetesCluster(tmp_path, nodes=1) as c:
        c.control.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/podveilconfigurations.podveil.io")
        node = c.nodes[0]

        def missing():
            try:
                c.control.get(c.settings_path)
            except Refused as e:
                return e.code == 404
            return False
        wait_for(missing, "the resource is gone", 20)
        c.start_agent(node)
        assert "is not installed" in node.agent.log() and "CustomResourceDefinition" in node.agent.log()
        assert node.agent.status()["store"]["synced"]
        done = node.run([PODVEIL, "enable", "--store", "kubernetes"], env=c.environment(c.control.admin), check=False)
        assert done.returncode == 1 and "podveilconfigurations" in done.stderr


@pytest.mark.parametrize("store,env,says", [
    ("kubernetes", {"KUBECONFIG": "/nowhere"}, "/nowhere: No such file"),
    ("kubernetes", {"KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""}, "set KUBECONFIG=FILE"),
    ("kubernetes:secrets", {}, "podveilconfigurations.podveil.io, felixconfigurations"),
    ("kubernetesx", {}, "no such resource"),
])
def test_bad_stores(kubernetes, store, env, says):
    node = kubernetes.nodes[0]
    done = node.run([PODVEIL, "agent", "--node", node.name, "--store", store],
                    env={**kubernetes.environment(), "PODVEIL_CONFIG_RESOURCE": "", **env}, check=False)
    assert done.returncode == 1 and says in done.stderr, done.stderr
