# SPDX-License-Identifier: Apache-2.0
"""A cluster of namespaces whose agents use a real API server as their store."""
import contextlib
import json
import os

from cluster import Cluster
from control_plane import ControlPlane
from hosts import PODVEIL, ROOT, wait_for

MANIFESTS = os.path.join(ROOT, "deploy/kubernetes")
KEY = "projectcalico.org/WireguardPublicKey"
RESOURCES = {
    "plain": ("podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations"),
    "strict": ("podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations"),
    "calico": ("felixconfigurations.crd.projectcalico.org",
               "/apis/crd.projectcalico.org/v1/felixconfigurations"),
}


class KubernetesCluster(Cluster):
    """Applies the manifests of a base. Agents run with the token of their service account."""

    manifests = MANIFESTS

    def __init__(self, directory, nodes=3, base="plain", **options):
        super().__init__(nodes)
        try:
            self.control = ControlPlane(self.switch, str(directory), address="172.18.0.1", **options)
            if base == "calico":
                self.control.apply_calico_crds("felixconfigurations", "ipamblocks")
            self.control.apply_kustomization(os.path.join(MANIFESTS, base))
            self.resource, self.settings_path = RESOURCES[base]
            self.store_url = "kubernetes"
            for node in self.nodes:
                self.register(node)
            self.kubeconfigs = {node.name: self.agent_kubeconfig(node) for node in self.nodes}
            self.policy_is_in_force()
        except BaseException:
            self.close()
            raise

    def close(self):
        if hasattr(self, "control"):
            self.control.close()
        super().close()

    def register(self, node):
        """Makes the Node object as a kubelet and the controllers would."""
        return self.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name},
            "spec": {"podCIDRs": [node.pods4, node.pods6]},
            "status": {"addresses": [{"type": "InternalIP", "address": node.address},
                                     {"type": "InternalIP", "address": node.address6}]}})

    def agent_kubeconfig(self, node, seconds=3600):
        """Writes a kubeconfig, with the token in a separate file; returns its path. The token is the one that an agent's pod
        on this node has: it is bound to the pod, and names the node. A second call replaces the token."""
        pod = f"agent-{node.name}"
        pods = "/api/v1/namespaces/podveil-system/pods"
        if pod not in {p["metadata"]["name"] for p in self.control.get(pods)["items"]}:
            self.control.post(pods, {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": pod, "namespace": "podveil-system"},
                "spec": {"nodeName": node.name, "serviceAccountName": "podveil",
                         "containers": [{"name": "c", "image": "none"}]}})
        return self.control.service_account_kubeconfig("podveil", "podveil-system", seconds, file=True, pod=pod)

    def token(self, node):
        with open(json.load(open(self.kubeconfigs[node.name]))["users"][0]["user"]["tokenFile"]) as f:
            return f.read()

    def as_agent(self, node, method, path, body, content_type="application/merge-patch+json"):
        """Makes a request with the token of the node's agent; returns the code and the text of the answer."""
        connection = self.control.connection(admin=False)
        try:
            connection.request(method, path, json.dumps(body), {
                "Content-Type": content_type, "Authorization": f"Bearer {self.token(node)}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def policy_is_in_force(self):
        """Waits until the admission policy is in force, with a dry run of a patch that only the policy refuses."""
        node = self.nodes[0]
        wait_for(lambda: self.as_agent(node, "PATCH", f"/api/v1/nodes/{node.name}/status?dryRun=All",
                                       {"metadata": {"labels": {"podveil.io/probe": "1"}}})[0] == 422,
                 "the admission policy is in force", 30)

    def environment(self, kubeconfig=None, node=None):
        return {"KUBECONFIG": kubeconfig or self.kubeconfigs[(node or self.nodes[0]).name],
                "PODVEIL_CONFIG_RESOURCE": self.resource}

    def start_agent(self, node, *arguments, env=None, ready=True, kubeconfig=None):
        return super().start_agent(node, *arguments, pod_cidrs=False,
                                   env={**self.environment(kubeconfig, node), **(env or {})}, ready=ready)

    @contextlib.contextmanager
    def without_agent(self, node, forget=False):
        """Kills the node's agent, and starts it again afterwards, also if the test fails, so that the next test does not fail
        as well. With `forget`, the agent starts as on a new machine."""
        node.agent.kill()
        try:
            yield
        finally:
            node.agent.kill()  # the test may have started another one
            if forget:
                node.run([PODVEIL, "agent", "--cleanup"])
            self.start_agent(node)
            self.wait_encrypted()

    def start_agents(self):
        for node in self.nodes:
            self.start_agent(node)

    def set(self, name="default", **settings):
        """Patches settings, as an administrator would with kubectl patch."""
        kind = self.resource.split(".")[0][:-1]
        if name != "default" or not self.exists(name):
            self.control.apply({"apiVersion": self.settings_path.split("/", 2)[2].rsplit("/", 1)[0],
                                "kind": "PodveilConfiguration" if "podveil" in kind else "FelixConfiguration",
                                "metadata": {"name": name}, "spec": settings})
            return
        self.control.patch(f"{self.settings_path}/{name}", {"spec": settings})

    def exists(self, name):
        return name in {o["metadata"]["name"] for o in self.control.get(self.settings_path)["items"]}

    def annotation(self, node, name=KEY):
        found = self.control.get(f"/api/v1/nodes/{node.name}")["metadata"].get("annotations", {})
        return found.get(name)

    def annotate(self, node, name=KEY, value=None):
        self.control.patch(f"/api/v1/nodes/{node.name}", {"metadata": {"annotations": {name: value}}})

    def condition(self, node):
        for c in self.control.get(f"/api/v1/nodes/{node.name}")["status"].get("conditions", []):
            if c["type"] == "PodveilReady":
                return c
        return None

    def wait_encrypted(self, seconds=10, **options):
        wait_for(lambda: self.encrypted(**options), "all nodes encrypt with all others", seconds)
