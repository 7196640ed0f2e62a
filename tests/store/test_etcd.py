# SPDX-License-Identifier: Apache-2.0
"""Agents and a real etcd: records and settings come and go, whatever happens to it and between."""
import base64
import json
import os
import subprocess
import time

import pytest

import pki
from etcd import CONFIG, NODES, Etcd, EtcdCluster
from hosts import PODVEIL, Host, wait_for

def key_of(node):
    return NODES + node.name


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def stranger(name, number, key):
    return json.dumps({"name": name, "ipv4": f"172.18.0.{number}", "podCIDRs": [f"10.244.{number}.0/26"],
                       "wireguardPublicKey": key})


def peers(node):
    return set(node.run("wg show wireguard.cali peers").split())


def public_key(node):
    return node.run("wg show wireguard.cali public-key").strip()


def store_of(node):
    return node.agent.status()["store"]


def record(c, node):
    there = c.etcd.get(key_of(node))
    return there and json.loads(there["value"])


def start(c, env=None, enable=True):
    for node in c.nodes:
        c.start_agent(node, env=env)
    if enable:
        c.podveil("enable")
        wait_for(c.encrypted, "all encrypt with all others", 15)


@pytest.fixture(scope="module")
def cluster():
    """Three nodes, encrypted; TLS, user and password."""
    with EtcdCluster(arguments=["--max-request-bytes=2000000"]) as made:
        start(made)
        yield made


def test_a_record_comes_changes_and_goes(cluster):
    c = cluster
    one, two = new_key(), new_key()
    c.etcd.put(NODES + "stranger", stranger("stranger", 99, one))
    wait_for(lambda: all(one in peers(n) for n in c.nodes), "it is a peer")
    c.etcd.put(NODES + "stranger", stranger("stranger", 99, two))
    wait_for(lambda: all(two in peers(n) and one not in peers(n) for n in c.nodes), "it has another key")
    c.etcd.delete(NODES + "stranger")
    wait_for(lambda: not any(two in peers(n) for n in c.nodes), "it is gone")


def test_our_record_is_put_back(cluster):
    c = cluster
    worker = c.node("wireguard-worker")
    good = c.etcd.get(key_of(worker))

    def is_back():
        there = c.etcd.get(key_of(worker))
        return there and (there["value"], there.get("lease")) == (good["value"], good["lease"])
    c.etcd.delete(key_of(worker))
    wait_for(is_back, "deleted")
    for value in (stranger(worker.name, 98, new_key()), "nothing at all", "", good["value"] + " "):
        c.etcd.put(key_of(worker), value)
        wait_for(is_back, f"changed to {value[:20]}")
    # The same without the lease would stay for ever.
    c.etcd.put(key_of(worker), good["value"])
    assert wait_for(is_back, "put under the lease again")
    # The lease itself.
    c.etcd.ctl("lease", "revoke", f"{good['lease']:x}")
    back = wait_for(lambda: c.etcd.get(key_of(worker)), "a new lease")
    assert back["value"] == good["value"] and back["lease"] not in (0, good["lease"])
    wait_for(c.encrypted, "encrypted with all")


def test_an_agent_takes_over_the_record_of_the_one_before(cluster):
    """The same record, but under its own lease: with that of the dead one it would go, and nobody put it again."""
    c, worker = cluster, cluster.node("wireguard-worker")
    before = c.etcd.get(key_of(worker))
    worker.agent.kill()
    c.start_agent(worker)
    after = wait_for(lambda: (r := c.etcd.get(key_of(worker))) and r["lease"] != before["lease"] and r, "another lease")
    assert after["value"] == before["value"]
    c.etcd.ctl("lease", "revoke", f"{before['lease']:x}")
    assert c.etcd.get(key_of(worker))["lease"] == after["lease"]
    wait_for(c.encrypted, "encrypted with all")


def test_etcd_restarts(cluster):
    c = cluster
    c.etcd.daemon.stop()
    wait_for(lambda: all(store_of(n)["errors"] for n in c.nodes), "it is noticed")
    assert c.encrypted()  # what is known stays in force
    done = c.podveil("disable", check=False)
    assert done.returncode == 1 and "No route to host" in done.stderr, done.stderr
    c.etcd.daemon.start()
    key = new_key()
    c.etcd.put(NODES + "late", stranger("late", 97, key))
    # All tokens are void now.
    wait_for(lambda: all(key in peers(n) for n in c.nodes), "what is new comes", 15)
    c.etcd.delete(NODES + "late")
    wait_for(lambda: not any(key in peers(n) for n in c.nodes), "and goes")
    c.etcd.delete(key_of(c.nodes[1]))
    wait_for(lambda: c.etcd.get(key_of(c.nodes[1])), "records are put again")
    wait_for(c.encrypted, "encrypted with all", 15)


