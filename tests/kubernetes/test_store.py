# SPDX-License-Identifier: Apache-2.0
"""Agents and a real API server: agents read settings and nodes, publish keys, and cope with all that users write."""
import base64
import json
import os

import pytest

from cluster_api import KEY, KubernetesCluster
from hosts import PODVEIL, wait_for


@pytest.fixture(params=["plain", "calico"], scope="module")
def kubernetes(request, tmp_path_factory):
    """Three nodes that encrypt."""
    with KubernetesCluster(tmp_path_factory.mktemp(request.param), base=request.param) as made:
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


@pytest.fixture(scope="module")
def calico(tmp_path_factory):
    with KubernetesCluster(tmp_path_factory.mktemp("calico"), base="calico") as made:
        made.start_agents()
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def public_key(node):
    return node.run("wg show wireguard.cali public-key").strip()


def allowed(node):
    """Peer's key -> its allowed IPs."""
    lines = node.run("wg show wireguard.cali allowed-ips").splitlines()
    return {key: set(ranges.split()) - {"(none)"} for key, ranges in (line.split("\t") for line in lines)}


def events(c, node, reason):
    found = c.control.get("/api/v1/namespaces/default/events")["items"]
    return [e for e in found if e["reason"] == reason and e["involvedObject"]["name"] == node.name]


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def test_one_patch_encrypts_the_cluster_and_one_ends_it(kubernetes):
    c = kubernetes
    worker = c.node("wireguard-worker")
    for node in c.nodes:
        assert c.annotation(node) == public_key(node)
    assert all(allowed(worker)[public_key(n)] == {n.pods4} for n in c.nodes if n is not worker)
    wait_for(lambda: "IPv4: encrypts" in (c.condition(worker) or {}).get("message", ""), "the condition says so")
    assert (c.condition(worker)["status"], c.condition(worker)["reason"]) == ("True", "Encrypting")
    c.set(wireguardEnabled=False)
    wait_for(lambda: not any(c.annotation(n) for n in c.nodes), "the keys are gone")
    wait_for(lambda: all("wireguard.cali" not in n.run("ip -br link") for n in c.nodes), "the devices are gone")
    wait_for(lambda: c.condition(worker)["reason"] == "EncryptionOff", "the condition says so")
    c.set(wireguardEnabled=True)
    c.wait_encrypted()


def test_the_condition_names_a_failure(kubernetes):
    """The condition names a failure. A node that cannot encrypt does not report that encryption is switched off."""
    c = kubernetes
    worker = c.node("wireguard-worker")
    c.set(wireguardEnabled=False)
    wait_for(lambda: "pv4.xsk" not in worker.run("ip -br link"), "the device is gone")
    worker.run("ip link add pv4.xsk type bridge")
    c.set(wireguardEnabled=True)
    wait_for(lambda: c.condition(worker)["reason"] == "NotEverythingDone", "the condition says so")
    assert c.condition(worker)["status"] == "False"
    assert c.condition(worker)["message"] == "some changes failed: see the agent's log"
    worker.run("ip link del pv4.xsk")
    c.wait_encrypted()


def test_a_nodes_own_settings_come_before_the_clusters(kubernetes):
    c = kubernetes
    worker = c.node("wireguard-worker")
    c.set("node.wireguard-worker", wireguardMTU=1400)
    wait_for(lambda: "mtu 1400" in worker.run("ip link show wireguard.cali"), "the node's MTU")
    assert "mtu 1440" in c.nodes[0].run("ip link show wireguard.cali")
    c.control.delete(f"{c.settings_path}/node.wireguard-worker")
    wait_for(lambda: "mtu 1440" in worker.run("ip link show wireguard.cali"), "the cluster's MTU")


def test_podveil_enable_and_disable(kubernetes):
    c = kubernetes
    env = c.environment(c.control.admin)

    def podveil(*arguments, env=env):
        return c.nodes[0].run([PODVEIL, *arguments, "--store", "kubernetes"], env=env, check=False)
    done = podveil("disable")
    assert (done.returncode, done.stdout) == (0, "wireguardEnabled: false for the cluster\n"), done.stderr
    assert c.control.get(f"{c.settings_path}/default")["spec"]["wireguardEnabled"] is False
    wait_for(lambda: not any(c.annotation(n) for n in c.nodes), "encryption is off")
    # A missing object is made.
    c.control.delete(f"{c.settings_path}/default")
    assert podveil("enable").returncode == 0
    assert podveil("enable", "--node", "wireguard-worker", "--ipv6").returncode == 0
    assert c.control.get(f"{c.settings_path}/node.wireguard-worker")["spec"] == {"wireguardEnabledV6": True}
    c.control.delete(f"{c.settings_path}/node.wireguard-worker")
    c.wait_encrypted()
    # The agent's own account has no right to do this: the command says so, and nothing changes.
    done = podveil("disable", env=c.environment())
    assert done.returncode == 1 and "forbidden" in done.stderr and "Permission denied" in done.stderr
    assert c.control.get(f"{c.settings_path}/default")["spec"]["wireguardEnabled"] is True


