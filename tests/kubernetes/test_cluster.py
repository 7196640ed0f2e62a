# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster with real kubelets, with Podveil in pods as users deploy it: encryption on and off, restarts,
updates, and nodes that come and go."""
import glob
import json
import os
import signal
import subprocess
import time

import pytest

import container
import doc_commands
import workload
from cluster import leaks
from control_plane import BIN
from hosts import PODVEIL, ROOT, Capture, wait_for
from kubernetes import MANIFESTS, NODE_PORT, KubernetesCluster
from machine import lacking
from traffic import Requests

# Lists the TCX programs of a device, which `tc` does not show.
FILTERS = os.path.join(ROOT, "tests/e2e/filters.py")
LAB = os.path.join(ROOT, "deploy/lab/lab")
pytestmark = pytest.mark.skipif(lacking() is not None, reason=str(lacking()))


@pytest.fixture(scope="module")
def cluster():
    with KubernetesCluster() as c:
        try:
            c.deploy()
            c.run_workload()
        except BaseException:
            print(c.diagnosis())
            raise
        yield c


@pytest.fixture
def plain(cluster):
    """The cluster without encryption; encryption is switched off again after the test."""
    yield cluster
    cluster.configure(wireguardEnabled=None, wireguardEnabledV6=None, podveilStrictMode=None)
    wait_for(lambda: off(cluster), "nothing is encrypted any more", 20)


@pytest.fixture
def encrypted(plain):
    plain.configure(wireguardEnabled=True, wireguardEnabledV6=True)
    wait_for(lambda: plain.encrypted() and plain.encrypted(family="ipv6"), "all nodes encrypt", 20)
    return plain


def off(c):
    return not any("fwmark" in n.run("ip rule; ip -6 rule") for n in c.nodes)


def between(c):
    """The tcpdump expression for traffic between the two workers."""
    a, b = c.client.node, c.server.node
    return f"(host {a.address} and host {b.address}) or (udp and host {a.address6} and host {b.address6})"


def kind(packet):
    """The visible kind of a packet: its UDP port, ICMP (when no agent listens), or something else."""
    return packet["UDP"].dport if packet.haslayer("UDP") else "ICMP" if packet.haslayer("ICMP") else packet.summary()


class Eavesdropper:
    """Captures on the uplinks of both workers; with `quiet`, all but WireGuard's messages, for tests with much traffic."""

    def __init__(self, c, quiet=False):
        what = f"({between(c)}) and not (udp and (port 51820 or port 51821))" if quiet else between(c)
        self.captures = [Capture(n, "eth0", what) for n in (c.client.node, c.server.node)]

    def stop(self):
        """(all packets, the readable ones, the kinds of all)"""
        packets = []
        for capture in self.captures:
            capture.stop()
            packets += capture.packets()
        ports = {kind(p) for p in packets if not p.haslayer("ARP")}
        return packets, leaks(packets), ports


def answers(c, n=10):
    """Waits until the frontend has got `n` more answers."""
    def count():
        lines = c.kubectl("logs", "frontend-client", "--tail=30").split()
        return int([line for line in lines if line.isdigit()][-1])
    first = count()
    wait_for(lambda: count() >= first + n, "the frontend gets an answer", 20)


def fetch(host, url):
    return host.run(["curl", "-sS", "-m", "10", url], check=False)


def test_the_cluster_is_real(cluster):
    c = cluster
    nodes = c.kubectl("get", "nodes", "--no-headers").splitlines()
    assert [n.split()[:3] for n in nodes] == [["wireguard-control-plane", "Ready", "control-plane"],
                                              ["wireguard-worker", "Ready", "<none>"],
                                              ["wireguard-worker2", "Ready", "<none>"]]
    pods = json.loads(c.kubectl("get", "pods", "-o", "json"))["items"]
    assert {p["metadata"]["name"]: p["spec"]["nodeName"] for p in pods} == {
        "backend-api": "wireguard-worker2", "frontend-client": "wireguard-worker"}
    assert c.kubectl("exec", "backend-api", "--", "cat", "/proc/1/cmdline").startswith("/usr/bin/python3")
    agents = json.loads(c.kubectl("-n", "podveil-system", "get", "pods", "-o", "json"))["items"]
    assert {p["status"]["podIP"] for p in agents} == {n.address for n in c.nodes}


