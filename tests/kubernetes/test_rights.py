# SPDX-License-Identifier: Apache-2.0
"""The manifests give an agent the rights it needs and no more, and an agent reports a missing right."""
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
        # Clusters with the plain base may have Calico's IPAM too.
        made.control.apply_calico_crds("ipamblocks")
        made.control.apply_cilium_crd()
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
    """Without any one of its rights, a new agent reports what it misses; when the right is back, it works."""
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
                wait_for(lambda: c.annotation(node), f"works again with {verb} {resource}", 20)
                node.agent.kill()
                checked.append(f"{verb} {rule['resources'][0]}")
    assert sorted(checked) == sorted([
        "list nodes", "watch nodes", "patch nodes/status", "list ipamblocks", "watch ipamblocks",
        "list ciliumnodes", "watch ciliumnodes",
        f"list {c.resource.split('.')[0]}", f"watch {c.resource.split('.')[0]}"])


def test_events_need_their_right_too(kubernetes):
    c, node = kubernetes, kubernetes.nodes[0]
    binding = f"{ROLES}/namespaces/default/rolebindings/podveil-events"
    original = c.control.get(binding)
    c.control.delete(binding)

    def contradictions():
        return [e for e in c.control.get("/api/v1/namespaces/default/events")["items"]
                if e["reason"] == "NodesContradict"]
    for name in ("one", "two"):
        c.control.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {
            "name": name, "annotations": {KEY: "A" * 42 + "E="}}})
    c.start_agent(node, "--log-level", "debug")
    wait_for(lambda: "an Event was refused" in node.agent.log(), "it is refused")
    assert not contradictions()
    node.agent.kill()
    del original["metadata"]["resourceVersion"], original["metadata"]["uid"]
    c.control.post(binding.rsplit("/", 1)[0], original)
    c.start_agent(node)
    wait_for(contradictions, "with the right the Event is there")
    node.agent.kill()
    for name in ("one", "two"):
        c.control.delete(f"/api/v1/nodes/{name}")


NODE = "/api/v1/nodes/{}/status"
# Merge patches of the agent's own Node that the policy must refuse, each with a word of the refusal.
FORBIDDEN = [
    ("labels", {"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}}),
    ("labels", {"metadata": {"labels": {"node-restriction.kubernetes.io/team": "blue"}}}),
    ("labels", {"metadata": {"labels": {"there": None}}}),
    ("labels", {"metadata": {"finalizers": ["podveil.io/stay"]}}),
    ("no others", {"metadata": {"annotations": {"projectcalico.org/IPv4Address": "172.18.0.99/16"}}}),
    ("no others", {"metadata": {"annotations": {"projectcalico.org/IPv4VXLANTunnelAddr": "10.244.9.9"}}}),
    ("no others", {"metadata": {"annotations": {"projectcalico.org/IPv4WireguardInterfaceAddr": "10.96.0.1"}}}),
    ("no others", {"metadata": {"annotations": {"there": "changed"}}}),
    ("no others", {"metadata": {"annotations": {"there": None}}}),
    ("no others", {"metadata": {"annotations": {KEY: "A" * 65}}}),
    ("nothing else", {"status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.99"}]}}),
    ("nothing else", {"status": {"addresses": None}}),
    ("nothing else", {"status": {"capacity": {"cpu": "999"}}}),
    ("nothing else", {"status": {"allocatable": {"podveil.io/thing": "1"}}}),
    ("nothing else", {"status": {"nodeInfo": {"kubeletVersion": "v9"}}}),
    ("nothing else", {"status": {"daemonEndpoints": {"kubeletEndpoint": {"Port": 7}}}}),
    ("and no other", {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "x"}]}}),
    ("and no other", {"status": {"conditions": []}}),
    ("and no other", {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"},
                                                {"type": "Bad", "status": "True"}]}}),
]
ALLOWED = [
    {"metadata": {"annotations": {KEY: "A" * 43 + "="}}},
    {"metadata": {"annotations": {KEY: None, "podveil.io/WireguardPublicKey": "off"}}},
    {"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"},
                               {"type": "PodveilReady", "status": "True", "reason": "Encrypting"}]}},
]