def test_our_key_is_put_back(kubernetes):
    c = kubernetes
    worker, key = c.node("wireguard-worker"), public_key(c.node("wireguard-worker"))
    for value in (None, "", new_key(), "no key at all", "x" * 200000):
        c.annotate(worker, value=value)
        wait_for(lambda: c.annotation(worker) == key, f"the key comes back after {str(value)[:20]}")
    c.wait_encrypted()


OWN = "podveil.io/WireguardPublicKey"


def reasons(node, of):
    return {r["reason"] for r in node.agent.status()["recordsRefused"] if r["node"] == of.name}


def a_pod_of(node):
    return node.pods4.replace(".0/26", ".2")


def test_a_key_that_vanishes_is_held(kubernetes):
    """A vanished key does not end encryption, because Felix removes Calico's annotation when it starts. A node leaves
    encryption only by saying so."""
    c = kubernetes
    control, worker, worker2 = c.nodes
    key = public_key(worker2)
    assert c.annotation(worker2, OWN) == key
    wait_for(lambda: (c.condition(worker2) or {}).get("reason") == "Encrypting", "its condition says so")
    with c.without_agent(worker2):  # its agent would write it again
        c.annotate(worker2, value=None)
        c.annotate(worker2, "podveil.io/probe", "1")
        wait_for(lambda: worker.agent.status()["store"]["synced"] and key in allowed(worker), "our own is there")
        assert reasons(worker, worker2) == set()
        c.annotate(worker2, OWN, None)
        wait_for(lambda: reasons(worker, worker2) == {"key_missing"}, "neither is there")
        assert allowed(worker)[key] == {worker2.pods4}
        # The same holds for an agent that starts now.
        wait_for(lambda: key in worker.run("cat /run/podveil/proved.json || true"), "the proof is kept", 20)
        worker.agent.kill()
        c.start_agent(worker)
        wait_for(lambda: reasons(worker, worker2) == {"key_missing"}, "it has saved what it knows")
        assert allowed(worker)[key] == {worker2.pods4}
        c.annotate(worker2, OWN, "off")
        wait_for(lambda: key not in allowed(worker) and key not in allowed(control), "its key is withdrawn")
        assert reasons(worker, worker2) == set()
    assert c.annotation(worker2, OWN) == c.annotation(worker2) == key


def test_no_node_speaks_for_another(kubernetes):
    """Neither an agent's record nor Calico's annotations on a Node can claim another node's pods or addresses."""
    c = kubernetes
    control, worker, worker2 = c.nodes
    c.wait_encrypted()
    key, hostile, victims = public_key(worker2), public_key(worker), {worker2.pods4}
    with c.without_agent(worker):
        for reason, name, value in (
                ("key_held", KEY, key),
                ("not_assigned", "projectcalico.org/IPv4VXLANTunnelAddr", a_pod_of(worker2)),
                ("not_assigned", "projectcalico.org/IPv4IPIPTunnelAddr", "10.96.0.1"),
                ("node_address", "projectcalico.org/IPv4WireguardInterfaceAddr", control.address),
                ("not_assigned", "projectcalico.org/IPv4WireguardInterfaceAddr", "172.18.0.1"),  # the API server
                ("never_pods", "projectcalico.org/IPv4WireguardInterfaceAddr", "169.254.169.254"),
                ("in_pods", "projectcalico.org/IPv4Address", a_pod_of(worker2))):
            before = c.annotation(worker, name)
            c.annotate(worker, name, value)
            try:
                wait_for(lambda: reasons(control, worker) == {reason}, f"{name}: {value} is refused as {reason}")
                assert allowed(control) == {key: victims, hostile: {worker.pods4}}, (name, value)
                assert f"{worker2.pods4} dev wireguard.cali" in control.run("ip route show table 1")
            finally:
                c.annotate(worker, name, before)
            wait_for(lambda: not reasons(control, worker), "the key is withdrawn")


