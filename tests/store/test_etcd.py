# SPDX-License-Identifier: Apache-2.0
"""Agents whose store is a real etcd: TLS and users, restarts, compaction, partitions, leases that run out."""
import json
import os
import subprocess

import pytest

import pki
from cluster import Cluster
from daemon import Daemon
from hosts import PODVEIL, wait_for

ADDRESS = "172.18.0.1"
USER = "root:correct horse"


class EtcdCluster(Cluster):
    """etcd on the switch, with TLS, client certificates and users."""

    def __init__(self, directory, nodes=3, ttl=None):
        super().__init__(nodes)
        try:
            self.files = str(directory)
            authority = pki.Authority(self.files)
            certificate, key = authority.issue("etcd", "etcd", names=[ADDRESS, "127.0.0.1"])
            # With a common name etcd's gateway would refuse the client once users are on.
            client = authority.issue("client", None, ["podveil"])
            self.url = f"https://{ADDRESS}:2379"
            # The first endpoint is one where nobody is.
            self.store_url = f"etcd:https://{ADDRESS}:2999,{self.url}"
            self.env = {"ETCDCTL_CACERT": authority.path, "ETCDCTL_CERT": client[0], "ETCDCTL_KEY": client[1],
                        "ETCDCTL_USER": USER}
            self.etcd = Daemon(self.switch, "etcd", [
                "etcd", "--data-dir", "/run/etcd", "--listen-client-urls", self.url, "--advertise-client-urls",
                self.url, "--listen-peer-urls", "http://127.0.0.1:2380", "--cert-file", certificate, "--key-file", key,
                "--client-cert-auth", "--trusted-ca-file", authority.path, "--logger", "zap",
                "--auth-token-ttl", "5"], self.files, self._healthy)
            self.etcd.start()
            self.etcdctl("user", "add", USER, user=None)
            self.etcdctl("user", "grant-role", "root", "root", user=None)
            self.etcdctl("auth", "enable", user=None)
        except BaseException:
            self.close()
            raise

    def _healthy(self):
        return self.etcdctl("endpoint", "health", user=None, check=False).returncode == 0

    def etcdctl(self, *arguments, user=USER, check=True, stdin=None):
        env = {k: v for k, v in self.env.items() if k != "ETCDCTL_USER"}
        done = self.switch.run(
            ["etcdctl", "--endpoints", self.url, *(["--user", user] if user else []), *arguments],
            env={**env, "ETCDCTL_API": "3"}, check=False, stdin=stdin)
        if check:
            assert done.returncode == 0, done.stderr
            return done.stdout
        return done

    def close(self):
        if hasattr(self, "etcd"):
            self.etcd.kill()
        super().close()

    def start_agent(self, node, *arguments, env=None, **options):
        return super().start_agent(node, *arguments, env={**self.env, **(env or {})}, **options)

    def set(self, key="default", **settings):
        self.etcdctl("put", f"/podveil/config/{key}", json.dumps(settings))

    def record(self, node):
        text = self.etcdctl("get", f"/podveil/nodes/{node.name}", "--print-value-only")
        return json.loads(text) if text.strip() else None

    def wait_encrypted(self, seconds=15):
        wait_for(self.encrypted, "all nodes encrypt with all others", seconds)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory):
    with EtcdCluster(tmp_path_factory.mktemp("etcd")) as made:
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
    assert json.loads(c.etcdctl("get", "/podveil/config/default", "--print-value-only")) == {"wireguardEnabled": True}


def test_commands_at_the_same_time_lose_nothing(etcd):
    c, node = etcd, etcd.nodes[0]
    c.set("node.other")
    started = [node.start([PODVEIL, verb, *more, "--node", "other", "--store", c.store_url], env=c.env)
               for verb in ("enable", "disable") for more in ([], ["--ipv6"]) for _ in range(3)]
    assert [p.wait(30) for p in started] == [0] * len(started), [p.stdout.read() for p in started]
    settings = json.loads(c.etcdctl("get", "/podveil/config/node.other", "--print-value-only"))
    assert set(settings) == {"wireguardEnabled", "wireguardEnabledV6"}
    c.etcdctl("del", "/podveil/config/node.other")