@pytest.mark.parametrize("base", ["plain", "calico", "strict"])
def test_an_agent_changes_its_keys_and_condition_and_nothing_else(base, tmp_path):
    """In every base, the token of an agent's pod can change the agent's keys and condition on its own Node, and nothing else."""
    with KubernetesCluster(tmp_path, nodes=2, base=base) as c:
        mine, other = c.nodes
        for node in c.nodes:
            path = f"/api/v1/nodes/{node.name}"
            c.control.patch(path, {"metadata": {"labels": {"there": "1"}, "annotations": {"there": "1"}}})
            c.control.patch(f"{path}/status", {"status": {
                "capacity": {"cpu": "2"}, "images": [{"names": [f"registry/{i}:v{i}", f"registry/{i}@sha256:{i:064}"],
                                                      "sizeBytes": i} for i in range(50)],
                "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}]}})
        before = [c.control.get(f"/api/v1/nodes/{n.name}") for n in c.nodes]
        for says, patch in FORBIDDEN:
            code, text = c.as_agent(mine, "PATCH", NODE.format(mine.name), patch)
            assert code == 422 and says in text, (patch, code, text)
        for patch in [p for _, p in FORBIDDEN] + ALLOWED:
            code, text = c.as_agent(mine, "PATCH", NODE.format(other.name), patch)
            assert code == 422 and "and no other" in text, (patch, code, text)
        for method, path in (("PATCH", "/api/v1/nodes/" + mine.name), ("PUT", NODE.format(mine.name)),
                             ("DELETE", "/api/v1/nodes/" + mine.name), ("POST", "/api/v1/nodes")):
            assert c.as_agent(mine, method, path, before[0])[0] in (403, 415), (method, path)
        assert [c.control.get(f"/api/v1/nodes/{n.name}") for n in c.nodes] == before
        for patch in ALLOWED:
            code, text = c.as_agent(mine, "PATCH", NODE.format(mine.name), patch)
            assert code == 200, (patch, text)
        # A token that is not bound to a pod names no node, so it may change none.
        with open(c.kubeconfigs[mine.name]) as f:
            path = json.load(f)["users"][0]["user"]["tokenFile"]
        with open(path, "w") as f:
            f.write(c.control.token("podveil", "podveil-system"))
        code, text = c.as_agent(mine, "PATCH", NODE.format(mine.name), ALLOWED[0])
        assert code == 422 and "and no other" in text, text
        c.agent_kubeconfig(mine)
        # Events.
        event = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e", "namespace": "default"},
                 "involvedObject": {"apiVersion": "v1", "kind": "Node", "name": mine.name}, "type": "Warning",
                 "reason": "PlaintextLeft", "source": {"component": "podveil"}}
        for change in ({"involvedObject": {**event["involvedObject"], "name": other.name}}, {"type": "Normal"},
                       {"involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": mine.name}},
                       {"source": {"component": "kubelet"}}, {"source": None}, {"involvedObject": {}}):
            code, text = c.as_agent(mine, "POST", "/api/v1/namespaces/default/events", {**event, **change},
                                    "application/json")
            assert code == 422 and "in its own name" in text, (change, code, text)
        assert c.as_agent(mine, "POST", "/api/v1/namespaces/default/events", event, "application/json")[0] == 201
        # With these rights, an agent can do all its work.
        c.start_agent(other)
        c.set(wireguardEnabled=True)
        wait_for(lambda: c.annotation(other), "its key", 20)
        wait_for(lambda: c.condition(other), "its condition", 20)
        assert c.annotation(other, "podveil.io/WireguardPublicKey") == c.annotation(other)


def test_server_side_dry_run(kubernetes, tmp_path):
    """The API server accepts all bases. (monitoring needs an operator that the lab does not have.)"""
    c = kubernetes
    for base in ("calico",) if "felix" in c.resource else ("plain", "strict"):
        c.control.apply_kustomization(f"{c.manifests}/{base}", "--dry-run=server")
    done = c.control.kubectl("apply", "-k", f"{c.manifests}/monitoring", "--dry-run=server", check=False)
    assert "no matches for kind \"PodMonitor\"" in done.stderr


def test_without_the_resource_definition(tmp_path):
    """If the settings' resource is not installed, the agent says so once, and everything else works."""
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
