#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the Kubernetes store with a real API server that holds a large cluster: the first sync, memory, one change, and
the time from kubectl patch until traffic is encrypted. Then the same with the addresses of single pods (WorkloadIPs), while
pods change all the time.

  bench_kubernetes.py [NODES [BLOCKS [PODS]]]     default 5000 10000 50000
"""
import base64
import concurrent.futures
import itertools
import json
import os
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in ("deploy/lab", "tests/kubernetes", "tests/bench"):
    sys.path.insert(0, os.path.join(ROOT, folder))

import results  # noqa: E402
from computer import process_seconds  # noqa: E402
from cluster_api import KEY, KubernetesCluster  # noqa: E402
from hosts import wait_for  # noqa: E402

WRITERS = 8


def node(i):
    """A Node object as large as a real one: images, conditions and managed fields make about ten thousand bytes."""
    return "/api/v1/nodes", {
        "apiVersion": "v1", "kind": "Node", "metadata": {
            "name": f"node-{i}", "labels": {f"label-{k}": "x" * 40 for k in range(10)}, "annotations": {
                KEY: base64.b64encode(i.to_bytes(4, "big") + b"k" * 28).decode(),
                "projectcalico.org/IPv4Address": f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}/16"}},
        "status": {"addresses": [{"type": "InternalIP",
                                  "address": f"10.{100 + i // 65536}.{i // 256 % 256}.{i % 256}"}],
                   "images": [{"names": [f"registry.example/image-{k}@sha256:{'0' * 64}"], "sizeBytes": k}
                              for k in range(50)]}}


def block(i, nodes):
    cidr = f"10.{i // 1024}.{i // 4 % 256}.{i % 4 * 64}"
    owner = f"node-{i % nodes}"
    return "/apis/crd.projectcalico.org/v1/ipamblocks", {
        "apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock",
        "metadata": {"name": f"{cidr.replace('.', '-')}-26"}, "spec": {
            "cidr": f"{cidr}/26", "affinity": f"host:{owner}", "strictAffinity": False, "deleted": False,
            "allocations": [k % 20 for k in range(30)] + [None] * 34, "unallocated": list(range(30, 64)),
            "attributes": [{"handle_id": f"k8s-pod-network.{'0' * 60}{k}", "secondary": {
                "node": owner, "pod": f"pod-{k}", "namespace": "default"}} for k in range(20)]}}


def pod(i, nodes, address=None):
    """A Pod as a kubelet shows it when it runs, with a status: about four thousand bytes."""
    address = address or f"11.{i // 65536}.{i // 256 % 256}.{i % 256}"
    return "/api/v1/namespaces/podveil-system/pods", {
        "apiVersion": "v1", "kind": "Pod", "metadata": {
            "name": f"pod-{i}", "namespace": "podveil-system", "labels": {f"label-{k}": "x" * 40 for k in range(10)}},
        "spec": {"nodeName": f"node-{i % nodes}", "serviceAccountName": "podveil", "containers": [
            {"name": f"c-{k}", "image": "registry.example/image", "env": [
                {"name": f"E{n}", "value": "x" * 40} for n in range(20)]} for k in range(2)]}}, address


def write_pod(control, connection, path, body, address):
    control.send(connection, "POST", path, body)
    control.send(connection, "PATCH", f"{path}/{body['metadata']['name']}/status", {
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}, "application/merge-patch+json")


def fill_pods(control, pods):
    def write(part):
        connection = control.connection()
        for one in part:
            write_pod(control, connection, *one)
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, [pods[k::WRITERS] for k in range(WRITERS)]))


def changing_pods(c, nodes, pods, seconds=20, rate=100):
    """Gives pods other addresses, `rate` a second. Each tenth is timed until `ip monitor` shows its route. Returns the median
    in ms, changes a second, and the agent's share of a processor."""
    host, took, began = c.nodes[0], [], {}
    monitor = host.start(["ip", "-4", "monitor", "route"])

    def watch():
        for line in monitor.stdout:
            for address in [a for a in line.split() if a in began]:
                took.append(1000 * (time.monotonic() - began.pop(address)))
    threading.Thread(target=watch, daemon=True).start()
    used, start, n = process_seconds(agent_pid(host)), time.monotonic(), 0

    def write(k):
        nonlocal n
        connection = c.control.connection()
        for i in itertools.count(k, WRITERS):
            due = start + i / rate
            if due > start + seconds:
                break
            time.sleep(max(0, due - time.monotonic()))
            address = f"12.{i // 65536}.{i // 256 % 256}.{i % 256}"
            if i % 10 == 0:
                began[address] = time.monotonic()
            path = f"/api/v1/namespaces/podveil-system/pods/pod-{i * 7 % pods}/status"
            c.control.send(connection, "PATCH", path, {"status": {"podIP": address, "podIPs": [{"ip": address}]}},
                           "application/merge-patch+json")
            n += 1
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    wait_for(lambda: not began, "all changes are applied", 60)
    passed = time.monotonic() - start
    monitor.kill()
    return sorted(took)[len(took) // 2], n / passed, (process_seconds(agent_pid(host)) - used) / passed


def workload(c, nodes, pods, result):
    host = c.nodes[0]
    start = time.monotonic()
    fill_pods(c.control, [pod(i, nodes) for i in range(pods)])
    print(f"pods written in {time.monotonic() - start:.0f} s", file=sys.stderr)
    c.control.apply_kustomization(os.path.join(ROOT, "deploy/kubernetes/workload-ips"))
    start = time.monotonic()
    c.set(routeSource="WorkloadIPs")
    wait_for(lambda: (host.agent.status() or {"store": {"routeSource": None}})["store"]["routeSource"]["name"] == "WorkloadIPs",
             "the pods count", 300)
    wait_for(lambda: int(host.run("ip route show table 1 | wc -l")) >= pods, "all pods have routes", 300)
    result["pods read, and routes set, s"] = round(time.monotonic() - start, 2)
    median, rate, share = changing_pods(c, nodes, pods)
    result["pod changes a second"] = round(rate, 1)
    result["one of them applied, median, ms"] = round(median, 1)
    result["share of a processor meanwhile"] = round(share, 3)
    result["resident with pods, MiB"], result["at most with pods, MiB"] = reversed(list(resident(agent_pid(host))))


def fill(control, objects):
    def write(part):
        connection = control.connection()
        for path, body in part:
            control.send(connection, "POST", path, body)
        connection.close()
    with concurrent.futures.ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, [objects[k::WRITERS] for k in range(WRITERS)]))


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(("VmRSS", "VmHWM")):
                yield int(line.split()[1]) // 1024


