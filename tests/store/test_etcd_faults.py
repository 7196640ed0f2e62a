# SPDX-License-Identifier: Apache-2.0
"""Faults between agents and a real etcd, and of etcd itself."""
import base64
import json
import os
import time

import pytest

from cluster import leaks
from etcd import CONFIG, NODES, EtcdCluster, EtcdMembers
from hosts import Capture, wait_for


def key_of(node):
    return NODES + node.name


def new_key():
    return base64.b64encode(os.urandom(32)).decode()


def stranger(name, number, key):
    return json.dumps({"name": name, "ipv4": f"172.18.0.{number}", "podCIDRs": [f"10.244.{number}.0/26"],
                       "wireguardPublicKey": key})


def peers(node):
    return set(node.run("wg show wireguard.cali peers").split())


def store_of(node):
    return node.agent.status()["store"]


def setting(node, name):
    return node.agent.status()["settings"][name]["value"]


def trouble(node):
    return (store_of(node)["trouble"] or {}).get("why", "")


def in_order(node):
    store = store_of(node)
    return store["synced"] and store["trouble"] is None and not store["held"]


def start(c, env=None, enable=True):
    for node in c.nodes:
        c.start_agent(node, env=env)
    if enable:
        c.podveil("enable")
        wait_for(c.encrypted, "all encrypt with all others", 15)


@pytest.fixture(scope="module")
def cluster():
    """Three nodes that encrypt; etcd has TLS, user and password."""
    with EtcdCluster(arguments=["--max-request-bytes=2000000"]) as made:
        start(made)
        yield made


def test_an_agent_takes_over_the_record_of_the_one_before(cluster):
    """An agent writes the record of the agent before it again, with its own lease. With the old lease, the record would vanish
    when that lease expires."""
    c, worker = cluster, cluster.node("wireguard-worker")
    before = c.etcd.get(key_of(worker))
    worker.agent.kill()
    c.start_agent(worker)
    after = wait_for(lambda: (r := c.etcd.get(key_of(worker))) and r["lease"] != before["lease"] and r, "another lease")
    assert after["value"] == before["value"]
    c.etcd.ctl("lease", "revoke", f"{before['lease']:x}")
    assert c.etcd.get(key_of(worker))["lease"] == after["lease"]
    wait_for(c.encrypted, "encrypted with all")


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
    wait_for(lambda: new in peers(worker), "the missed changes are there", 30)
    wait_for(lambda: old not in peers(worker), "what was deleted meanwhile is gone")
    wait_for(lambda: "mtu 1440" in worker.run("ip link show wireguard.cali"), "the setting is removed, too")
    wait_for(lambda: c.etcd.get(key_of(worker)), "its record is there again", 15)
    c.etcd.delete(NODES + "new")
    wait_for(c.encrypted, "encrypted with all", 30)


def test_plain_http_quiet_for_long_and_all_data_lost():
    with EtcdCluster(2, secure=False) as c:
        start(c)
        errors = [store_of(n)["errors"] for n in c.nodes]
        # With HTTP/1, an agent cannot check a watch's connection, so a quiet watch is no error.
        time.sleep(32)
        assert [store_of(n)["errors"] for n in c.nodes] == errors
        key = new_key()
        c.etcd.put(NODES + "late", stranger("late", 97, key))
        wait_for(lambda: all(key in peers(n) for n in c.nodes), "the watch runs")
        # Another etcd in its place, at an earlier revision: all data are lost, but nothing was deleted on purpose.
        c.configure(wireguardEnabled=True, podveilStrictMode=True)
        wait_for(lambda: all(setting(n, "podveilStrictMode") == "true" for n in c.nodes), "strict")
        left, right = c.nodes
        client, server = c.pod(left, "client"), c.pod(right, "server")
        capture = Capture(left, "eth0")
        traffic = client.start(["ping", "-n", "-q", "-i", "0.01", server.address])
        c.etcd.daemon.stop()
        c.switch.run("rm -rf /run/etcd")
        left.agent.kill()  # while etcd is away
        c.start_agent(left, ready=False)
        wait_for(c.encrypted, "encrypted with all after a restart")
        assert setting(left, "podveilStrictMode") == "true"
        c.etcd.daemon.start()
        for node in c.nodes:
            wait_for(lambda: "settings: 1 are missing" in trouble(node), f"{node.name} says what is lost", 20)
        wait_for(lambda: all(c.etcd.get(key_of(n)) for n in c.nodes), "records are put again", 20)
        left.agent.kill()  # while etcd has no settings
        c.start_agent(left)
        wait_for(c.encrypted, "encrypted with all after a restart")
        assert "settings: 1 are missing" in trouble(left)
        for node in c.nodes:
            assert setting(node, "podveilStrictMode") == setting(node, "wireguardEnabled") == "true"
            assert key in peers(node)
        # The administrator writes the settings again. To remove an old record, it is written and deleted.
        c.configure(wireguardEnabled=True, podveilStrictMode=False)
        c.etcd.put(NODES + "late", stranger("late", 97, key))
        wait_for(lambda: all(in_order(n) for n in c.nodes), "no problem is reported", 20)
        assert setting(left, "podveilStrictMode") == "false"
        c.etcd.delete(NODES + "late")
        wait_for(lambda: not any(key in peers(n) for n in c.nodes), "it is removed")
        traffic.send_signal(2)
        traffic.communicate(timeout=60)
        capture.stop()
        assert not leaks(capture.packets())
        # The administrator deletes all settings.
        c.etcd.delete(CONFIG + "default")
        wait_for(lambda: all(setting(n, "wireguardEnabled") == "false" for n in c.nodes), "encryption is off")