def test_the_exercise(plain):
    c, worker = plain, plain.client.node
    assert worker.run("ip link show wireguard.cali", check=False).returncode == 1
    eavesdropper = Eavesdropper(c)
    answers(c)
    packets, readable, ports = eavesdropper.stop()
    assert readable and ports == {4789}
    assert workload.SECRETS.search(b"".join(bytes(p) for p in packets))

    started = time.monotonic()
    assert c.kubectl("patch", "felixconfiguration", "default", "--type=merge", "-p",
                     '{"spec":{"wireguardEnabled":true}}').endswith("patched\n")
    wait_for(c.encrypted, "all nodes encrypt", 20)
    print(f"encrypted after {time.monotonic() - started:.2f} s")
    eavesdropper = Eavesdropper(c)
    before = worker.run("wg show wireguard.cali transfer")
    answers(c)
    packets, readable, ports = eavesdropper.stop()
    assert len(packets) > 50 and not readable and ports == {51820}
    assert worker.run("wg show wireguard.cali transfer") != before

    shown = worker.run("wg show")
    for line in ("interface: wireguard.cali", "listening port: 51820", "fwmark: 0x200000",
                 "endpoint: 172.18.0.2:51820", "endpoint: 172.18.0.4:51820", "allowed ips: 10.244.2.0/26"):
        assert line in shown
    assert "mtu 1440" in worker.run("ip link show wireguard.cali")
    assert "99:\tnot from all fwmark 0x200000/0x200000 lookup 1 proto 92\n" in worker.run("ip rule")
    table = worker.run("ip route show table 1")
    assert "10.244.2.0/26 dev wireguard.cali scope link" in table and "throw 10.244.1.0/26" in table
    for node in c.nodes:
        known = c.plane.get(f"/api/v1/nodes/{node.name}")
        assert known["metadata"]["annotations"]["projectcalico.org/WireguardPublicKey"] == \
            node.run("wg show wireguard.cali public-key").strip()

    c.kubectl("patch", "felixconfiguration", "default", "--type=merge", "-p", '{"spec":{"wireguardEnabled":false}}')
    wait_for(lambda: off(c), "the rule is removed", 20)
    eavesdropper = Eavesdropper(c)
    answers(c)
    _, readable, ports = eavesdropper.stop()
    assert readable and ports == {4789}


def test_switched_under_load(plain):
    """No request fails while encryption is switched on and off. While it is on, no packet is readable."""
    c = plain
    steady = workload.Steady(c.client, c.server.address)
    steady.more()
    for _ in range(2):
        c.configure(wireguardEnabled=True)
        wait_for(c.encrypted, "all nodes encrypt", 20)
        eavesdropper = Eavesdropper(c)
        steady.more()
        _, readable, ports = eavesdropper.stop()
        assert not readable and ports == {51820}
        c.configure(wireguardEnabled=False)
        wait_for(lambda: off(c), "the rule is removed", 20)
        steady.more()
    result = steady.stop()
    assert result["failed"] == 0, result


@pytest.mark.parametrize("how", ["node to pod", "node to pod, IPv6", "pod to pod, IPv6", "pod to Service",
                                 "pod to Service, IPv6", "node to Service", "NodePort", "NodePort to its own node"])
