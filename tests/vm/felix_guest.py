#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs in an emulated machine whose kernel has WireGuard: two nodes with the real Felix, and Podveil beside it and after it.
The API server is outside, at 172.18.0.1; the file argv[1] says how to reach it, and which base of deploy/kubernetes is there."""
import json
import os
import re
import signal
import subprocess
import sys
import types

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
sys.path.insert(0, os.path.join(ROOT, "deploy/lab"))

from cluster import Cluster  # noqa: E402
from control_plane import ControlPlane  # noqa: E402
from hosts import PODVEIL, Capture, wait_for  # noqa: E402
from traffic import Requests  # noqa: E402

FELIX = os.path.join(ROOT, "build/peers/calico-felix")
KEY, OWN = "projectcalico.org/WireguardPublicKey", "podveil.io/WireguardPublicKey"
RELEASED = "podveil.io/WireguardReleasedKey"
MODULES = ["wireguard", "veth", "bridge", "vxlan", "cls_bpf", "sch_ingress", "ip_set", "ip_set_hash_ip", "ip_set_hash_net",
           "xt_set", "nf_tables", "nft_compat", "xt_mark", "xt_comment", "xt_conntrack", "xt_addrtype", "ip_tables",
           "iptable_filter", "xt_MASQUERADE", "nf_nat"]


def check(what, true, more=""):
    print(f"{'ok' if true else 'NOT OK'}: {what}", flush=True)
    if not true:
        print(more, flush=True)
        raise SystemExit(1)


class Felix:
    """The real Felix, on a node."""

    def __init__(self, c, node, **env):
        self.node = node
        self.log = open(f"/run/felix-{node.name}.log", "a+")
        self.process = node.start([FELIX], stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env={
            "FELIX_DATASTORETYPE": "kubernetes", "KUBECONFIG": c.setup["admin"], "FELIX_FELIXHOSTNAME": node.name,
            "FELIX_LOGSEVERITYSCREEN": "warning", "FELIX_LOGFILEPATH": "none", "FELIX_LOGSEVERITYSYS": "none",
            # The lab's pods are not in Felix's data store, so Felix must not handle their interfaces.
            "FELIX_INTERFACEPREFIX": "lab", "FELIX_USAGEREPORTINGENABLED": "false", "FELIX_IPV6SUPPORT": "false",
            "FELIX_XDPENABLED": "false", "FELIX_DebugSkipCTLBCleanup": "true", "FELIX_HEALTHENABLED": "true", **env})

    def ready(self):
        """True if it has applied everything once."""
        return self.node.run(["curl", "-sfo", "/dev/null", "http://localhost:9099/readiness"], check=False).returncode == 0

    def tail(self):
        with open(self.log.name) as f:
            return f.read()[-3000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)


class FelixCluster(Cluster):
    """Nodes on the same network as the API server; pods of different nodes reach each other by plain routes."""

    def __init__(self, setup):
        self.setup = setup
        super().__init__(2)
        self.store_url = "kubernetes"
        self.switch.run("ip addr del 172.18.0.1/16 dev br0")
        subprocess.run(["ip", "link", "set", setup["device"], "netns", str(self.switch.pid)], check=True)
        self.switch.run(f"ip link set {setup['device']} up master br0 && ip addr add 172.18.0.9/16 dev br0")
        for node in self.nodes:
            other = self.nodes[1 - node.index]
            node.run("ip link del vxlan.calico; "
                     f"ip route add {other.pods4} via {other.address}; "
                     "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0")
        self.plane = ControlPlane.__new__(ControlPlane)
        self.plane.host, self.plane.directory = self.switch, setup["directory"]
        self.plane.address, self.plane.port, self.plane.admin = "172.18.0.1", 6443, setup["admin"]
        with open(setup["ca"], "rb") as f:
            self.plane.server_authority = types.SimpleNamespace(certificate=f.read())

    def settings(self, node):
        """The environment that the base's DaemonSet gives to the agent."""
        base = PLAIN if self.setup["base"] == "plain" else {
            "PODVEIL_CONFIG_RESOURCE": "felixconfigurations.crd.projectcalico.org"}
        return {"KUBECONFIG": self.setup["kubeconfigs"][node.name], "NODE_NAME": node.name, **base}

    def agent(self, node):
        # The DaemonSet gives settings by environment variables too.
        return self.start_agent(node, "--uplink", "eth0", pod_cidrs=False, ready=False, env=self.settings(node))

    def object(self, node):
        return self.plane.get(f"/api/v1/nodes/{node.name}")

    def annotation(self, node, name=KEY):
        return self.object(node)["metadata"].get("annotations", {}).get(name, "")

    def condition(self, node):
        return next((c for c in self.object(node)["status"].get("conditions", []) if c["type"] == "PodveilReady"), {})

    def felix(self, spec):
        self.plane.patch("/apis/crd.projectcalico.org/v1/felixconfigurations/default", {"spec": spec})

    def enable(self, node, on):
        """Switches Podveil on a node on or off. Another node's Felix does not see it."""
        self.plane.patch(f"/apis/crd.projectcalico.org/v1/felixconfigurations/node.{node.name}",
                         {"spec": {"wireguardEnabled": on}})

    def doctor(self, node):
        done = node.run([PODVEIL, "doctor", "--json"], check=False, env={**self.settings(node), "PODVEIL_STORE": "kubernetes"})
        return next(f for f in json.loads(done.stdout) if f["check"] == "Felix")


