# SPDX-License-Identifier: Apache-2.0
"""Where agents take the pods' addresses from (routeSource): podCIDRs, CiliumNodes with Cilium's resource definition, and the
pods themselves, with a real API server."""
import os
import sys

import pytest

from cluster import leaks
from cluster_api import MANIFESTS, KubernetesCluster
from hosts import ROOT, Capture, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from traffic import Requests  # noqa: E402

PODS = "/api/v1/namespaces/podveil-system/pods"
CILIUM_NODES = "/apis/cilium.io/v2/ciliumnodes"
CILIUM_DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ciliumnodes.cilium.io"


@pytest.fixture(scope="module")
def kubernetes(tmp_path_factory):
    """Three nodes that encrypt, with a pod each. Pods and CiliumNodes are not in the API server yet."""
    with KubernetesCluster(tmp_path_factory.mktemp("sources")) as made:
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        for node in made.nodes:
            made.pod(node, f"pod-{node.index}")
        yield made


def source(node):
    """What the agent says of its source; both forms of `status` say the same."""
    found = node.agent.status()["store"]["routeSource"]
    return found and (found["name"], found["why"])


def trouble(node):
    return (node.agent.status()["store"]["trouble"] or {}).get("why", "")


def ranges(node, of):
    """The ranges that `node` has of another node's pods."""
    key = of.run("wg show wireguard.cali public-key").strip()
    for line in node.run("wg show wireguard.cali allowed-ips").splitlines():
        if line.startswith(key):
            return set(line.split("\t")[1].split()) - {"(none)"}
    return set()


def all_have(c, expected):
    """True if each node has the ranges `expected(other)` of each other one."""
    return lambda: all(ranges(n, m) == set(expected(m)) for n in c.nodes for m in c.nodes if n is not m)


def running(c, name, node, *addresses, **spec):
    """Makes a Pod as a kubelet shows it when it runs."""
    c.control.post(PODS, {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "podveil-system"},
        "spec": {"nodeName": node.name, "serviceAccountName": "podveil", "terminationGracePeriodSeconds": 600,
                 "containers": [{"name": "c", "image": "none"}], **spec}})
    set_status(c, name, phase="Running", podIP=addresses[0], podIPs=[{"ip": a} for a in addresses])


def set_status(c, name, **status):
    c.control.patch(f"{PODS}/{name}/status", {"status": status})


def gone(c, name):
    """Removes a Pod for good, as a kubelet does when its sandbox is gone."""
    c.control.delete(f"{PODS}/{name}?gracePeriodSeconds=0")


def cilium_node(c, node, *cidrs):
    c.control.apply({"apiVersion": "cilium.io/v2", "kind": "CiliumNode", "metadata": {"name": node.name}, "spec": {
        "addresses": [{"type": "InternalIP", "ip": node.address}], "ipam": {"podCIDRs": list(cidrs)}}})


def cilium_range(node):
    return f"10.244.{node.index}.0/27"


def pod_address(node):
    return f"{node.pods[0].address}/32"


def install_cilium(c):
    """Cilium's resource definition, and a CiliumNode for each node."""
    c.control.apply_cilium_crd()
    for node in c.nodes:
        cilium_node(c, node, cilium_range(node))


def begin_with_cilium(c):
    """`auto` takes the CiliumNodes, whatever was before."""
    install_cilium(c)
    # An agent looks once a minute for a resource that is missing, but at once for a source that is named anew.
    c.set(routeSource="podCIDRs")
    wait_for(lambda: all(source(n) == ("podCIDRs", "the setting routeSource") for n in c.nodes), "podCIDRs")
    c.set(routeSource="auto")
    wait_for(all_have(c, lambda n: [cilium_range(n)]), "the ranges are Cilium's", 30)


def show_pods(c):
    """Each node's pod is in the API server, beside one in the node's network, and agents may read them."""
    there = {o["metadata"]["name"] for o in c.control.get(PODS)["items"]}
    for node in c.nodes:
        if f"pod-{node.index}" not in there:
            running(c, f"pod-{node.index}", node, node.pods[0].address, node.pods[0].address6)
            running(c, f"host-{node.index}", node, node.address, hostNetwork=True)
    c.control.apply_kustomization(os.path.join(MANIFESTS, "workload-ips"))