def agent_pid(host):
    """The agent's PID: nsenter executes the agent in its own process."""
    return host.agent.process.pid


def main():
    nodes = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    blocks = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    pods = int(sys.argv[3]) if len(sys.argv) > 3 else 50000
    result = {"nodes": nodes, "blocks": blocks, "pods": pods}
    with tempfile.TemporaryDirectory() as directory, KubernetesCluster(directory, base="calico") as c:
        c.start_agents()
        start = time.monotonic()
        c.set(wireguardEnabled=True)
        c.wait_encrypted(30)
        result["from patch to encrypted, 3 nodes, s"] = round(time.monotonic() - start, 2)
        for host in c.nodes:
            host.agent.stop()
        start = time.monotonic()
        fill(c.control, [node(i) for i in range(nodes)] + [block(i, nodes) for i in range(blocks)])
        print(f"filled in {time.monotonic() - start:.0f} s", file=sys.stderr)
        host = c.nodes[0]
        start = time.monotonic()
        agent = c.start_agent(host, ready=False)
        wait_for(lambda: (agent.status() or {"store": {"synced": False}})["store"]["synced"], "synced", 120)
        result["first sync, s"] = round(time.monotonic() - start, 2)
        wait_for(lambda: host.run("wg show wireguard.cali peers | wc -l").strip() == str(nodes + 2),
                 "all are peers", 120)
        result["all peers configured, s"] = round(time.monotonic() - start, 2)
        start = time.monotonic()
        c.control.patch("/api/v1/nodes/node-7", {"metadata": {"annotations": {
            "projectcalico.org/IPv4Address": "10.200.0.1/16"}}})
        wait_for(lambda: "10.200.0.1:" in host.run("wg show wireguard.cali endpoints | grep 10.200.0.1: || true"),
                 "the change arrives", 60)
        result["one change, s"] = round(time.monotonic() - start, 2)
        result["resident now, MiB"], result["at most, MiB"] = reversed(list(resident(agent_pid(host))))
        workload(c, nodes, pods, result)
    print(json.dumps(result, indent=1))
    results.save("kubernetes", "make bench-kubernetes", f"one run; the API server holds {nodes:,} Nodes of 10 KB each and "
                 f"{blocks:,} IPAM blocks", ["measured"], [
                     results.row("from kubectl patch to three nodes encrypted, s", [result["from patch to encrypted, 3 nodes, s"]]),
                     results.row("first sync, s", [result["first sync, s"]]),
                     results.row("all peers configured, s", [result["all peers configured, s"]]),
                     results.row("one change applied, s", [result["one change, s"]]),
                     results.row("memory at most, MiB", [result["at most, MiB"]], 0)])


if __name__ == "__main__":
    main()