def routes_through(node, other, device="wireguard.cali", table=1):
    return f"{other.pods4} dev {device}" in node.run(f"ip route show table {table}", check=False).stdout


# Pods of different nodes use plain routes here, so each packet on the uplink with a pod's address is readable.
READABLE = "net 10.244.0.0/16"


class Watched:
    """A step of the migration, with a request per millisecond and captures on both uplinks."""

    def __init__(self, c, left, right):
        self.captures = [Capture(n, "eth0", READABLE) for n in c.nodes]
        self.requests = Requests(left, right, right.address)

    def stop(self, what):
        result = self.requests.stop()
        for capture in self.captures:
            capture.stop()
        readable = [p for capture in self.captures for p in capture.packets()]
        print(f"measured: {what}: {result['sent']} requests, {result['lost']} lost, longest gap {result['gap_ms']} ms, "
              f"{len(readable)} readable", flush=True)
        return result["lost"], readable


def main():
    with open(sys.argv[1]) as f:
        setup = json.load(f)
    subprocess.run(["modprobe", "-a", "virtio_net"], check=True)
    for module in MODULES:
        subprocess.run(["modprobe", module], check=False)
    setup["device"] = next(d for d in os.listdir("/sys/class/net") if d != "lo" and os.path.exists(
        f"/sys/class/net/{d}/device"))
    print(f"Linux {os.uname().release}", flush=True)
    with FelixCluster(setup) as c:
        SCENARIOS[setup["base"]](c)
    return 0


# The environment that deploy/kubernetes/calico/calico-node.patch.yaml gives to Felix.
with open(os.path.join(ROOT, "deploy/kubernetes/calico/calico-node.patch.yaml")) as f:
    APART = dict(re.findall(r'- name: (FELIX_\w+)\n +value: "?([^"\n]+)"?', f.read()))
# The environment of agents of deploy/kubernetes/plain.
with open(os.path.join(ROOT, "deploy/kubernetes/plain/kustomization.yaml")) as f:
    PLAIN = dict(re.findall(r'name: (PODVEIL_\w+), value: "?([^"}\n]+)"?}', f.read()))

STATE = "ip rule; ip route show table 1; ip -d link show wireguard.cali; wg showconf wireguard.cali"


def problem(node):
    status = node.agent.status()
    return (status and status["tunnels"][0]["problem"]) or ""


def felix_encrypts(c):
    """Felix alone encrypts, and doctor reports that its WireGuard is on."""
    c.felix({"wireguardEnabled": True})
    # A Felix whose setting changes ends, to be started again. Here only agents are to see what is set for one node.
    felixes = {n.name: Felix(c, n, FELIX_WIREGUARDENABLED="true") for n in c.nodes}
    wait_for(lambda: all(routes_through(n, c.nodes[1 - n.index]) for n in c.nodes), "Felix's WireGuard is up", 60)
    seen = c.doctor(c.nodes[0])
    check("doctor: on", seen["verdict"] == "note" and "its WireGuard is on (wireguard.cali)" in seen["found"]
          and "patch daemonset calico-node" in seen["do"], seen)
    return felixes


def agents_come(c, felixes, left, right):
    """Step 1: agents start. They change nothing of Felix's, and say so."""
    before = [n.run(STATE) for n in c.nodes]
    keys = [c.annotation(n) for n in c.nodes]
    watched = Watched(c, left, right)
    for n in c.nodes:
        c.enable(n, False)
        c.agent(n)
        wait_for(lambda n=n: c.condition(n).get("reason") == "EncryptionOff", "it is off", 60)
        check("an agent that is off does not want Felix's key", c.annotation(n, OWN) in ("", "off"), c.annotation(n, OWN))
        c.enable(n, True)
        wait_for(lambda n=n: "patch daemonset" in problem(n), "status names the owner of the device", 60)
        wait_for(lambda n=n: c.condition(n).get("reason") == "NameTaken", "the condition says so, too", 60)
        wait_for(lambda n=n: c.annotation(n, OWN) == c.annotation(n), "it says that it will go on with the key", 60)
    lost, readable = watched.stop("agents beside Felix")
    check("each Felix still runs", all(f.process.poll() is None for f in felixes.values()))
    check("nothing of Felix's was touched", [n.run(STATE) for n in c.nodes] == before and
          [c.annotation(n) for n in c.nodes] == keys)
    check("1: none lost, none readable", not lost and not readable, readable[:5])


