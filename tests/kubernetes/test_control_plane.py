# SPDX-License-Identifier: Apache-2.0
"""The lab's API server behaves as the tests expect."""
import http.client
import json
import os
import ssl
import subprocess

import pytest

from control_plane import ControlPlane, Refused
from hosts import Failed, Host, wait_for

FELIX = {"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration", "metadata": {"name": "default"}}


def account(c, name, rules):
    """Makes a service account with the rights in `rules`, in the whole cluster."""
    c.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "default"}},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name},
             "rules": rules},
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
             "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
             "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}]})


def test_it_is_kubernetes(control_plane):
    c = control_plane
    assert c.get("/version")["gitVersion"] == "v1.37.2"
    assert "Server Version: v1.37.2" in c.kubectl("version")
    c.post("/api/v1/nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "one"}})
    assert "one " in c.kubectl("get", "nodes", "--no-headers")
    with pytest.raises(Refused) as refused:
        c.post("/api/v1/nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "one"}})
    assert refused.value.code == 409 and refused.value.status["reason"] == "AlreadyExists"


def test_calico_resources(control_plane):
    c = control_plane
    c.apply_calico_crds("felixconfigurations")
    c.apply(FELIX)
    assert c.kubectl("patch", "felixconfiguration", "default", "--type=merge", "-p",
                     '{"spec":{"wireguardEnabled":true}}') == \
        "felixconfiguration.crd.projectcalico.org/default patched\n"
    assert c.get("/apis/crd.projectcalico.org/v1/felixconfigurations/default")["spec"] == {"wireguardEnabled": True}
    with pytest.raises(Refused) as refused:
        c.patch("/apis/crd.projectcalico.org/v1/felixconfigurations/default", {"spec": {"wireguardEnabled": "yes"}})
    assert refused.value.code == 422


def test_rights(control_plane):
    c = control_plane
    account(c, "reader", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list"]}])
    for file in (False, True):
        kubeconfig = c.service_account_kubeconfig("reader", file=file)
        assert c.kubectl("get", "nodes", "-o", "name", kubeconfig=kubeconfig).startswith("node/")
        done = c.kubectl("label", "node", "--all", "a=b", kubeconfig=kubeconfig, check=False)
        assert done.returncode == 1 and "forbidden" in done.stderr
    nobody = c.kubeconfig("nobody", "nobody")
    assert "forbidden" in c.kubectl("get", "nodes", kubeconfig=nobody, check=False).stderr


def test_tokens_expire(control_plane):
    c = control_plane
    account(c, "short", [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}])
    kubeconfig = c.service_account_kubeconfig("short", seconds=4, file=True)

    def answer():
        return c.kubectl("get", "nodes", kubeconfig=kubeconfig, check=False)
    assert answer().returncode == 0
    wait_for(lambda: "must be logged in" in answer().stderr, "the token expires", 30)
    c.token_file("short", seconds=3600)
    assert answer().returncode == 0


def test_restart_kill_and_compaction(control_plane):
    c = control_plane

    def answers():
        try:
            return c.request("GET", "/readyz", parse=False)
        except (Refused, OSError, http.client.HTTPException):
            return None
    old = c.get("/api/v1/nodes")["metadata"]["resourceVersion"]
    c.post("/api/v1/nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "two"}})
    c.compact()
    c.apiserver.restart()
    event = c.request("GET", f"/api/v1/nodes?watch=1&timeoutSeconds=1&resourceVersion={old}", parse=False)
    assert json.loads(event.splitlines()[0])["object"]["code"] == 410
    c.apiserver.kill()
    with pytest.raises(OSError):
        c.get("/version")
    c.apiserver.start()
    c.etcd.kill()
    wait_for(lambda: not answers(), "the server notices that etcd is away", 30)
    c.etcd.start()
    c.apiserver.wait_ready()
    assert "two" in {n["metadata"]["name"] for n in c.get("/api/v1/nodes")["items"]}


def test_certificate_rolls(control_plane):
    c = control_plane
    before, old = c.served_certificate(), c.kubeconfig("old", "kubernetes-admin", ["system:masters"])
    c.roll_certificate()
    assert c.served_certificate() != before
    assert c.kubectl("get", "nodes", kubeconfig=old)
    c.roll_certificate(authority=True)
    assert "certificate signed by unknown authority" in c.kubectl("get", "nodes", kubeconfig=old, check=False).stderr
    assert c.kubectl("get", "nodes")


def test_two_beside_each_other_and_nothing_stays(tmp_path):
    with Host("a") as a, Host("b") as b, ControlPlane(a, str(tmp_path / "a")) as first, \
            ControlPlane(b, str(tmp_path / "b")) as second:
        first.post("/api/v1/nodes", {"kind": "Node", "apiVersion": "v1", "metadata": {"name": "one"}})
        assert second.get("/api/v1/nodes")["items"] == []
        processes = [d.process for c in (first, second) for d in (c.apiserver, c.etcd)]
        with pytest.raises(ssl.SSLError):
            # Each has its own authority: a client of the first refuses the second.
            second.server_authority = first.server_authority
            second.get("/version")
    assert all(p.poll() is not None for p in processes)
    assert subprocess.run(["pgrep", "-f", str(tmp_path)], stdout=subprocess.PIPE).stdout == b""


def test_what_is_not_built_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr("control_plane.BIN", os.fspath(tmp_path))
    with Host("server") as host, pytest.raises(Failed, match="make deps-kubernetes"):
        ControlPlane(host, str(tmp_path / "c"))
