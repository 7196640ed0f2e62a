# SPDX-License-Identifier: Apache-2.0
"""Agents with a real etcd as their store: TLS and users, restarts, compaction, partitions, expired leases."""
import json
import os
import subprocess

import pytest

from etcd import EtcdCluster
from hosts import PODVEIL, wait_for

ADDRESS = "172.18.0.1"


class Store(EtcdCluster):
    """A cluster with client certificates and short-lived tokens. At the first endpoint, no server listens."""

    def __init__(self):
        super().__init__(client_certificates=True, arguments=["--auth-token-ttl=5"])
        # With users enabled, etcd's gateway refuses client certificates that have a common name.
        certificate, key = self.etcd.authority.issue("client", None, ["podveil"])
        self.etcd.environment.update({"ETCDCTL_CERT": certificate, "ETCDCTL_KEY": key})
        self.env = self.etcd.environment
        self.store_url = f"etcd:https://{ADDRESS}:2999,{self.etcd.url}"

    def set(self, key="default", **settings):
        self.etcd.put(f"/podveil/config/{key}", json.dumps(settings))

    def wait_encrypted(self, seconds=15):
        wait_for(self.encrypted, "all nodes encrypt with all others", seconds)


@pytest.fixture(scope="module")
def etcd():
    with Store() as made:
        for node in made.nodes:
            made.start_agent(node)
        made.set(wireguardEnabled=True)
        made.wait_encrypted()
        yield made


def peers(node):
    return node.run("wg show wireguard.cali endpoints")


def mtu(c, value, seconds=15):
    c.set(wireguardEnabled=True, wireguardMTU=value)
    for node in c.nodes:
        wait_for(lambda: f"mtu {value} " in node.run("ip link show wireguard.cali"), f"{node.name}: MTU {value}", seconds)


def test_enable_and_disable(etcd):
    c = etcd
    done = c.nodes[0].run([PODVEIL, "disable", "--store", c.store_url], env=c.env)
    assert done == "wireguardEnabled: false for the cluster\n"
    wait_for(lambda: all("wireguardPublicKey" not in c.record(n) for n in c.nodes), "the keys are gone")
    c.nodes[0].run([PODVEIL, "enable", "--store", c.store_url], env=c.env)
    c.wait_encrypted()
    assert json.loads(c.etcd.ctl("get", "/podveil/config/default", "--print-value-only")) == {"wireguardEnabled": True}


def test_commands_at_the_same_time_lose_nothing(etcd):
    c, node = etcd, etcd.nodes[0]
    c.set("node.other")
    started = [node.start([PODVEIL, verb, *more, "--node", "other", "--store", c.store_url], env=c.env)
               for verb in ("enable", "disable") for more in ([], ["--ipv6"]) for _ in range(3)]
    assert [p.wait(30) for p in started] == [0] * len(started), [p.stdout.read() for p in started]
    settings = json.loads(c.etcd.ctl("get", "/podveil/config/node.other", "--print-value-only"))
    assert set(settings) == {"wireguardEnabled", "wireguardEnabledV6"}
    c.etcd.ctl("del", "/podveil/config/node.other")


def test_our_record_is_put_back(etcd):
    c, node = etcd, etcd.nodes[1]
    before = c.record(node)
    c.etcd.ctl("del", f"/podveil/nodes/{node.name}")
    wait_for(lambda: c.record(node) == before, "put back after it was deleted")
    c.etcd.ctl("put", f"/podveil/nodes/{node.name}", json.dumps({"name": node.name, "ipv4": "192.0.2.1"}))
    wait_for(lambda: c.record(node) == before, "put back after it was changed")
    c.wait_encrypted()


def test_a_revoked_lease(etcd):
    c, node = etcd, etcd.nodes[1]
    before = c.record(node)
    kv = json.loads(c.etcd.ctl("get", f"/podveil/nodes/{node.name}", "-w", "json"))["kvs"][0]
    c.etcd.ctl("lease", "revoke", f"{kv['lease']:x}")
    wait_for(lambda: c.record(node) == before, "it is there again")
    again = json.loads(c.etcd.ctl("get", f"/podveil/nodes/{node.name}", "-w", "json"))["kvs"][0]
    assert again["lease"] not in (0, kv["lease"])
    c.wait_encrypted()