def felix_lets_go(c, felixes, node, left, right):
    """Steps 2 and 3: a node's Felix restarts with the patch's environment, and the agent takes over from it."""
    key = node.run("wg show wireguard.cali public-key").strip()
    watched = Watched(c, left, right)
    felixes[node.name].stop()
    felixes[node.name] = Felix(c, node, **APART)
    wait_for(lambda: "veth" in node.run("ip -d link show wireguard.cali", check=False).stdout, "it is taken over", 60)
    wait_for(lambda: all(p["session"] and p["encrypting"] for p in node.agent.status()["tunnels"][0]["peers"])
             and c.annotation(node) == key == c.annotation(node, OWN), "it encrypts, and its key is in the Node", 60)
    wait_for(lambda: all(routes_through(n, c.nodes[1 - n.index]) for n in c.nodes), "all encrypt", 60)
    lost, readable = watched.stop(f"{node.name} goes from Felix to Podveil")
    check("the key is the same, and so is the way", node.run("wg show wireguard.cali public-key").strip() == key
          and "lookup 1 proto 92" in node.run("ip rule") and node.run("ip rule").count("fwmark") == 1, node.run(STATE))
    check("Felix wanted to remove the key", c.annotation(node, RELEASED) == key)
    check("2 and 3: none readable", not readable, readable[:5])


def podveil_leaves_and_returns(c, node, left, right):
    """Podveil is switched off on a node, and on again; the peer runs Felix. What is sent encrypted is decrypted until the peer
    has changed its routes."""
    other = c.nodes[1 - node.index]
    for on in (False, True):
        requests = Requests(left, right, right.address)
        c.enable(node, on)
        wait_for(lambda on=on: routes_through(node, other) == routes_through(other, node) == on, f"both follow, {on}", 60)
        result = requests.stop()
        print(f"measured: Podveil switched {'on' if on else 'off'} beside a Felix peer: {result['sent']} requests, "
              f"{result['lost']} lost (of these {result['lost_requests']} sent by Podveil's node, the others by Felix's), "
              f"longest gap {result['gap_ms']} ms", flush=True)


def after_felix(c):
    nodes = c.nodes
    left, right = c.pod(nodes[0], "left"), c.pod(nodes[1], "right")
    felixes = felix_encrypts(c)
    agents_come(c, felixes, left, right)
    felix_lets_go(c, felixes, nodes[0], left, right)
    podveil_leaves_and_returns(c, nodes[0], left, right)
    felix_lets_go(c, felixes, nodes[1], left, right)
    seen = c.doctor(nodes[0])
    check("doctor: off", "its WireGuard is off" in seen["found"], seen)


def beside_a_felix_that_nobody_patched(c):
    """The base plain: Felix has its default settings, and deletes nothing of ours."""
    nodes = c.nodes
    left, right = c.pod(nodes[0], "left"), c.pod(nodes[1], "right")
    felixes = {n.name: Felix(c, n) for n in nodes}
    for n in nodes:
        wait_for(felixes[n.name].ready, "Felix is ready", 60)
        c.agent(n)
    c.plane.patch("/apis/podveil.io/v1/podveilconfigurations/default", {"spec": {"wireguardEnabled": True}})
    wait_for(lambda: all(routes_through(n, nodes[1 - n.index], "podveil0", 9586) for n in nodes), "all encrypt", 60)
    state = "ip rule show priority 98; ip route show table 9586; ip -br link show podveil0; cat /sys/class/net/podveil0/ifindex"
    before = [n.run(state) for n in nodes]
    check("rule, routes and device are there", all("98:" in text and "podveil0" in text for text in before), before)
    watched = Watched(c, left, right)
    for n in nodes:
        felixes[n.name].stop()
        felixes[n.name] = Felix(c, n)
        wait_for(felixes[n.name].ready, "Felix is ready again", 60)
        for _ in range(10):  # Felix looks at all devices when one comes or goes
            n.run("ip link add event type dummy && ip link set event up && ip link del event")
    wait_for(lambda: all(c.annotation(n) == c.annotation(n, OWN) == n.run("wg show podveil0 public-key").strip() for n in nodes),
             "the keys are back", 60)
    lost, readable = watched.stop("Podveil beside a Felix that nobody patched")
    check("nothing was changed", [n.run(state) for n in nodes] == before, [n.run(state) for n in nodes])
    check("none lost, none readable", not lost and not readable, readable[:5])
    for n in nodes:
        wait_for(lambda n=n: (c.condition(n)["reason"], c.condition(n)["status"]) == ("Encrypting", "True"), "the condition", 60)
        check("no problem is told", not problem(n))
        check("doctor has no objection", c.doctor(n)["verdict"] == "ok", c.doctor(n))


SCENARIOS = {"calico": after_felix, "plain": beside_a_felix_that_nobody_patched}


if __name__ == "__main__":
    sys.exit(main())
