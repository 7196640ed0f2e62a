# SPDX-License-Identifier: Apache-2.0
"""A missing store is not an empty one. When an agent loses its directory, in each possible way, and is also restarted
meanwhile, nothing leaves in plain, no setting is lost, and the status says what is wrong."""
import json
import os

import pytest

from agents import enable, get, judge, record, write_record
from cluster import Cluster
from lab import PODVEIL, Capture, wait_for
from traffic import ping
import workload
from workload import Steady

HERE = "/run/store"  # the worker's mount point for the store
STRICT = {"podveilStrictMode": True, "podveilStrictCIDRs": ["10.244.0.0/16", "fd00:10:244::/48"]}


class Mounted(Cluster):
    """A cluster whose second node mounts the store, as it would a network file system."""

    def mount(self):
        self.nodes[1].run(f"mkdir -p {HERE} && mount --bind {self.store} {HERE}")

    def start_agent(self, node, *arguments, **options):
        url, self.store_url = self.store_url, f"dir:{HERE}" if node is self.nodes[1] else self.store_url
        try:
            return super().start_agent(node, *arguments, **options)
        finally:
            self.store_url = url


@pytest.fixture(scope="module")
def cluster():
    with Mounted(3) as c:
        c.client = c.pod(c.nodes[1], "frontend-client")
        c.server = c.pod(c.nodes[2], "backend-api")
        workload.backend(c.server)
        os.makedirs(c.store)
        c.mount()
        for node in c.nodes:
            c.start_agent(node)
        enable(c)
        c.save = os.path.join(c.directory.name, "save")
        wait_for(lambda: in_order(c.nodes[1]), "the store is in order")
        yield c


def store_of(node):
    return (node.agent.status() or {}).get("store", {})


def in_order(node):
    store = store_of(node)
    return store and store["synced"] and store["trouble"] is None and not store["held"]


def setting(node, name):
    return node.agent.status()["settings"][name]["value"]


def metric(node, name):
    return next(float(line.split()[1]) for line in get(node, "/metrics")[1].splitlines()
                if line.startswith(name + " "))


NODES, CONFIG = f"{HERE}/nodes", f"{HERE}/config"
BACK = "umount -l {HERE} 2>/dev/null; mount --bind {store} {HERE}"
# Fault: (command that causes it, command that ends it, what the status says). Only the worker's mount is affected.
FAULTS = {
    "unmounted": ("umount {HERE}", "mount --bind {store} {HERE}", "No such file"),
    "unmounted lazily": ("umount -l {HERE}", "mount --bind {store} {HERE}", "No such file"),
    "an empty one above it": ("mount -t tmpfs none {HERE}", "umount {HERE}", "No such file"),
    "another one above it": ("mount -t tmpfs none {HERE} && mkdir {HERE}/nodes {HERE}/config", "umount {HERE}",
                             ".identity is missing"),
    "nodes empty": ("mount -t tmpfs none {HERE}/nodes", "umount {HERE}/nodes", "was replaced"),
    "config empty": ("mount -t tmpfs none {HERE}/config", "umount {HERE}/config", "was replaced"),
    "a file in its place": ("umount {HERE} && rmdir {HERE} && touch {HERE}",
                            "rm {HERE} && mkdir {HERE} && mount --bind {store} {HERE}", "Not a directory"),
    "a restored copy": ("umount {HERE} && cp -r {store} {HERE}.old && rm {HERE}.old/nodes/wireguard-worker2.json "
                        "{HERE}.old/config/default.json && mount --bind {HERE}.old {HERE}",
                        "umount {HERE} && rm -r {HERE}.old && mount --bind {store} {HERE}", "was replaced"),
}