def test_compaction_during_a_partition(cluster):
    c = cluster
    worker = c.node("wireguard-worker")
    old, new = new_key(), new_key()
    c.etcd.put(NODES + "old", stranger("old", 96, old))
    c.configure("wireguard-worker", wireguardMTU=1400)
    wait_for(lambda: old in peers(worker) and "mtu 1400" in worker.run("ip link show wireguard.cali"), "it is known")
    errors = store_of(worker)["errors"]
    c.switch.run(f"ip link set port{worker.index} down")
    try:
        c.etcd.delete(NODES + "old")
        c.etcd.delete(CONFIG + "node.wireguard-worker")
        c.etcd.put(NODES + "new", stranger("new", 95, new))
        c.etcd.compact()
        wait_for(lambda: store_of(worker)["errors"] > errors, "the dead connection is noticed", 40)
        assert old in peers(worker)
    finally:
        c.switch.run(f"ip link set port{worker.index} up")
    wait_for(lambda: new in peers(worker), "what was missed is there", 30)
    assert old not in peers(worker)
    wait_for(lambda: "mtu 1440" in worker.run("ip link show wireguard.cali"), "the setting has gone, too")
    wait_for(lambda: c.etcd.get(key_of(worker)), "its record is there again", 15)
    c.etcd.delete(NODES + "new")
    wait_for(c.encrypted, "encrypted with all", 30)


def test_garbage_and_huge_values(cluster):
    c = cluster
    worker, key = c.node("wireguard-worker"), new_key()
    c.etcd.put(NODES + "fat", stranger("fat", 94, key))
    wait_for(lambda: key in peers(worker), "good at first")
    problems = {
        "{": "line 1", '{"name": "thin"}': "not that of the key", "[]": "object",
        json.dumps({"name": "fat", "podCIDRs": ["10.0.0.0/40"]}): "podCIDRs[0]", "x" * 1200000: "larger than",
    }
    for value, problem in problems.items():
        c.etcd.put(NODES + "fat", value)
        wait_for(lambda p=problem: "nodes/fat" in store_of(worker)["lastError"] and p in store_of(worker)["lastError"],
                 f"{value[:30]} is named: {problem}")
        assert key in peers(worker)  # what was good stays
    # Larger than what is taken from a watch: what it was is found by a new list.
    errors = store_of(worker)["errors"]
    c.etcd.put(NODES + "fat", "x" * 1600000)
    wait_for(lambda: store_of(worker)["errors"] > errors, "it is named")
    assert "nodes/fat: larger than" in store_of(worker)["lastError"]
    assert key in peers(worker) and c.encrypted()
    c.etcd.put("/podveil/else", "what is this")
    c.etcd.put(CONFIG + "default", "{nonsense")
    wait_for(lambda: "config/default: line 1" in store_of(worker)["lastError"], "the settings are named")
    done = c.podveil("disable", check=False)
    assert done.returncode == 1 and "no JSON object" in done.stderr
    assert c.etcd.get(CONFIG + "default")["value"] == "{nonsense" and c.encrypted()
    c.etcd.put(CONFIG + "default", '{"wireguardEnabled": true}')
    c.etcd.delete(NODES + "fat")
    wait_for(lambda: key not in peers(worker), "it is gone")


def test_more_than_a_page(cluster):
    c = cluster
    names = [f"n{i:04}" for i in range(1203)]
    for at in range(0, len(names), 100):
        puts = "".join(f"put {NODES}{n} '{json.dumps({'name': n})}'\n" for n in names[at:at + 100])
        c.etcd.ctl("txn", stdin=f"\n{puts}\n\n")
    last = new_key()
    c.etcd.put(NODES + "zz", stranger("zz", 93, last))
    worker = c.node("wireguard-worker")
    worker.agent.stop()
    c.start_agent(worker)
    wait_for(lambda: last in peers(worker), "the last of the list")
    c.etcd.delete("--prefix", NODES + "n")
    c.etcd.delete(NODES + "zz")
    wait_for(lambda: last not in peers(worker), "gone")


def agent_says(host, url, env):
    """Exit code and output of an agent that cannot start, or cannot read its store."""
    done = host.run(["timeout", "4", PODVEIL, "agent", "--node", "lonely", "--uplink", "lo", "--node-ip", "127.0.0.1",
                     "--store", url], check=False, env=env)
    return done.returncode, done.stdout + done.stderr