def test_every_path_is_encrypted(encrypted, how):
    c = encrypted
    worker, control = c.client.node, c.nodes[0]
    service, service6 = c.plane.get("/api/v1/namespaces/default/services/backend-api")["spec"]["clusterIPs"]
    host, address = {
        "node to pod": (worker, f"{c.server.address}:8080"),
        "node to pod, IPv6": (worker, f"[{c.server.address6}]:8080"),
        "pod to pod, IPv6": (c.client, f"[{c.server.address6}]:8080"),
        "pod to Service": (c.client, f"{service}:8080"),
        "pod to Service, IPv6": (c.client, f"[{service6}]:8080"),
        "node to Service": (worker, f"{service}:8080"),
        # The request arrives at a node without the backend, and is forwarded to the backend's node.
        "NodePort": (c.switch, f"{worker.address}:{NODE_PORT}"),
        "NodePort to its own node": (control, f"{control.address}:{NODE_PORT}"),
    }[how]
    capture = Capture(c.server.node, "eth0", "udp")
    done = fetch(host, f"http://{address}/users")
    capture.stop()
    assert "stripe_api_key" in done.stdout, done.stderr
    packets = capture.packets()
    assert not leaks(packets)
    port = 51821 if "IPv6" in how else 51820
    assert [p for p in packets if p["UDP"].dport == port]


def pods_of_agents(c):
    return {p["metadata"]["name"]: p for p in c.agent_pods()}


def test_rolling_update_and_rollback_lose_nothing(encrypted):
    """To another version on each node, and back: a request each millisecond, none is lost, no packet is readable, and each connection
    lives. The new pods are placed beside the old ones."""
    c = encrypted
    for node in c.nodes:
        node.load(container.podveil_next())
    eavesdropper = Eavesdropper(c, quiet=True)
    steady = workload.Steady(c.client, c.server.address)
    requests = [Requests(c.client, c.server, address, kind) for address, kind in (
        (c.server.address, "udp"), (c.server.address, "tcp"), (c.server.address6, "udp"), (c.server.address6, "tcp"))]
    steady.more()
    seen = [pods_of_agents(c)]
    for step in (["set", "image", "daemonset/podveil", *[f"{name}={container.NEXT_IMAGE}" for name in ("podveil", "tunnel")]],
                 ["rollout", "undo", "daemonset/podveil"]):
        c.kubectl("-n", "podveil-system", *step)
        c.rolled_out()
        wait_for(c.encrypted, "all nodes encrypt", 20)
        seen.append(pods_of_agents(c))
        for pod in seen[-1]:
            said = c.kubectl("-n", "podveil-system", "logs", pod, "-c", "tunnel")
            assert "took over from the running process" in said, said
    steady.more()
    results, result = [r.stop() for r in requests], steady.stop()
    c.client.node.run(["ping", "-n", "-c", "1", "-W", "10", c.server.node.address])  # of the nodes, in plain: the capture still sees it
    _, readable, ports = eavesdropper.stop()
    print(result, *[{k: r[k] for k in ("sent", "lost", "gap_ms")} for r in results], sep="\n")
    assert not set(seen[0]) & set(seen[1]) and not set(seen[1]) & set(seen[2])
    assert result["failed"] == 0, result
    for each in results:
        assert each["sent"] > 1000 and each["lost"] == 0 and not each["broken"], each
    assert not readable and ports == {"ICMP"}


def test_rolling_update_with_host_encryption(encrypted):
    """The kubelet reaches the API server while its node has no agent. For that, nodes' own addresses leave the tunnel: on
    this node at once, on the others when the node no longer answers them."""
    c = encrypted
    c.configure(wireguardHostEncryptionEnabled=True)
    eavesdropper = Eavesdropper(c)
    try:
        c.kubectl("-n", "podveil-system", "rollout", "restart", "daemonset/podveil")
        c.rolled_out(150)
        wait_for(c.encrypted, "all nodes encrypt", 60)
        packets, readable, _ = eavesdropper.stop()
        assert packets and not readable
    finally:
        c.configure(wireguardHostEncryptionEnabled=None)

        def mended():
            """Cleans up after missing agents, so that the kubelet can start new ones."""
            for node in c.nodes:
                if node.run("pgrep -x podveil", check=False).returncode:
                    node.run([PODVEIL, "agent", "--cleanup"], check=False)
            done = c.kubectl("-n", "podveil-system", "rollout", "status", "daemonset/podveil", "--timeout=3s", check=False)
            return done.returncode == 0
        wait_for(mended, "each node has an agent", 90)