def test_a_node_deleted_and_made_again(kubernetes):
    c = kubernetes
    worker = c.node("wireguard-worker")
    others = [n for n in c.nodes if n is not worker]
    c.control.delete(f"/api/v1/nodes/{worker.name}")
    wait_for(lambda: all(public_key(worker) not in allowed(n) for n in others), "it is no peer any more")
    c.register(worker)
    wait_for(lambda: c.annotation(worker) == public_key(worker), "it publishes its key again")
    c.wait_encrypted()


def test_two_nodes_with_one_key(kubernetes):
    c = kubernetes
    worker, worker2 = c.node("wireguard-worker"), c.node("wireguard-worker2")
    # Nodes without an agent, because an agent would write its own key again.
    key = new_key()
    for name, last in (("double-one", 201), ("double-two", 202)):
        c.control.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "annotations": {KEY: key}},
            "spec": {"podCIDRs": [f"10.244.{last}.0/26"]},
            "status": {"addresses": [{"type": "InternalIP", "address": f"172.18.0.{last}"}]}})
    wait_for(lambda: events(c, worker, "NodesContradict"), "an Event says so")
    assert "double-one" in events(c, worker, "NodesContradict")[-1]["message"]
    # Only the owner of the private key can read traffic to these two; none of it is sent in plain.
    assert allowed(worker)[key] == {"10.244.201.0/26", "10.244.202.0/26"}
    c.control.delete("/api/v1/nodes/double-two")
    wait_for(lambda: allowed(worker2).get(key) == {"10.244.201.0/26"}, "the other one is a peer")
    c.control.delete("/api/v1/nodes/double-one")
    wait_for(lambda: key not in allowed(worker2), "it is removed")
    c.wait_encrypted()


def test_a_leak_is_an_event(kubernetes):
    """If a route leads around the tunnel and packets leave in plain, the agent sends an Event, once."""
    c = kubernetes
    worker, worker2 = c.node("wireguard-worker"), c.node("wireguard-worker2")
    client, server = (c.pod(n, f"leak-{n.name}") for n in (worker, worker2))
    assert not events(c, worker, "PlaintextLeft")

    def leak():
        client.run(["ping", "-c", "3", "-i", "0.1", "-W", "1", server.address], check=False)
        return worker.agent.status()["guard"]["leaked"]
    worker.run(f"ip rule add priority 50 to {worker2.pods4} lookup main")
    try:
        # Until the guard knows that encryption has begun, the packets count as plain before encryption.
        first = wait_for(leak, "the packets count as leaked")
        wait_for(lambda: events(c, worker, "PlaintextLeft"), "an Event says so")
        wait_for(lambda: leak() > first, "more of them are counted")
    finally:
        worker.run("ip rule del priority 50")
    assert len(events(c, worker, "PlaintextLeft")) == 1
    assert "podveilStrictMode" in events(c, worker, "PlaintextLeft")[0]["message"]


def test_addresses_of_calico_come_before_kubernetes(kubernetes):
    c = kubernetes
    worker, key = c.node("wireguard-worker"), new_key()
    c.control.post("/api/v1/nodes", {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "stranger", "annotations": {
            KEY: key, "projectcalico.org/IPv4Address": "172.18.0.99/16",
            "projectcalico.org/IPv4WireguardInterfaceAddr": "10.244.77.9"}},
        "spec": {"podCIDRs": ["10.244.77.0/29"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.98"}]}})
    wait_for(lambda: key in allowed(worker), "it is a peer")
    assert f"{key}\t172.18.0.99:51820" in worker.run("wg show wireguard.cali endpoints")
    assert allowed(worker)[key] == {"10.244.77.0/29"}, "a tunnel's address that nobody gave to it"
    assert [(r["reason"], r["node"]) for r in worker.agent.status()["recordsRefused"]] == [("not_assigned", "stranger")]
    c.control.delete("/api/v1/nodes/stranger")


def test_nonsense_in_objects_is_named_and_others_go_on(kubernetes):
    c = kubernetes
    worker, key = c.node("wireguard-worker"), new_key()
    c.control.post("/api/v1/nodes", {
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "strange", "annotations": {
            KEY: key, "projectcalico.org/IPv4Address": "over there", "fat": "x" * 240000,
            "projectcalico.org/IPv4VXLANTunnelAddr": "fd00::1"}},
        "spec": {"podCIDRs": ["10.244.78.0/26"]},
        "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.97"}],
                   "conditions": [{"type": "Fat", "status": "True", "message": "y" * 300000}]}})
    wait_for(lambda: allowed(worker).get(key) == {"10.244.78.0/26"}, "the valid part is used")
    log = worker.agent.log()
    assert 'object=nodes/strange problem="annotation projectcalico.org/IPv4Address: ' in log
    assert worker.agent.status()["store"]["errors"] > 0
    c.control.delete("/api/v1/nodes/strange")
    c.wait_encrypted()


