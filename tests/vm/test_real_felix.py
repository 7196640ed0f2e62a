# SPDX-License-Identifier: Apache-2.0
"""Podveil beside and after the real Felix with the kernel's WireGuard. The API server runs on this machine; the nodes run in
an emulated machine whose kernel has WireGuard, on the same network."""
import json
import os
import shutil
import sys

import pytest

import kernel

sys.path.insert(0, os.path.join(kernel.ROOT, "deploy/lab"))
sys.path.insert(0, os.path.join(kernel.ROOT, "tests/kubernetes"))

FELIX = os.path.join(kernel.ROOT, "build/peers/calico-felix")


def block(node):
    return {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock",
            "metadata": {"name": node.pods4.translate(str.maketrans("./", "--"))},
            "spec": {"cidr": node.pods4, "affinity": f"host:{node.name}", "allocations": [None] * 64,
                     "unallocated": list(range(64)), "attributes": [], "strictAffinity": False}}


def calico(c):
    """Makes the objects that Felix needs in the cluster."""
    kinds = ["clusterinformations", "felixconfigurations", "ippools", "ipamblocks", "blockaffinities", "bgpconfigurations",
             "bgppeers", "globalnetworkpolicies", "globalnetworksets", "hostendpoints", "networkpolicies", "networksets",
             "ipamconfigs", "ipamhandles", "ipreservations", "bgpfilters", "caliconodestatuses"]
    c.control.apply_calico_crds(*kinds)
    api = "crd.projectcalico.org/v1"
    c.control.apply(
        {"apiVersion": api, "kind": "ClusterInformation", "metadata": {"name": "default"},
         "spec": {"datastoreReady": True, "clusterGUID": "0" * 32}},
        {"apiVersion": api, "kind": "IPPool", "metadata": {"name": "pods"},
         "spec": {"cidr": "10.244.0.0/16", "ipipMode": "Never", "vxlanMode": "Never", "natOutgoing": False,
                  "blockSize": 26, "nodeSelector": "all()", "allowedUses": ["Workload", "Tunnel"]}},
        *[{"apiVersion": api, "kind": "FelixConfiguration", "metadata": {"name": name}, "spec": {}}
          for name in ["default", *(f"node.{n.name}" for n in c.nodes)]],
        *[block(n) for n in c.nodes])
    for n in c.nodes:
        c.annotate(n, "projectcalico.org/IPv4Address", f"{n.address}/16")


@pytest.mark.parametrize("base", ["calico", "plain"])
def test_beside_and_after_the_real_felix(base, tmp_path):
    if os.uname().machine != "x86_64" or not shutil.which("qemu-system-x86_64"):
        pytest.skip("needs qemu-system-x86_64, on x86-64")
    if not os.access(FELIX, os.X_OK):
        pytest.skip(f"no {FELIX}: make deps-felix builds it")
    if not os.access(os.path.join(kernel.ROOT, "build/kubernetes/bin/kube-apiserver"), os.X_OK):
        pytest.skip("no kube-apiserver: make deps-kubernetes builds it")
    from cluster_api import KubernetesCluster
    machine = kernel.x86_64("linux-image-6.12-amd64")
    with KubernetesCluster(tmp_path, nodes=2, base=base) as c:
        calico(c)
        c.control.apply_kustomization(os.path.join(kernel.ROOT, "deploy/kubernetes/keep-keys"))
        # The nodes and their pods run in the emulated machine, so the nodes here are disconnected.
        for n in c.nodes:
            c.switch.run(f"ip link set port{n.index} down")
        c.switch.run("ip tuntap add machine mode tap && ip link set machine master br0 up")
        setup = tmp_path / "setup.json"
        setup.write_text(json.dumps({
            "base": base, "admin": c.control.admin, "directory": c.control.directory, "ca": c.control.authority.path,
            "kubeconfigs": c.kubeconfigs}))
        guest = os.path.join(kernel.ROOT, "tests/vm/felix_guest.py")
        code, out = kernel.run(machine, ["/usr/bin/python3", guest, str(setup)], seconds=500, on=c.switch, tap="machine")
    print("\n".join(line for line in out.splitlines() if line.startswith("measured")))
    assert code == 0, out[-8000:]