@pytest.mark.parametrize("process", ["podveil", "podveil-tunnel"])
def test_one_of_the_two_is_killed(encrypted, process):
    """After kill -9 of the agent or of the tunnel process, the kubelet starts its container again, and the other one goes on.
    Meanwhile no packet is readable."""
    c, node = encrypted, encrypted.client.node
    eavesdropper = Eavesdropper(c)
    steady = workload.Steady(c.client, c.server.address)
    steady.more(200)
    other = "podveil-tunnel" if process == "podveil" else "podveil"
    pid, others = node.run(["pgrep", "-x", process]).strip(), node.run(["pgrep", "-x", other])
    node.run(["kill", "-9", pid])
    if process == "podveil":
        steady.more(200)  # traffic goes on without the agent
    wait_for(lambda: node.run(["pgrep", "-x", process], check=False).stdout.strip() not in ("", pid), "it is back", 30)
    # The startup probe of the container `tunnel` is the same program for a moment.
    assert set(others.split()) <= set(node.run(["pgrep", "-x", other]).split())
    wait_for(c.encrypted, "all nodes encrypt", 30)
    steady.more(200)
    result = steady.stop()
    _, readable, _ = eavesdropper.stop()
    assert result["failed"] == 0 and not readable, result


def test_a_node_joins_loses_everything_and_leaves(encrypted):
    """The other nodes follow: they get a peer when a node joins, its new key after a reboot, and lose the peer at the end."""
    c = encrypted

    def key(node):
        return c.plane.get(f"/api/v1/nodes/{node.name}")["metadata"]["annotations"].get(
            "projectcalico.org/WireguardPublicKey")

    def reaches(node):
        eavesdropper = Capture(node, "eth0", f"host {c.server.node.address}")
        done = fetch(node, f"http://{c.server.address}:8080/users")
        eavesdropper.stop()
        assert "stripe_api_key" in done.stdout, done.stderr
        assert {kind(p) for p in eavesdropper.packets() if not p.haslayer("ARP")} == {51820}
    node = c.join()
    c.rolled_out()
    wait_for(c.encrypted, "all nodes encrypt", 30)
    reaches(node)
    first = key(node)
    c.lose(node)
    answers(c)
    node = c.join()
    wait_for(lambda: key(node) != first and c.encrypted(), "all nodes encrypt again", 60)
    reaches(node)
    last = key(node)
    c.lose(node)
    c.forget(node)
    wait_for(lambda: not any(last in n.run("wg show wireguard.cali peers") for n in c.nodes), "it is no peer", 20)
    for other in c.nodes:
        assert "10.244.3." not in other.run("ip route show table 1")
    answers(c)


def test_api_server_is_away(encrypted):
    """Without the API server, traffic continues, encrypted. An agent that starts meanwhile in a new container encrypts again,
    from what the machine keeps. When the server is back, agents follow it again."""
    c, node = encrypted, encrypted.server.node
    steady = workload.Steady(c.client, c.server.address)
    c.plane.apiserver.kill()
    try:
        eavesdropper = Eavesdropper(c)
        steady.more(500)
        result = steady.stop()
        assert result["failed"] == 0, result
        # The kubelet decides how soon it starts a container again; this test only asks that no packet is readable.
        pid = node.run("pgrep -x podveil").strip()
        node.run(["kill", "-9", pid])
        wait_for(lambda: node.run("pgrep -x podveil", check=False).stdout.strip() not in ("", pid), "it is there again", 30)
        wait_for(lambda: c.encrypted([c.client.node, node]), "both workers encrypt", 30)
        steady = workload.Steady(c.client, c.server.address)
        steady.more(500)
        _, readable, ports = eavesdropper.stop()
        assert not readable and ports <= {51820, 51821, "ICMP"}
    finally:
        c.plane.apiserver.start()
    c.configure(wireguardEnabled=False, wireguardEnabledV6=False)
    wait_for(lambda: off(c), "the agents know of it", 30)
    result = steady.stop()
    assert result["failed"] == 0, result


