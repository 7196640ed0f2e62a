# SPDX-License-Identifier: Apache-2.0
"""The Helm chart: what it renders is what kustomize renders, and its values are checked. helm comes from `make deps-helm`."""
import json
import os
import re
import subprocess

import pytest
import yaml

import doc_commands
from control_plane import BIN
from hosts import PODVEIL, ROOT, Failed

HELM = os.path.join(ROOT, "build/helm/helm")
CHART = os.path.join(ROOT, "deploy/helm/podveil")
BASES = ["plain", "strict", "calico"]
WITHOUT_NAMESPACE = {"ClusterRole", "ClusterRoleBinding", "PodveilConfiguration", "ValidatingAdmissionPolicy",
                     "ValidatingAdmissionPolicyBinding", "CustomResourceDefinition", "Namespace"}

pytestmark = pytest.mark.skipif(not os.access(HELM, os.X_OK), reason="helm is not installed: make deps-helm builds it")


def helm(*arguments, check=True, **environment):
    done = subprocess.run([HELM, *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=ROOT,
                          env={**os.environ, **environment})
    if check and done.returncode:
        raise Failed(f"helm {arguments} ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def template(*arguments, check=True):
    return helm("template", "podveil", CHART, "--namespace", "podveil-system", "--kube-version", "1.37.0", *arguments, check=check)


def objects(text):
    """The objects of some YAML by kind, namespace and name. Where an object names no namespace, Helm takes the release's."""
    found = {}
    for o in filter(None, yaml.safe_load_all(text)):
        if o["kind"] not in WITHOUT_NAMESPACE:
            o["metadata"].setdefault("namespace", "podveil-system")
        key = o["kind"], o["metadata"].get("namespace"), o["metadata"]["name"]
        assert key not in found, f"twice: {key}"
        found[key] = o
    return found


def kustomize(folder):
    done = subprocess.run([f"{BIN}/kubectl", "kustomize", f"{ROOT}/deploy/kubernetes/{folder}"], capture_output=True, text=True,
                          check=True)
    return objects(done.stdout)


@pytest.mark.parametrize("base", BASES)
def test_chart_and_kustomize_install_the_same(base):
    """All objects are equal, but for what each handles in its own way: the namespace, the tag of the image, helm's test."""
    wanted = kustomize(base)
    del wanted["Namespace", None, "podveil-system"]
    made = objects(template("--include-crds", "--set", f"base={base},image.tag=latest").stdout)
    del made["Pod", "podveil-system", "podveil-verify"]
    if base == "calico":  # crds/ is for all bases
        del made["CustomResourceDefinition", None, "podveilconfigurations.podveil.io"]
    assert made.keys() == wanted.keys()
    for key in wanted:
        assert made[key] == wanted[key], key


def test_the_pod_monitor_is_the_same():
    made = objects(template("--set", "podMonitor.enabled=true").stdout)
    assert {k: o for k, o in made.items() if k[0] == "PodMonitor"} == kustomize("monitoring")


def test_another_namespace():
    """Roles and admission policies name the agents as the namespace makes them."""
    text = helm("template", "podveil", CHART, "--namespace", "elsewhere", "--kube-version", "1.37.0").stdout
    assert "podveil-system" not in text
    assert "system:serviceaccount:elsewhere:podveil" in text


def setting_names():
    out = subprocess.run([PODVEIL, "agent", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  --(\w+)", out.partition("Settings for this node")[2], re.M))


def test_values_become_settings_and_pods(tmp_path):
    """Each setting is a value, and reaches PodveilConfiguration; the environment of the agents does not override it."""
    with open(os.path.join(CHART, "values.schema.json")) as f:
        schema = json.load(f)["properties"]["settings"]["properties"]
    assert schema.keys() == setting_names()
    settings = {"wireguardEnabled": True, "wireguardMTU": 1400, "podveilRouteTable": 4294967295, "podveilWire": "auto",
                "podveilStrictCIDRs": ["10.244.0.0/16"], "wireguardKeepAlive": "25s", "wireguardInterfaceName": "wg7"}
    values = tmp_path / "values.yaml"
    values.write_text(json.dumps({"settings": settings, "extraArgs": ["--log-format", "json"], "privileged": False,
                                  "resources": {"limits": {"memory": "1Gi"}}, "imagePullSecrets": [{"name": "key"}]}))
    made = objects(template("--values", str(values)).stdout)
    assert made["PodveilConfiguration", None, "default"]["spec"] == settings
    pod = made["DaemonSet", "podveil-system", "podveil"]["spec"]["template"]["spec"]
    agent = pod["containers"][0]
    names = [e["name"] for e in agent["env"]]
    assert "PODVEIL_WIREGUARDINTERFACENAME" not in names and "PODVEIL_ROUTETABLE" not in names
    assert "PODVEIL_WIREGUARDINTERFACENAMEV6" in names
    assert agent["args"][-2:] == ["--log-format", "json"]
    assert agent["resources"] == {"limits": {"memory": "1Gi"}}
    assert pod["imagePullSecrets"] == [{"name": "key"}]
    with open(os.path.join(ROOT, "deploy/kubernetes/unprivileged.patch.yaml")) as f:
        patch = yaml.safe_load(f)["spec"]["template"]["spec"]["containers"]
    assert {c["name"]: c["securityContext"] for c in pod["containers"]} == {c["name"]: c["securityContext"] for c in patch}


@pytest.mark.parametrize("values, says", [
    ("settings.wireguardMTU=300", "wireguardMTU"),
    ("settings.wireguardEnabled=yes", "wireguardEnabled"),
    ("settings.wireguardEnable=true", "wireguardEnable"),
    ("settings.podveilWire=udp", "podveilWire"),
    ("settings.wireguardKeepAlive=soon", "wireguardKeepAlive"),
    ("base=calico,settings.wireguardEnabled=true", "settings"),
    ("base=strict,settings.podveilStrictMode=false", "contradict"),
    ("base=cilium", "base"),
    ("imagetag=1", "imagetag"),
])
def test_bad_values_are_refused(values, says):
    done = template("--set", values, check=False)
    assert done.returncode != 0 and done.stdout == ""
    assert says in done.stderr


EVERYTHING = ("serviceaccounts,services,daemonsets,secrets,configmaps,roles,rolebindings,clusterroles,clusterrolebindings,"
              "validatingadmissionpolicies,validatingadmissionpolicybindings")


@pytest.mark.parametrize("block", doc_commands.blocks("helm"), ids=doc_commands.name)
def test_commands_of_the_pages(block, control_plane):
    """A real API server accepts the chart. What the commands install is gone when they end, but for the resource definition,
    which Helm never deletes, and the namespace."""
    c = control_plane

    def listing():
        names = c.kubectl("get", EVERYTHING, "--all-namespaces", "--output=name")
        return sorted(n for n in names.split() if "podveil" in n or "helm" in n)
    assert listing() == []
    seen = set()
    for command in block.text.splitlines():
        done = c.host.run(["bash", "-c", f"cd {ROOT} && {command}"], check=False,
                          env={"KUBECONFIG": c.admin, "PATH": f"{os.path.dirname(HELM)}:{BIN}:{os.environ['PATH']}",
                               "HOME": c.directory})
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        seen.update(listing())
        if command.startswith(("helm install", "helm upgrade")):
            assert c.kubectl("get", "podveilconfiguration", "default", "--output=jsonpath={.spec.wireguardEnabled}") == "true"
    assert {f"{kind}/{name}" for kind, name in [
        ("daemonset.apps", "podveil"), ("serviceaccount", "podveil"),
        ("validatingadmissionpolicy.admissionregistration.k8s.io", "podveil-own-node")]} <= seen
    assert listing() == []


def test_lint():
    helm("lint", "--strict", CHART)
