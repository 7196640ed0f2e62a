# SPDX-License-Identifier: Apache-2.0
"""Nodes out of namespaces whose agents have a real API server for their store."""
import os

from cluster import Cluster
from control_plane import ControlPlane
from hosts import ROOT, wait_for

MANIFESTS = os.path.join(ROOT, "deploy/kubernetes")
KEY = "projectcalico.org/WireguardPublicKey"
RESOURCES = {
    "plain": ("podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations"),
    "strict": ("podveilconfigurations.podveil.io", "/apis/podveil.io/v1/podveilconfigurations"),
    "calico": ("felixconfigurations.crd.projectcalico.org",
               "/apis/crd.projectcalico.org/v1/felixconfigurations"),
}


class KubernetesCluster(Cluster):
    """The manifests of a base are applied; agents run with their service account's token."""

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
            self.kubeconfig = self.control.service_account_kubeconfig(
                "podveil", "podveil-system", file=True)
            for node in self.nodes:
                self.register(node)
        except BaseException:
            self.close()
            raise

    def close(self):
        if hasattr(self, "control"):
            self.control.close()
        super().close()

    def register(self, node):
        """What a kubelet and the controllers would say of it."""
        return self.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": node.name},
            "spec": {"podCIDRs": [node.pods4, node.pods6]},
            "status": {"addresses": [{"type": "InternalIP", "address": node.address},
                                     {"type": "InternalIP", "address": node.address6}]}})

    def environment(self, kubeconfig=None):
        return {"KUBECONFIG": kubeconfig or self.kubeconfig, "PODVEIL_CONFIG_RESOURCE": self.resource}

    def start_agent(self, node, *arguments, env=None, ready=True, kubeconfig=None):
        return super().start_agent(node, *arguments, pod_cidrs=False,
                                   env={**self.environment(kubeconfig), **(env or {})}, ready=ready)

    def start_agents(self):
        for node in self.nodes:
            self.start_agent(node)

    def set(self, name="default", **settings):
        """kubectl patch, as a person would."""
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