def test_image(cluster):
    """The image has no shell and nothing writable, and its labels describe it."""
    c = cluster
    pod = c.agent_pod(c.nodes[1])
    shell = c.kubectl("-n", "podveil-system", "exec", pod, "--", "/bin/sh", "-c", "true", check=False)
    assert shell.returncode and "no such file or directory" in shell.stderr
    assert c.kubectl("-n", "podveil-system", "exec", pod, "--", "/usr/sbin/podveil", "--version").startswith("podveil ")
    node = c.nodes[1]
    pid = node.run("pgrep -x podveil").strip()
    assert node.run(f"touch /proc/{pid}/root/etc/here", check=False).returncode
    said = container.configuration(container.podveil())
    assert said["Entrypoint"] == ["/usr/sbin/podveil"]
    assert f"podveil {said['Labels']['org.opencontainers.image.version']}\n" == node.run([PODVEIL, "--version"])


def test_without_privileged(plain):
    """The agent works with only the capabilities that unprivileged.patch.yaml names."""
    c = plain
    c.kubectl("-n", "podveil-system", "patch", "daemonset", "podveil", "--patch-file",
              os.path.join(MANIFESTS, "unprivileged.patch.yaml"))
    try:
        c.rolled_out()
        node = c.client.node
        for process, capabilities in (("podveil", "000000c000007402"), ("podveil-tunnel", "0000000000807c02")):
            status = node.run(f"cat /proc/{node.run(['pgrep', '-x', process]).strip()}/status")
            assert f"CapEff:\t{capabilities}\n" in status
        c.configure(wireguardEnabled=True)
        wait_for(c.encrypted, "all nodes encrypt", 20)
        eavesdropper = Eavesdropper(c)
        answers(c)
        _, readable, ports = eavesdropper.stop()
        assert not readable and ports == {51820}
        # Its maps are pinned where the pages say.
        assert "peer" in node.run("bpftool map dump pinned /sys/fs/bpf/podveil/wireguard.cali/allowed_ips4")
    finally:
        c.configure(wireguardEnabled=False)
        c.kubectl("-n", "podveil-system", "rollout", "undo", "daemonset/podveil")
        c.rolled_out()


def test_plain_and_strict(cluster):
    """The other two bases work: plain, with Podveil's own settings, and strict, with no packet in plain from the start."""
    c = cluster
    c.undeploy("calico")
    for node in c.nodes:
        node.run([PODVEIL, "agent", "--cleanup"])
    try:
        c.deploy("plain")
        c.kubectl("patch", "podveilconfiguration", "default", "--type=merge", "-p",
                  '{"spec":{"wireguardEnabled":true}}')
        wait_for(c.encrypted, "all nodes encrypt", 20)
        answers(c)
        c.kubectl("patch", "podveilconfiguration", "default", "--type=merge", "-p",
                  '{"spec":{"wireguardEnabled":false}}')
        wait_for(lambda: off(c), "the rule is removed", 20)
        c.undeploy("plain")

        c.deploy("strict")
        wait_for(c.encrypted, "all nodes encrypt", 20)
        eavesdropper = Eavesdropper(c)
        answers(c)
        # A node loses its key, and so its sessions: nothing leaves until it has a new key.
        node = c.server.node
        pid = node.run("pgrep -x podveil-tunnel").strip()
        key = node.run("wg show podveil0 public-key")
        node.run(f"rm /run/podveil/wireguard.key && kill -9 {pid}")
        wait_for(lambda: node.run("wg show podveil0 public-key", check=False).stdout not in ("", key),
                 "a new key", 30)
        wait_for(c.encrypted, "all nodes encrypt", 60)
        answers(c)
        _, readable, ports = eavesdropper.stop()
        assert not readable and ports <= {51820, "ICMP"}
        outlives_its_pods(c)
        for node in c.nodes:
            node.run([PODVEIL, "agent", "--cleanup"])
            assert not node.run(f"{FILTERS} list eth0 egress").strip()
        answers(c)
    finally:
        c.deploy()