def test_our_record_is_put_back(etcd):
    c, node = etcd, etcd.nodes[1]
    before = c.record(node)
    c.etcdctl("del", f"/podveil/nodes/{node.name}")
    wait_for(lambda: c.record(node) == before, "put back after it was deleted")
    c.etcdctl("put", f"/podveil/nodes/{node.name}", json.dumps({"name": node.name, "ipv4": "192.0.2.1"}))
    wait_for(lambda: c.record(node) == before, "put back after it was changed")
    c.wait_encrypted()


def test_a_lease_that_somebody_revokes(etcd):
    c, node = etcd, etcd.nodes[1]
    before = c.record(node)
    kv = json.loads(c.etcdctl("get", f"/podveil/nodes/{node.name}", "-w", "json"))["kvs"][0]
    c.etcdctl("lease", "revoke", f"{kv['lease']:x}")
    wait_for(lambda: c.record(node) == before, "it is there again")
    again = json.loads(c.etcdctl("get", f"/podveil/nodes/{node.name}", "-w", "json"))["kvs"][0]
    assert again["lease"] not in (0, kv["lease"])
    c.wait_encrypted()


def test_a_restart_and_compaction(etcd):
    """What happened while they did not hear of it, and was compacted away, is known after a new list."""
    c = etcd
    c.etcdctl("put", "/podveil/nodes/extra", json.dumps({
        "name": "extra", "ipv4": "172.18.0.77", "podCIDRs": ["10.244.77.0/26"], "wireguardPublicKey": "A" * 42 + "E="}))
    wait_for(lambda: "172.18.0.77" in peers(c.nodes[0]), "extra is a peer")
    for node in c.nodes:
        node.agent.process.send_signal(19)
    try:
        c.etcdctl("del", "/podveil/nodes/extra")
        c.set(wireguardEnabled=True, wireguardMTU=1410)
        revision = json.loads(c.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]
        c.etcdctl("compact", str(revision), "--physical")
        c.etcd.kill()
        c.etcd.start()
    finally:
        for node in c.nodes:
            node.agent.process.send_signal(18)
    wait_for(lambda: all("mtu 1410 " in n.run("ip link show wireguard.cali") for n in c.nodes), "the new MTU", 20)
    wait_for(lambda: "172.18.0.77" not in peers(c.nodes[0]), "extra is gone")
    assert c.encrypted()


def test_etcd_hangs(etcd):
    c = etcd
    lines = [n.agent.log() for n in c.nodes]
    c.etcd.pause()
    try:
        for node, log in zip(c.nodes, lines):
            wait_for(lambda: "etcd cannot be read" in node.agent.log()[len(log):], f"{node.name} notices", 32)
    finally:
        c.etcd.resume()
    assert c.encrypted()
    mtu(c, 1411, 30)


def test_tokens_run_out(etcd):
    """etcd forgets tokens that are not used for 5 s here; agents fetch new ones."""
    c = etcd
    node = c.nodes[1]
    wait_for(lambda: node.run("sleep 6; echo slept"), "time has passed", 20)
    c.etcdctl("del", f"/podveil/nodes/{node.name}")
    wait_for(lambda: c.record(node), "the record is written with a new token")
    assert "does not know us" not in node.agent.log()