def test_a_restart_and_compaction(etcd):
    """Agents learn of changes that they missed during a restart of etcd and that were compacted away, by a new list."""
    c = etcd
    c.etcd.ctl("put", "/podveil/nodes/extra", json.dumps({
        "name": "extra", "ipv4": "172.18.0.77", "podCIDRs": ["10.244.77.0/26"], "wireguardPublicKey": "A" * 42 + "E="}))
    wait_for(lambda: "172.18.0.77" in peers(c.nodes[0]), "extra is a peer")
    for node in c.nodes:
        node.agent.process.send_signal(19)
    try:
        c.etcd.ctl("del", "/podveil/nodes/extra")
        c.set(wireguardEnabled=True, wireguardMTU=1410)
        revision = json.loads(c.etcd.ctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        c.etcd.ctl("compact", str(revision), "--physical")
        c.etcd.daemon.kill()
        c.etcd.daemon.start()
    finally:
        for node in c.nodes:
            node.agent.process.send_signal(18)
    wait_for(lambda: all("mtu 1410 " in n.run("ip link show wireguard.cali") for n in c.nodes), "the new MTU", 20)
    wait_for(lambda: "172.18.0.77" not in peers(c.nodes[0]), "extra is gone")
    assert c.encrypted()


def test_etcd_hangs(etcd):
    c = etcd
    lines = [n.agent.log() for n in c.nodes]
    c.etcd.daemon.pause()
    try:
        for node, log in zip(c.nodes, lines):
            wait_for(lambda: "etcd cannot be read" in node.agent.log()[len(log):], f"{node.name} notices", 32)
    finally:
        c.etcd.daemon.resume()
    assert c.encrypted()
    mtu(c, 1411, 30)


def test_tokens_run_out(etcd):
    """etcd here forgets tokens that are unused for 5 s; agents get new ones."""
    c = etcd
    node = c.nodes[1]
    wait_for(lambda: node.run("sleep 6; echo slept"), "time has passed", 20)
    c.etcd.ctl("del", f"/podveil/nodes/{node.name}")
    wait_for(lambda: c.record(node), "the record is written with a new token")
    assert "etcd refused our user or password" not in node.agent.log()


def test_a_node_cut_off_from_etcd_stays_known(etcd):
    """When a node is cut off from etcd and its lease expires, its peers still reach it and continue to encrypt. They forget it
    when another node gets its pods' range. A node whose record is deleted is forgotten at once."""
    c = etcd
    left, right = c.nodes[1], c.nodes[2]
    client, server = (c.pod(n, f"pod-{n.name}") for n in (left, right))
    right.run(f"iptables -A OUTPUT -d {ADDRESS} -p tcp --dport 2379 -j DROP")
    try:
        # The lease ends, as it would after a minute without a keep-alive.
        kv = json.loads(c.etcd.ctl("get", f"/podveil/nodes/{right.name}", "-w", "json"))["kvs"][0]
        c.etcd.ctl("lease", "revoke", f"{kv['lease']:x}")
        wait_for(lambda: not c.record(right), "its record is gone")
        wait_for(lambda: "a node's lease expired" in left.agent.log(), "its peers know of it")
        assert "172.18.0.4:51820" in peers(left)
        assert "5 received" in client.run(["ping", "-c", "5", "-i", "0.1", server.address])
        # Another node has its pods' range now, so it will not come back.
        c.etcd.ctl("put", "/podveil/nodes/heir", json.dumps({
            "name": "heir", "ipv4": "172.18.0.88", "podCIDRs": [right.pods4, right.pods6], "wireguardPublicKey": "A" * 42 + "E="}))
        wait_for(lambda: "172.18.0.4:51820" not in peers(left), "the node is forgotten")
        c.etcd.ctl("del", "/podveil/nodes/heir")
        wait_for(lambda: "172.18.0.88" not in peers(left), "deleted objects are removed at once")
    finally:
        right.run("iptables -F OUTPUT")
    wait_for(lambda: c.record(right), "it is there again", 40)
    c.wait_encrypted(30)


def test_nonsense_is_named_and_others_go_on(etcd):
    c, node = etcd, etcd.nodes[0]
    before = node.agent.status()["store"]["errors"]
    for key, value in (("nodes/bad", "{"), ("nodes/other", '{"name": "another"}'), ("nodes/cidr",
                       '{"name": "cidr", "podCIDRs": ["10.0.0.0/99"]}'), ("config/default", "[1]"),
                       ("config/strange", "{}"), ("elsewhere", "x"), ("nodes/huge", "x" * 1200000)):
        c.etcd.ctl("put", f"/podveil/{key}", stdin=value)
    wait_for(lambda: "key=/podveil/nodes/huge" in node.agent.log(), "the last one is named")
    for key in ("nodes/bad", "nodes/other", "nodes/cidr", "config/default", "config/strange", "elsewhere"):
        assert f"key=/podveil/{key} problem=" in node.agent.log()
    assert node.agent.status()["store"]["errors"] >= before + 7
    assert c.encrypted(), "the settings that were good before stay"
    c.etcd.ctl("del", "/podveil/nodes/", "--prefix")
    c.etcd.ctl("del", "/podveil/config/strange")
    c.etcd.ctl("del", "/podveil/elsewhere")
    c.set(wireguardEnabled=True)
    wait_for(lambda: all(c.record(n) for n in c.nodes), "all records are back")
    c.wait_encrypted()


def test_many_nodes_come_in_pages(etcd):
    c, node = etcd, etcd.nodes[0]
    text = "".join(f'put /podveil/nodes/many-{i} "{{\\"name\\":\\"many-{i}\\",\\"ipv4\\":\\"10.9.{i // 250}.{i % 250}\\"}}"\n'
                   for i in range(1200))
    # A transaction holds 128 operations.
    lines = text.splitlines()
    for at in range(0, len(lines), 100):
        c.etcd.ctl("txn", stdin="\n" + "\n".join(lines[at:at + 100]) + "\n\n\n")
    node.agent.kill()
    c.start_agent(node)
    c.wait_encrypted()
    assert json.loads(c.etcd.ctl("get", "/podveil/nodes/many-", "--prefix", "-w", "json"))["count"] == 1200
    # The watch continues after the list, which came in pages.
    c.etcd.ctl("put", "/podveil/nodes/many-999", json.dumps({
        "name": "many-999", "ipv4": "172.18.0.66", "podCIDRs": ["10.244.99.0/26"], "wireguardPublicKey": "A" * 42 + "E="}))
    wait_for(lambda: "172.18.0.66" in peers(node), "the watch goes on behind the pages")
    wait_for(lambda: node.agent.kill() == -9, "it ends")
    c.start_agent(node)
    wait_for(lambda: "172.18.0.66" in peers(node), "it is in one of the pages")
    c.etcd.ctl("del", "/podveil/nodes/many-", "--prefix")


@pytest.mark.parametrize("change,says", [
    ({"ETCDCTL_USER": "podveil:wrong"}, "etcd refused our user or password"),
    ({"ETCDCTL_USER": ""}, "etcd cannot be read"),
    ({"ETCDCTL_CACERT": "/etc/ssl/certs/ca-certificates.crt"}, "local issuer certificate"),
    ({"ETCDCTL_CERT": "", "ETCDCTL_KEY": ""}, f"endpoint=https://{ADDRESS}:2379"),
])
def test_missing_rights_are_reported(etcd, change, says):
    c, node = etcd, etcd.nodes[0]
    node.agent.kill()
    c.start_agent(node, env=change, ready=False)
    wait_for(lambda: says in node.agent.log(), "the log says so")
    assert not node.agent.status()["store"]["synced"]
    if change == {"ETCDCTL_USER": "podveil:wrong"}:
        done = node.run([PODVEIL, "enable", "--store", c.store_url], env={**c.env, **change}, check=False)
        assert done.returncode == 1 and "settings were not changed" in done.stderr
    node.agent.kill()
    c.start_agent(node)
    c.wait_encrypted()


@pytest.mark.parametrize("url", ["etcd:", "etcd:10.0.0.1:2379", "etcd:https://a,,https://b"])
def test_bad_urls(url):
    done = subprocess.run([PODVEIL, "enable", "--store", url], capture_output=True, text=True,
                          env={"PATH": os.environ["PATH"]})
    assert done.returncode == 1 and "needs=\"etcd:https://HOST:PORT" in done.stderr