def outlives_its_pods(c):
    """Strict mode holds on a node after our pods are deleted: the links of the guard are pinned in the machine's bpffs, not
    in the pod's."""
    node = c.client.node
    c.undeploy("strict")
    wait_for(lambda: not any(n.run("pgrep -x 'podveil|podveil-tunnel'", check=False).stdout for n in c.nodes), "no agent is left", 30)
    for n in c.nodes:
        assert n.run(f"{FILTERS} list eth0 egress").split() == ["guard"]
    # Without rules and nftables, packets are routed to the other node in plain: only the guard can stop them.
    node.run("ip rule del priority 98; ip rule del priority 99; nft delete table inet podveil")

    def dropped():
        counters = node.run("bpftool -j map dump pinned /sys/fs/bpf/podveil/guard/guard_counters")
        return sum(e["formatted"]["value"]["drop_leak"] for e in json.loads(counters))
    before = dropped()
    eavesdropper = Eavesdropper(c)
    assert c.client.run(f"ping -n -c 1 -W 1 {c.server.address}", check=False).returncode == 1
    _, readable, _ = eavesdropper.stop()
    assert dropped() > before and not readable


def left(directory):
    """What is left of a lab: its directory, cgroups, processes and mounts."""
    name = os.path.basename(directory)
    found = glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(directory)
    with open("/proc/mounts") as f:
        found += [line for line in f if name in line]
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path) as f:
                if name in f.read():
                    found.append(path)
        except OSError:
            pass
    return found


def show(block, command, run):
    """Waits until a command of a page prints what the page shows, apart from numbers, keys and the like."""
    def shows():
        done = run(["bash", "-c", command.text])
        assert done.returncode == 0, f"{doc_commands.name(block)}: {command.text}\n{done.stdout}{done.stderr}"
        return doc_commands.missing(command, done.stdout) is None
    wait_for(shows, f"{doc_commands.name(block)}: {command.text}", 20)


def on_the_lab(block):
    return "deploy/lab/lab" in block.text


@pytest.mark.parametrize("block", [b for b in doc_commands.blocks("kubernetes") if not on_the_lab(b)], ids=doc_commands.name)
def test_what_the_pages_show(block, plain):
    plain.configure(wireguardEnabled=True)
    wait_for(plain.encrypted, "all nodes encrypt", 20)
    environment = {"KUBECONFIG": plain.kubeconfig, "PATH": BIN + ":" + os.environ["PATH"]}
    for command in doc_commands.session(block, ""):
        show(block, command, lambda text: plain.nodes[0].run(text, check=False, env=environment))


def calico_node():
    """A DaemonSet that looks like Calico's to kubectl."""
    labels = {"k8s-app": "calico-node"}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "calico-node", "namespace": "kube-system"},
            "spec": {"selector": {"matchLabels": labels}, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                     "template": {"metadata": {"labels": labels}, "spec": {
                         "hostNetwork": True, "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 1,
                         "containers": [{"name": "calico-node", "image": container.PAUSE, "imagePullPolicy": "Never"}]}}}}


def deployment():
    labels = {"app": "drained"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "drained"},
            "spec": {"replicas": 3, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "c", "image": container.PAUSE, "imagePullPolicy": "Never"}]}}}}