def test_the_schema_refuses_bad_settings(tmp_path):
    with KubernetesCluster(tmp_path, nodes=1) as c:
        for spec, says in (
                ({"wireguardEnabled": "yes"}, "boolean"), ({"wireguardListeningPort": 0}, "greater than or equal to 1"),
                ({"wireguardMTU": 100}, "576"), ({"wireguardMTUV6": 1279}, "1280"),
                ({"wireguardInterfaceName": "a/b"}, "should match"), ({"wireguardKeepAlive": "soon"}, "should match"),
                ({"podveilWire": "fast"}, "auto"), ({"podveilRouteTable": 254}, "podveilRouteTable"),
                ({"wireguardListeningPortV6": 51820}, "differ"), ({"wireguardInterfaceName": "wg-v6.cali"}, "differ"),
                ({"podveilWorkers": 9}, "less than or equal to 8")):
            done = c.control.kubectl("patch", "podveilconfiguration", "default", "--type=merge", "-p",
                                     '{"spec":%s}' % json.dumps(spec), check=False)
            assert done.returncode == 1 and says in done.stderr, (spec, done.stderr)
        done = c.control.kubectl("create", "-f", "-", check=False, stdin='{"apiVersion":"podveil.io/v1",'
                                 '"kind":"PodveilConfiguration","metadata":{"name":"other"}}')
        assert done.returncode == 1 and "the name must be default" in done.stderr
        assert c.control.get(f"{c.settings_path}/default")["spec"] == {}


def test_what_the_schema_lets_through_the_agent_refuses(calico):
    c = calico
    worker = c.node("wireguard-worker")
    c.set(wireguardMTU=100)
    wait_for(lambda: events(c, worker, "SettingRefused"), "an Event says so")
    message = events(c, worker, "SettingRefused")[-1]["message"]
    assert "wireguardMTU" in message and "576 to 65535" in message and "felixconfigurations" in message
    assert "mtu 1440" in worker.run("ip link show wireguard.cali")
    c.set(wireguardMTU=None)
    wait_for(lambda: not worker.agent.status()["refused"], "no problem is reported")


def test_conditions_and_events_without_a_key(calico):
    """An agent that cannot make its tunnel has no key to publish, but still publishes its condition and Events."""
    c = calico
    worker = c.node("wireguard-worker")
    known = len(events(c, worker, "SettingRefused"))
    with c.without_agent(worker):
        worker.run("ip route del default")
        c.set(wireguardMTU=101)
        try:
            c.start_agent(worker, ready=False)
            wait_for(lambda: c.condition(worker)["reason"] == "NotEverythingDone", "the condition says so")
            assert c.condition(worker)["status"] == "False" and "agent's log" in c.condition(worker)["message"]
            wait_for(lambda: len(events(c, worker, "SettingRefused")) > known, "an Event says so")
        finally:
            c.set(wireguardMTU=None)
            worker.run("ip route add default via 172.18.0.1")
    wait_for(lambda: c.condition(worker)["reason"] == "Encrypting", "no problem is reported", 20)


def test_a_foreign_device_has_the_name(calico):
    """If another program's device has the tunnel's name, the condition and an Event say whose it is and what to do."""
    c = calico
    worker = c.node("wireguard-worker")
    worker.agent.stop()
    worker.run([PODVEIL, "agent", "--cleanup"])
    worker.run("ip link add wireguard.cali type vxlan id 9 dstport 9999 dev eth0")
    c.start_agent(worker, ready=False)
    wait_for(lambda: (c.condition(worker) or {})["reason"] == "NameTaken", "the condition says so", 20)
    assert c.condition(worker)["status"] == "False" and "ip link delete wireguard.cali" in c.condition(worker)["message"]
    wait_for(lambda: events(c, worker, "NameTaken"), "an Event says so")
    worker.run("ip link delete wireguard.cali")
    c.wait_encrypted(30)
    wait_for(lambda: c.condition(worker)["reason"] == "Encrypting", "no problem is reported", 20)