def test_a_member_that_lost_the_others():
    """A member that is cut off from the others accepts connections and answers, but learns nothing new. Agents that watch there
    change to another member within seconds."""
    with EtcdMembers() as c:
        start(c)
        first, node = c.members[0], c.nodes[1]
        c.cut_off(first)
        try:
            wait_for(lambda: "no leader" in node.agent.log(), "the member says so", 10)
            c.configure(wireguardMTU=1400)
            for n in c.nodes:
                wait_for(lambda: "mtu 1400" in n.run("ip link show wireguard.cali"), f"{n.name}: it is known", 5)
            c.podveil("disable", "--ipv6")
            wait_for(lambda: all(c.etcd.get(key_of(n)) for n in c.nodes), "records are there")
            errors = [store_of(n)["errors"] for n in c.nodes]
            key = new_key()
            c.etcd.put(NODES + "late", stranger("late", 97, key))
            wait_for(lambda: all(key in peers(n) for n in c.nodes), "the watches run", 5)
            assert [store_of(n)["errors"] for n in c.nodes] == errors
        finally:
            c.rejoin(first)
        assert c.encrypted()


def gateway_put(c, key, value):
    """Writes a value through etcd's gateway, because etcdctl's put accepts at most 2 MiB."""
    text = json.dumps({"key": base64.b64encode(key.encode()).decode(), "value": base64.b64encode(value).decode()})
    c.switch.run(["curl", "-sf", "--data-binary", "@-", c.etcd.url + "/v3/kv/put"], stdin=text)


def test_values_too_large_to_read():
    """Values that are too large are skipped and reported once; agents know all others."""
    with EtcdCluster(2, secure=False, arguments=["--max-request-bytes=16000000"]) as c:
        known, node = c.nodes
        c.start_agent(known)
        c.podveil("enable")
        big = b"x" * (4 << 20)
        for name in ("m-big", "z-big"):
            gateway_put(c, NODES + name, big)
        for i in range(40):  # some of these come in the same answer as a large value
            c.etcd.put(NODES + f"s{i}", stranger(f"s{i}", 100 + i, new_key()))
        gateway_put(c, CONFIG + "node." + known.name, big)
        c.start_agent(node)
        for n in c.nodes:
            for key in (NODES + "m-big", NODES + "z-big", CONFIG + "node." + known.name):
                wait_for(lambda: f'key={key} problem="the value is larger than 3 MiB"' in n.agent.log(), "it is named")
            wait_for(lambda: len(peers(n)) == 41, "all others are known")
        wait_for(c.encrypted, "encrypted with all")
        # After a new list, the agent does not report them again.
        c.etcd.delete(NODES + "s0")
        gateway_put(c, NODES + "a-big", big)
        for n in c.nodes:
            wait_for(lambda: f"{NODES}a-big problem" in n.agent.log(), "the new one is named")
            assert n.agent.log().count("m-big") == 1
            assert "cannot be read" not in n.agent.log()
        # The agent writes its own record again.
        gateway_put(c, key_of(node), big)
        wait_for(lambda: c.etcd.get(key_of(node))["value"].startswith("{"), "it is put back")
        wait_for(c.encrypted, "encrypted with all")
        # The `enable` command says why it fails.
        done = c.podveil("enable", "--node", known.name, check=False)
        assert done.returncode == 1 and "larger than 4 MiB" in done.stderr