def test_who_is_not_let_in_is_told_why(tmp_path):
    with Host("server") as host:
        etcd = Etcd(host, str(tmp_path), "127.0.0.1")
        good, url = etcd.environment, "etcd:" + etcd.url
        os.makedirs(tmp_path / "other")
        other = pki.Authority(str(tmp_path / "other"))
        for env, says in (
                ({**good, "ETCDCTL_CACERT": other.path}, "certificate"),
                ({"ETCDCTL_USER": good["ETCDCTL_USER"]}, "certificate"),
                ({**good, "ETCDCTL_USER": "podveil:wrong"}, "invalid user ID or password"),
                ({**good, "ETCDCTL_USER": ""}, "user name is empty")):
            code, out = agent_says(host, url, env)
            assert code in (0, 124) and "etcd cannot be read" in out and says in out, (env, out)
            assert out.count("etcd cannot be read") == 1 and "wrong" not in out
            done = host.run([PODVEIL, "enable", "--store", url], check=False, env=env)
            assert done.returncode == 1 and says in done.stderr, (env, done.stderr)
        for env, where, says in (
                ({**good, "ETCDCTL_CACERT": "/nowhere"}, url, "ETCDCTL_CACERT"),
                ({**good, "ETCDCTL_CERT": good["ETCDCTL_CACERT"]}, url, "ETCDCTL_KEY"),
                ({**good, "ETCDCTL_USER": "podveil"}, url, "password"),
                (good, "etcd:", "https://HOST:PORT"), (good, "etcd:127.0.0.1:2379", "https://HOST:PORT"),
                (good, url + ",", "https://HOST:PORT"), (good, "etcd:https://u:p@h:1", "https://HOST:PORT")):
            code, out = agent_says(host, where, env)
            assert code == 1 and says in out, (env, where, out)
        # The role ends at /podveil/; etcdctl's own variable names the endpoints.
        done = host.run([PODVEIL, "enable", "--store", "etcd:"], env={**good, "ETCDCTL_ENDPOINTS": etcd.url})
        assert done == "wireguardEnabled: true for the cluster\n"
        etcd.ctl("role", "revoke-permission", "podveil", "/podveil/", "/podveil0")
        done = host.run([PODVEIL, "disable", "--store", url], env=good, check=False)
        assert done.returncode == 1 and "permission denied" in done.stderr


def test_a_token_that_expires():
    with EtcdCluster(2, arguments=["--auth-token-ttl=2"]) as c:
        start(c)
        worker = c.nodes[1]
        for _ in range(2):
            time.sleep(5)  # it lapses when it is not used for so long
            c.etcd.delete(key_of(worker))
            wait_for(lambda: c.etcd.get(key_of(worker)), "the record is put again")
        key = new_key()
        c.etcd.put(NODES + "late", stranger("late", 97, key))
        wait_for(lambda: all(key in peers(n) for n in c.nodes), "the watch stands")
        assert "invalid auth token" not in worker.agent.log()


def test_endpoints_one_of_them_dead():
    more = "https://172.18.0.1:2389"
    with EtcdCluster(2, more_urls=[more]) as c:
        first = c.etcd.url
        c.store_url = f"etcd:https://172.18.0.1:9999,{first},{more}"
        start(c)
        # The one in use vanishes without a word.
        c.switch.run("nft add table inet t && nft 'add chain inet t in { type filter hook input priority 0; }' && "
                     "nft add rule inet t in tcp dport 2379 drop")
        key = new_key()
        c.etcd.admin["ETCDCTL_ENDPOINTS"] = more
        c.etcd.put(NODES + "late", stranger("late", 97, key))
        wait_for(lambda: all(key in peers(n) for n in c.nodes), "told by the other one", 40)
        assert all(c.etcd.get(key_of(n)) for n in c.nodes) or wait_for(
            lambda: all(c.etcd.get(key_of(n)) for n in c.nodes), "records are put again", 20)
        assert "true" in c.podveil("enable")


def test_plain_http_quiet_for_long_and_all_data_lost():
    with EtcdCluster(2, secure=False) as c:
        start(c)
        errors = [store_of(n)["errors"] for n in c.nodes]
        # Over HTTP/1 nobody can ask on a watch's connection: that it is quiet says nothing.
        time.sleep(32)
        assert [store_of(n)["errors"] for n in c.nodes] == errors
        key = new_key()
        c.etcd.put(NODES + "late", stranger("late", 97, key))
        wait_for(lambda: all(key in peers(n) for n in c.nodes), "the watch stands")
        # Another etcd in its place, at an earlier revision.
        c.etcd.daemon.stop()
        c.switch.run("rm -rf /run/etcd")
        c.etcd.daemon.start()
        c.etcd.put(CONFIG + "default", '{"wireguardEnabled": true}')
        wait_for(lambda: not any(key in peers(n) for n in c.nodes), "what it has not is gone", 20)
        wait_for(lambda: all(c.etcd.get(key_of(n)) for n in c.nodes), "records are put again", 20)
        wait_for(c.encrypted, "encrypted with all", 20)