@pytest.mark.parametrize("block", doc_commands.blocks("kubernetes with calico-node"), ids=doc_commands.name)
def test_nodes_change_over_from_felix_as_the_pages_say(block, plain):
    """The commands change one node after the other. What becomes of the traffic is in tests/vm/test_real_felix.py: these nodes have no
    Felix."""
    c = plain

    def pods(namespace, label):
        return json.loads(c.kubectl("-n", namespace, "get", "pods", "-l", label, "-o", "json"))["items"]

    def ready(namespace, label, n):
        found = pods(namespace, label)
        return len(found) == n and all(any(s["type"] == "Ready" and s["status"] == "True" for s in p["status"].get("conditions", []))
                                       for p in found)
    c.kubectl("delete", "pod", "frontend-client", "backend-api")  # nobody would make them again
    try:
        c.configure(wireguardEnabled=True)
        c.plane.apply(calico_node(), deployment())
        wait_for(lambda: ready("kube-system", "k8s-app=calico-node", 3) and ready("default", "app=drained", 3), "all run", 60)
        before = {p["metadata"]["uid"] for p in pods("default", "app=drained")}
        done = c.nodes[0].run(["bash", "-ec", f"cd {ROOT}\n{block.text}"], check=False, timeout=300,
                              env={"KUBECONFIG": c.kubeconfig, "PATH": BIN + ":" + os.environ["PATH"]})
        assert done.returncode == 0, done.stdout + done.stderr
        wait_for(lambda: ready("kube-system", "k8s-app=calico-node", 3) and ready("default", "app=drained", 3), "all run again", 60)
        assert all({"name": "FELIX_WIREGUARDENABLED", "value": "false"} in p["spec"]["containers"][0]["env"]
                   for p in pods("kube-system", "k8s-app=calico-node")), "each node has the patch"
        assert not before & {p["metadata"]["uid"] for p in pods("default", "app=drained")}, "each node was drained"
        assert not any(n["spec"].get("unschedulable") for n in json.loads(c.kubectl("get", "nodes", "-o", "json"))["items"])
    finally:
        c.kubectl("delete", "--ignore-not-found", "mutatingadmissionpolicy,mutatingadmissionpolicybinding", "podveil-keep-keys")
        c.kubectl("-n", "kube-system", "delete", "--ignore-not-found", "daemonset", "calico-node")
        c.kubectl("delete", "--ignore-not-found", "deployment", "drained")
        c.run_workload()


@pytest.mark.parametrize("block", [b for b in doc_commands.blocks("kubernetes") if on_the_lab(b)], ids=doc_commands.name)
def test_the_lab_as_the_pages_show_it(block, tmp_path):
    """The lab's commands print what the pages show, and nothing of the lab is left afterwards."""
    state = tmp_path / "lab.json"
    environment = {**os.environ, "PODVEIL_LAB_STATE": str(state)}
    directories = []

    def run(command):
        return subprocess.run(command, cwd=ROOT, env=environment, timeout=180, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    try:
        for command in doc_commands.session(block, ""):
            show(block, command, run)
            directories = directories or json.loads(state.read_text())["directories"]
        assert not state.exists() and not [x for directory in directories for x in left(directory)]
    finally:
        run(["/usr/bin/python3", LAB, "down"])


@pytest.mark.parametrize("end", ["kill -9", "kill -9 of the janitor, too"])
def test_nothing_is_left(tmp_path, end):
    environment = {**os.environ, "PODVEIL_LAB_STATE": str(tmp_path / "lab.json")}

    def lab(*arguments):
        return subprocess.run(["/usr/bin/python3", LAB, *arguments], env=environment, timeout=180,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        up = lab("up", "--store", "kubernetes")
        assert up.returncode == 0, up.stdout
        assert "wireguard-worker2" in lab("kubectl", "get", "nodes").stdout
        assert "ipv4: off" in lab("exec", "wireguard-worker", "podveil", "status").stdout
        assert '"users"' in lab("exec", "frontend-client", "curl", "-s", "http://10.244.2.2:8080").stdout
        with open(environment["PODVEIL_LAB_STATE"]) as f:
            s = json.load(f)
        assert all(left(directory) for directory in s["directories"])
        if end == "kill -9":
            os.kill(s["holder"]["pid"], signal.SIGKILL)
            for p in s["janitors"]:
                wait_for(lambda p=p: not os.path.exists(f"/proc/{p['pid']}"), "the janitor has finished", 60)
        else:
            for p in [*s["janitors"], s["holder"]]:
                os.kill(p["pid"], signal.SIGKILL)
            assert lab("down").returncode == 0
        assert not [x for directory in s["directories"] for x in left(directory)]
    finally:
        lab("down")