def test_a_node_cut_off_from_etcd_is_no_stranger(etcd):
    """Its lease runs out, but it is reachable otherwise: its peers go on encrypting. Deleted by somebody, it is
    forgotten at once."""
    c = etcd
    left, right = c.nodes[1], c.nodes[2]
    client, server = (c.pod(n, f"pod-{n.name}") for n in (left, right))
    right.run(f"iptables -A OUTPUT -d {ADDRESS} -p tcp --dport 2379 -j DROP")
    try:
        # As if the minute were over: nobody keeps it alive.
        kv = json.loads(c.etcdctl("get", f"/podveil/nodes/{right.name}", "-w", "json"))["kvs"][0]
        c.etcdctl("lease", "revoke", f"{kv['lease']:x}")
        wait_for(lambda: not c.record(right), "its record is gone")
        wait_for(lambda: "record has run out" in left.agent.log(), "its peers hear of it")
        assert "172.18.0.4:51820" in peers(left)
        assert "5 received" in client.run(["ping", "-c", "5", "-i", "0.1", server.address])
        # Somebody else has its pods' range now: it is not coming back.
        c.etcdctl("put", "/podveil/nodes/heir", json.dumps({
            "name": "heir", "ipv4": "172.18.0.88", "podCIDRs": [right.pods4], "wireguardPublicKey": "A" * 42 + "E="}))
        wait_for(lambda: "172.18.0.4:51820" not in peers(left), "then it is forgotten")
        c.etcdctl("del", "/podveil/nodes/heir")
        wait_for(lambda: "172.18.0.88" not in peers(left), "what is deleted is gone at once")
    finally:
        right.run("iptables -F OUTPUT")
    wait_for(lambda: c.record(right), "it is back", 40)
    c.wait_encrypted(30)


def test_nonsense_is_named_and_others_go_on(etcd):
    c, node = etcd, etcd.nodes[0]
    before = node.agent.status()["store"]["errors"]
    for key, value in (("nodes/bad", "{"), ("nodes/other", '{"name": "another"}'), ("nodes/cidr",
                       '{"name": "cidr", "podCIDRs": ["10.0.0.0/99"]}'), ("config/default", "[1]"),
                       ("config/strange", "{}"), ("elsewhere", "x"), ("nodes/huge", "x" * 1200000)):
        c.etcdctl("put", f"/podveil/{key}", stdin=value)
    wait_for(lambda: "key=/podveil/nodes/huge" in node.agent.log(), "the last one is named")
    for key in ("nodes/bad", "nodes/other", "nodes/cidr", "config/default", "config/strange", "elsewhere"):
        assert f"key=/podveil/{key} problem=" in node.agent.log()
    assert node.agent.status()["store"]["errors"] >= before + 7
    assert c.encrypted(), "the settings that were good before stay"
    c.etcdctl("del", "/podveil/nodes/", "--prefix", user=USER)
    c.etcdctl("del", "/podveil/config/strange")
    c.etcdctl("del", "/podveil/elsewhere")
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
        c.etcdctl("txn", stdin="\n" + "\n".join(lines[at:at + 100]) + "\n\n\n")
    node.agent.kill()
    c.start_agent(node)
    c.wait_encrypted()
    assert json.loads(c.etcdctl("get", "/podveil/nodes/many-", "--prefix", "-w", "json"))["count"] == 1200
    # Each was told: one without a key is refused by nobody, and its range would be known if it had one.
    c.etcdctl("put", "/podveil/nodes/many-999", json.dumps({
        "name": "many-999", "ipv4": "172.18.0.66", "podCIDRs": ["10.244.99.0/26"], "wireguardPublicKey": "A" * 42 + "E="}))
    wait_for(lambda: "172.18.0.66" in peers(node), "the watch goes on behind the pages")
    wait_for(lambda: node.agent.kill() == -9, "it ends")
    c.start_agent(node)
    wait_for(lambda: "172.18.0.66" in peers(node), "it is in one of the pages")
    c.etcdctl("del", "/podveil/nodes/many-", "--prefix")


@pytest.mark.parametrize("change,says", [
    ({"ETCDCTL_USER": "root:wrong"}, "does not know us"),
    ({"ETCDCTL_USER": ""}, "etcd cannot be read"),
    ({"ETCDCTL_CACERT": "/etc/ssl/certs/ca-certificates.crt"}, "local issuer certificate"),
    ({"ETCDCTL_CERT": "", "ETCDCTL_KEY": ""}, f"endpoint=https://{ADDRESS}:2379"),
])
def test_who_may_not_is_told_so(etcd, change, says):
    c, node = etcd, etcd.nodes[0]
    node.agent.kill()
    c.start_agent(node, env=change, ready=False)
    wait_for(lambda: says in node.agent.log(), "it is said")
    assert not node.agent.status()["store"]["synced"]
    if change == {"ETCDCTL_USER": "root:wrong"}:
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