def lose(c, fault):
    worker, (begin, end, says) = c.nodes[1], FAULTS[fault]
    places = {"HERE": HERE, "store": c.store}
    worker.run(begin.format(**places))
    try:
        wait_for(lambda: says in (store_of(worker).get("trouble") or {}).get("why", ""), f"{fault}: status says {says}")
        wait_for(lambda: metric(worker, "podveil_store_troubles") > 0, f"{fault}: the metric says it")
        assert not c.not_encrypting(), fault
        # After a restart during the fault, what was known is in force from the start.
        worker.agent.kill()
        c.start_agent(worker, ready=False)
        wait_for(c.encrypted, f"{fault}: encrypted with all after a restart")
        wait_for(lambda: says in (store_of(worker).get("trouble") or {}).get("why", ""), f"{fault}: it still says {says}")
        assert setting(worker, "wireguardEnabled") == "true"
    finally:
        worker.run(end.format(**places))
    wait_for(lambda: in_order(worker), f"{fault}: in order again")
    wait_for(lambda: metric(worker, "podveil_store_troubles") == 0 and metric(worker, "podveil_store_synced") == 1,
             f"{fault}: the metrics say that it is in order")
    assert not c.not_encrypting(), fault


@pytest.mark.parametrize("strict", [False, True], ids=["", "strict"])
def test_the_store_is_unreachable(cluster, strict):
    c, worker = cluster, cluster.nodes[1]
    c.configure(**({name: value if strict else None for name, value in STRICT.items()}))
    wait_for(lambda: setting(worker, "podveilStrictMode") == str(strict).lower(), "the setting is known")
    wait_for(c.encrypted, "encrypted with all")
    capture, steady = Capture(worker, "eth0"), Steady(c.client, c.server.address)
    for fault in FAULTS:
        lose(c, fault)
        assert setting(worker, "podveilStrictMode") == str(strict).lower(), fault
    steady.stop()
    assert not judge(capture)[0]