def test_the_device_is_deleted_repeatedly(calico):
    """If another program deletes the tunnel's device again and again, the condition says so, names a possible cause, and says
    what to do."""
    c = calico
    worker = c.node("wireguard-worker2")
    for _ in range(3):
        index = worker.run("cat /sys/class/net/wireguard.cali/ifindex")
        worker.run("ip link delete wireguard.cali")
        wait_for(lambda: worker.run("cat /sys/class/net/wireguard.cali/ifindex 2>/dev/null || true") not in ("", index), "it is created again")
    wait_for(lambda: c.condition(worker)["reason"] == "DeviceDeleted", "the condition says so", 20)
    assert "Felix" in c.condition(worker)["message"] and "wireguardInterfaceName" in c.condition(worker)["message"]
    # A new agent has not seen these deletions.
    worker.agent.stop()
    c.start_agent(worker)
    wait_for(lambda: c.condition(worker)["reason"] == "Encrypting", "no problem is reported", 20)


BLOCK = {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock"}


def block(c, name, cidr, affinity, users=(), **more):
    """Makes or replaces an IPAM block in which each of `users` has an address, in this order."""
    names = sorted(set(users))
    spec = {"cidr": cidr, "affinity": affinity and f"host:{affinity}", "strictAffinity": False,
            "allocations": [names.index(u) for u in users], "unallocated": [],
            "attributes": [{"handle_id": u, "secondary": {"node": u, "type": "pod"}} for u in names],
            "deleted": False, **more}
    c.control.apply({**BLOCK, "metadata": {"name": name}, "spec": {k: v for k, v in spec.items() if v is not None}})


def test_ipam_blocks(calico):
    """Agents take the nodes' ranges from the IPAM blocks and follow all changes of blocks."""
    c = calico
    control, worker, worker2 = c.nodes
    at = "/apis/crd.projectcalico.org/v1/ipamblocks"
    keys = {n.name: public_key(n) for n in c.nodes}

    def has(node, *ranges):
        return lambda: allowed(control).get(keys[node.name]) == set(ranges)
    block(c, "10-250-0-0-26", "10.250.0.0/26", worker.name, [worker.name, worker2.name])
    wait_for(has(worker, "10.250.0.0/26"), "the block is its node's, and podCIDRs count no more")
    wait_for(has(worker2, "10.250.0.1/32"), "a borrowed address is its user's")
    assert "throw 10.250.0.1" in worker2.run("ip route show table 1")
    assert "throw 10.250.0.0/26" in worker.run("ip route show table 1")
    block(c, "10-250-0-0-26", "10.250.0.0/26", worker2.name, [worker.name, worker2.name])
    wait_for(has(worker2, "10.250.0.0/26"), "it has a new owner")
    wait_for(has(worker, "10.250.0.0/32"), "and the address that stays is borrowed now")
    # calico-node assigns the tunnel's address when it sees the key; until then the tunnel has none.
    assert "10.250" not in worker2.run("ip addr show wireguard.cali")
    c.annotate(worker2, "projectcalico.org/IPv4WireguardInterfaceAddr", "10.250.0.7")
    wait_for(lambda: "10.250.0.7/32" in worker2.run("ip addr show wireguard.cali"), "the assigned address")
    block(c, "10-250-0-0-26", "10.250.0.0/26", None)
    wait_for(has(worker), "the block is released")
    block(c, "10-250-0-64-26", "10.250.0.64/26", worker.name)
    wait_for(has(worker, "10.250.0.64/26"), "another block")
    block(c, "10-250-0-64-26", "10.250.0.64/26", worker.name, deleted=True)
    wait_for(has(worker), "marked as deleted")
    block(c, "nonsense", "10.250.0.0/77", worker.name)
    wait_for(lambda: "object=ipamblocks/nonsense" in control.agent.log(), "the invalid part is named")
    c.annotate(worker2, "projectcalico.org/IPv4WireguardInterfaceAddr", None)
    for name in ("10-250-0-0-26", "10-250-0-64-26", "nonsense"):
        c.control.delete(f"{at}/{name}")
    wait_for(has(worker, worker.pods4), "without blocks podCIDRs count again")
    c.wait_encrypted()