def test_a_change_of_source_loses_nothing(kubernetes):
    """From podCIDRs to CiliumNodes, to the pods' addresses, and back, under traffic: no request is lost and none is readable.
    A source that cannot be read, or that says nothing, is not used, and status says why."""
    c = kubernetes
    one, two = c.nodes[1], c.nodes[2]
    assert source(one) == ("podCIDRs", "auto: no IPAM blocks, no CiliumNodes with ranges, and Nodes have podCIDRs")
    assert "pod addresses: podCIDRs (auto: no IPAM" in one.run([os.environ.get("PODVEIL", f"{ROOT}/build/podveil"), "status"])
    assert all_have(c, lambda n: [n.pods4])()
    capture = Capture(one, "eth0")
    traffic = [Requests(one.pods[0], two.pods[0], two.pods[0].address, "udp"),
               Requests(two.pods[0], one.pods[0], one.pods[0].address, "tcp")]
    # Cilium is not installed.
    c.set(routeSource="CiliumNode")
    wait_for(lambda: "CiliumNode gives no addresses" in trouble(one), "status says so")
    assert source(one)[0] == "podCIDRs" and all_have(c, lambda n: [n.pods4])()
    install_cilium(c)
    # An agent looks once a minute for a resource that is missing, but at once for a source that is named anew.
    c.set(routeSource="podCIDRs")
    wait_for(lambda: not any(trouble(n) for n in c.nodes), "in order")
    c.set(routeSource="CiliumNode")
    wait_for(all_have(c, lambda n: [cilium_range(n)]), "the ranges are Cilium's", 90)
    assert source(one) == ("CiliumNode", "the setting routeSource")
    # Pods may not be read.
    c.set(routeSource="WorkloadIPs")
    wait_for(lambda: "pods: HTTP status 403" in trouble(one), "status says so", 20)
    assert source(one)[0] == "CiliumNode" and all_have(c, lambda n: [cilium_range(n)])()
    assert "deploy/kubernetes/workload-ips" in one.agent.log()
    show_pods(c)
    wait_for(all_have(c, lambda n: [pod_address(n)]), "the addresses are the pods'", 30)
    assert source(one)[0] == "WorkloadIPs"
    wait_for(lambda: not trouble(one), "in order")
    c.set(routeSource="podCIDRs")
    wait_for(all_have(c, lambda n: [n.pods4]), "podCIDRs again")
    c.set(routeSource="auto")
    wait_for(all_have(c, lambda n: [cilium_range(n)]), "auto takes Cilium's, which is there now")
    assert source(one) == ("CiliumNode", "auto: CiliumNodes have ranges")
    results = [t.stop() for t in traffic]
    capture.stop()
    assert not leaks(capture.packets())
    for r in results:
        assert r["sent"] > 100 and r["lost"] == 0 and not r["broken"], r


def test_a_resource_definition_that_goes_is_no_command(kubernetes):
    """When Cilium's resource definition is removed, with all CiliumNodes, ranges stay as they were, also after a restart. A
    single CiliumNode that is deleted ends its node's ranges."""
    c = kubernetes
    one, two = c.nodes[1], c.nodes[2]
    begin_with_cilium(c)
    cilium_node(c, two, cilium_range(two), "10.250.0.0/24")
    wait_for(lambda: "10.250.0.0/24" in ranges(one, two), "a range more")
    c.control.delete(f"{CILIUM_NODES}/{two.name}")
    wait_for(lambda: not ranges(one, two), "it is deleted", 20)
    cilium_node(c, two, cilium_range(two))
    wait_for(all_have(c, lambda n: [cilium_range(n)]), "it is back")
    c.control.delete(CILIUM_DEFINITION)
    wait_for(lambda: "all CiliumNodes are missing" in trouble(one), "status says so", 30)
    assert all_have(c, lambda n: [cilium_range(n)])()
    one.agent.kill()
    c.start_agent(one, ready=False)
    wait_for(lambda: one.agent.status() and "all CiliumNodes are missing" in trouble(one), "status says so again", 20)
    assert source(one)[0] == "CiliumNode"
    assert all(ranges(one, n) == {cilium_range(n)} for n in c.nodes if n is not one)
    install_cilium(c)
    wait_for(lambda: not any(trouble(n) for n in c.nodes), "in order", 90)
    assert all_have(c, lambda n: [cilium_range(n)])()
    c.wait_encrypted()


def test_pods_and_their_addresses(kubernetes):
    """WorkloadIPs with what a real API server reports: pods that come, end, are deleted, and follow each other with the same
    address. Pods in their node's network, and addresses of nodes, are never a pod's."""
    c = kubernetes
    one, two, watching = c.nodes[1], c.nodes[2], c.nodes[0]
    show_pods(c)
    c.set(routeSource="WorkloadIPs")
    wait_for(all_have(c, lambda n: [pod_address(n)]), "the pods count", 20)
    first, second = ({pod_address(n)} for n in (one, two))
    running(c, "a", one, "10.66.0.1")
    wait_for(lambda: ranges(watching, one) == first | {"10.66.0.1/32"}, "it is there")
    # It begins to end: it still has its address, until another pod has it.
    c.control.delete(f"{PODS}/a")
    running(c, "mark-1", one, "10.66.0.2")
    wait_for(lambda: ranges(watching, one) == first | {"10.66.0.1/32", "10.66.0.2/32"}, "it ends")
    running(c, "b", two, "10.66.0.1")
    wait_for(lambda: ranges(watching, two) == second | {"10.66.0.1/32"}, "its successor has the address")
    assert ranges(watching, one) == first | {"10.66.0.2/32"}
    gone(c, "a")
    set_status(c, "b", phase="Succeeded")
    wait_for(lambda: ranges(watching, two) == second, "it has ended")
    # A node's kubelet writes its pods' addresses. It cannot take those of nodes or of pods that others proved.
    running(c, "c", two, watching.address)
    running(c, "d", two, one.address)
    running(c, "e", two, one.pods[0].address)
    running(c, "mark-2", two, "10.66.0.3")
    wait_for(lambda: ranges(watching, two) == second | {"10.66.0.3/32"}, "what is true is there")
    assert ranges(watching, one) == first | {"10.66.0.2/32"}
    refused = {(r["reason"], r["node"]) for r in watching.agent.status()["recordsRefused"]}
    assert {("node_address", two.name), ("range_held", two.name)} <= refused
    assert c.encrypted()
    for name in "bcde":
        gone(c, name)
    for name in ("mark-1", "mark-2"):
        gone(c, name)
    wait_for(all_have(c, lambda n: [pod_address(n)]), "as at first")
    c.set(routeSource="auto")