def test_the_store_is_emptied_and_broken(cluster):
    """Faults in the files themselves, which all agents see, lose no setting, and nothing leaves in plain."""
    c, worker = cluster, cluster.nodes[1]
    capture, steady = Capture(worker, "eth0"), Steady(c.client, c.server.address)
    peer = os.path.join(c.store, "nodes/wireguard-worker2.json")
    with open(peer) as f:
        good = f.read()
    for bad in ("", good[:len(good) // 2], "[]", "\0" * 4096, " " * (2 << 20)):
        with open(peer, "w") as f:
            f.write(bad)
        wait_for(lambda: "wireguard-worker2.json" in (store_of(worker)["trouble"] or {}).get("why", ""), "the log says so")
        worker.agent.kill()
        c.start_agent(worker)
        wait_for(c.encrypted, "encrypted with all after a restart")
    with open(peer, "w") as f:
        f.write(good)
    wait_for(lambda: in_order(worker), "no problem is reported any more")
    # A value is refused: the last valid one stays in force, also for an agent that starts now.
    c.configure(podveilStrictMode="treu")
    wait_for(lambda: "treu" in (worker.agent.status()["refused"] or ""), "it is refused")
    worker.agent.kill()
    c.start_agent(worker)
    assert setting(worker, "podveilStrictMode") == "true" and "treu" in worker.agent.status()["refused"]
    c.configure(podveilStrictMode=True)
    # The store is emptied: agents publish their own records again.
    worker.run(f"rm {c.store}/nodes/* {c.store}/config/*")
    wait_for(lambda: store_of(worker)["trouble"] and "settings: " in store_of(worker)["trouble"]["why"], "the log says so")
    for node in c.nodes:
        wait_for(lambda: os.path.exists(os.path.join(c.store, "nodes", node.name + ".json")), "it is published again")
    worker.agent.kill()
    c.start_agent(worker)
    wait_for(c.encrypted, "encrypted with all after a restart")
    assert {"kind": "settings", "node": None}.items() <= store_of(worker)["held"][0].items()
    assert "nobody deleted them" in worker.agent.log()
    # The administrator writes the settings again, and all is in order.
    c.configure(wireguardEnabled=True)
    for node in c.nodes:
        wait_for(lambda: in_order(node), f"{node.name} is in order")
    steady.stop()
    assert not judge(capture)[0]


def test_without_descriptors(cluster):
    """Without free file descriptors (EMFILE), neither the store nor the key can be read; both stay in force, and the key does
    not change."""
    c, worker = cluster, cluster.nodes[1]
    capture, steady = Capture(worker, "eth0"), Steady(c.client, c.server.address)
    key = worker.run("cat /run/podveil/wireguard.key")
    pid = worker.agent.process.pid
    pid = int(worker.run(f"pgrep -P {pid} -x podveil || echo {pid}").split()[0])
    # The lowest free descriptor. We look several times, because the agent may be answering a request.
    free = min(min(set(range(4096)) - {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}) for _ in range(50))
    limits = worker.run(f"prlimit --pid {pid} --nofile --noheadings -o SOFT,HARD").split()
    worker.run(f"prlimit --pid {pid} --nofile={free}:{limits[1]}")
    peer = record(c, c.nodes[2])
    os.unlink(os.path.join(c.store, "nodes/wireguard-worker2.json"))
    write_record(c, {**peer, "name": "late"})
    wait_for(lambda: "Too many open files" in worker.agent.log(), "the log says so")
    write_record(c, peer)
    worker.run(f"prlimit --pid {pid} --nofile={limits[0]}:{limits[1]}")
    os.unlink(os.path.join(c.store, "nodes/late.json"))
    wait_for(lambda: in_order(worker), "no problem is reported any more")
    wait_for(c.encrypted, "encrypted with all")
    assert worker.run("cat /run/podveil/wireguard.key") == key
    # A key file that cannot be used is not replaced by a new key.
    worker.agent.stop()
    worker.run("cd /run/podveil && cp -p wireguard.key kept && truncate -s 9 wireguard.key")
    c.start_agent(worker, ready=False)
    wait_for(lambda: "private key cannot be used" in worker.agent.log(), "the log says so")
    assert worker.run("stat -c %s /run/podveil/wireguard.key").strip() == "9"
    worker.run("mv /run/podveil/kept /run/podveil/wireguard.key")
    wait_for(c.encrypted, "encrypted with all", 20)
    steady.stop()
    assert not judge(capture)[0]


def test_deleted_objects_are_removed(cluster):
    """What is deleted on purpose ends: one node's record, a setting, all settings, encryption itself."""
    c, worker = cluster, cluster.nodes[1]
    peer = record(c, c.nodes[2])
    c.nodes[2].agent.kill()
    os.unlink(os.path.join(c.store, "nodes/wireguard-worker2.json"))
    wait_for(lambda: not any(p["node"] == "wireguard-worker2" for p in worker.agent.status()["tunnels"][0]["peers"]),
             "the node is gone")
    assert in_order(worker)
    write_record(c, peer)
    c.start_agent(c.nodes[2])
    c.configure(podveilStrictMode=None, podveilStrictCIDRs=None)
    wait_for(lambda: setting(worker, "podveilStrictMode") == "false", "strict mode is off")
    wait_for(c.encrypted, "encrypted with all")
    c.podveil("disable")
    wait_for(lambda: "wireguard.cali" not in worker.run("ip -br link"), "encryption is off", 20)
    enable(c)
    os.unlink(os.path.join(c.store, "config/default.json"))
    wait_for(lambda: setting(worker, "wireguardEnabled") == "false", "its settings are gone")
    wait_for(lambda: ping(c.client, c.server.address) == 3, "in plain")
    # The memory file has no secret, only we can read it, and --cleanup removes it.
    memory = worker.run("cat /run/podveil/store.json")
    assert json.loads(memory)["version"] == 1
    assert worker.run("cat /run/podveil/*.key 2>/dev/null || echo none").strip() not in memory
    assert worker.run("stat -c %a /run/podveil/store.json /run/podveil").split() == ["600", "700"]
    worker.agent.stop()
    worker.run([PODVEIL, "agent", "--cleanup"])
    assert worker.run("ls /run/podveil 2>/dev/null || true") == ""
