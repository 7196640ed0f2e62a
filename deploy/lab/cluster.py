# SPDX-License-Identifier: Apache-2.0
"""A cluster made of namespaces: nodes on one switch, pods on the nodes, VXLAN between them.

  switch:  a bridge in a namespace of its own, 172.18.0.1
  node i:  eth0 172.18.0.(2+i)/16 and fd00:18::(2+i)/64; pods 10.244.i.0/26 and fd00:10:244:i::/64;
           vxlan.calico, UDP 4789, carries what is not encrypted
  pods:    a veth each, routed, as Calico does it

The processes that hold the namespaces end with the process that made the cluster.
"""
import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import tempfile

import workload
from hosts import PODVEIL, Failed, Host, wait_for

NAMES = ["wireguard-control-plane", "wireguard-worker"]
PODS4 = ipaddress.ip_network("10.244.0.0/16")
PODS6 = ipaddress.ip_network("fd00:10:244::/48")
VXLAN_PORT = 4789


def is_running(pid):
    """False if the process has ended, even if nobody has asked for its exit code yet."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def find_process(host, program, subcommand):
    """The PID of the process in the host's network namespace that runs this program with this subcommand, or None."""
    for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
            if os.path.basename(words[0]) == program and words[1:2] == [subcommand] and \
                    Host._namespace(pid) == host.network and is_running(pid):
                return int(pid)
    return None


def node_name(i):
    return NAMES[i] if i < 2 else f"wireguard-worker{i}"


class Agent:
    """A `podveil agent` that runs on a node."""

    def __init__(self, node, store, arguments=(), env=None, under=(), program=PODVEIL):
        self.node = node
        self.file = tempfile.NamedTemporaryFile(mode="r", suffix=".log")
        command = [*under, program, "agent", "--node", node.name, "--store", store, *arguments]
        with open(self.file.name, "w") as log:
            self.process = node.start(command, stdout=log, stderr=log, env=env,
                                      stdin=subprocess.DEVNULL)

    def log(self):
        with open(self.file.name) as f:
            return f.read()

    def status(self):
        """The output of `podveil status --json`; None if it fails."""
        done = self.node.run([PODVEIL, "status", "--json"], check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def tunnel_process(self):
        """The PID of the node's tunnel process, or None."""
        return find_process(self.node, b"podveil", b"tunnel")

    def end_tunnel_process(self, what):
        pid = self.tunnel_process()
        if pid:
            os.kill(pid, what)
            wait_for(lambda: not is_running(pid), "the tunnel process ends")

    def _end(self, what, tunnel):
        self.process.send_signal(what)
        code = self.process.wait(timeout=20)
        if tunnel:
            self.end_tunnel_process(what)
        return code

    def stop(self, tunnel=True):
        """Ends the agent; with `tunnel`, then the tunnel process, too, which goes on otherwise."""
        return self._end(signal.SIGTERM, tunnel)

    def kill(self, tunnel=True):
        return self._end(signal.SIGKILL, tunnel)


class Node(Host):
    def __init__(self, name, index):
        super().__init__(name)
        self.index = index
        self.address = f"172.18.0.{2 + index}"
        self.address6 = f"fd00:18::{2 + index:x}"
        self.pods4 = f"10.244.{index}.0/26"
        self.pods6 = f"fd00:10:244:{index:x}::/64"
        self.vtep = f"10.244.{index}.1"
        self.vtep6 = f"fd00:10:244:{index:x}::1"
        self.mac = f"66:00:00:00:00:{index:02x}"
        self.pods = []
        self.agent = None


def encrypts_with(peer):
    """True if what is sent to this peer is encrypted. A session ends after three minutes without traffic, and the next packet
    begins another one."""
    return peer["encrypting"] and (peer["session"] or (peer["lastHandshake"] and not peer["silence"]))


def not_encrypting(nodes, status_of, family):
    """What keeps these nodes from encrypting each with all the others, as their agents' status says."""
    for node in nodes:
        status = status_of(node)
        if not status:
            yield f"{node.name} has no status"
            continue
        tunnel = next(t for t in status["tunnels"] if t["family"] == family)
        if tunnel["state"] != "on":
            yield f"the tunnel of {node.name} is {tunnel['state']}"
        peers = {p["node"]: p for p in tunnel["peers"]}
        for other in nodes:
            peer = peers.get(other.name)
            if other is not node and not (peer and encrypts_with(peer)):
                yield f"{node.name} with {other.name}: {peer}"


def all_encrypt(nodes, status_of, family):
    return not list(not_encrypting(nodes, status_of, family))


class Cluster:
    def __init__(self, nodes=3, mtu=1500):
        self.directory = self._make_directory()
        self.store = os.path.join(self.directory.name, "store")
        self.store_url = f"dir:{self.store}"  # the agents' --store
        os.chmod(self.directory.name, 0o755)
        self.mtu = mtu
        self.nodes, self.hosts = [], []
        try:
            self.switch = Host("switch")
            self.hosts.append(self.switch)
            self.switch.run("ip link add br0 type bridge mcast_snooping 0 && ip link set br0 up && "
                            "ip addr add 172.18.0.1/16 dev br0 && "
                            "ip addr add fd00:18::1/64 dev br0 nodad")
            for _ in range(nodes):
                self.add_node()
        except BaseException:
            self.close()
            raise

    def node(self, name):
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"no node {name}; there are " + ", ".join(n.name for n in self.nodes))

    def _make_directory(self):
        return tempfile.TemporaryDirectory(prefix="podveil-lab-")

    def _make_node(self, name, index):
        return Node(name, index)

    def add_node(self):
        taken = {n.index for n in self.nodes}
        index = next(i for i in range(250) if i not in taken)
        node = self._make_node(node_name(index), index)
        self.hosts.append(node)
        port = f"port{index}"
        self.switch.run(f"ip link add {port} mtu {self.mtu} type veth peer name eth0 mtu {self.mtu} "
                        f"netns {node.pid} && ip link set {port} master br0 up")
        node.taps["eth0"] = (self.switch, port)
        node.run(f"hostname {node.name}; ip link set eth0 up && "
                 f"ip addr add {node.address}/16 dev eth0 && "
                 f"ip addr add {node.address6}/64 dev eth0 nodad && "
                 "ip route add default via 172.18.0.1 && "
                 "sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 && "
                 f"ip link add vxlan.calico address {node.mac} mtu {self.mtu - 50} type vxlan id 4096 "
                 f"dstport {VXLAN_PORT} local {node.address} dev eth0 nolearning && "
                 "ip link set vxlan.calico up && "
                 f"ip addr add {node.vtep}/32 dev vxlan.calico && "
                 f"ip addr add {node.vtep6}/128 dev vxlan.calico nodad")
        for other in self.nodes:
            self._reach(node, other)
            self._reach(other, node)
        self.nodes.append(node)
        return node

    @staticmethod
    def _reach(node, other):
        """Sets the routes by which `node` reaches the pods of `other` unencrypted, over VXLAN."""
        node.run(f"bridge fdb replace {other.mac} dev vxlan.calico dst {other.address} && "
                 f"ip neigh replace {other.vtep} lladdr {other.mac} dev vxlan.calico nud permanent && "
                 f"ip neigh replace {other.vtep6} lladdr {other.mac} dev vxlan.calico nud permanent && "
                 f"ip route replace {other.pods4} via {other.vtep} dev vxlan.calico onlink && "
                 f"ip -6 route replace {other.pods6} via {other.vtep6} dev vxlan.calico onlink")

    def remove_node(self, node):
        """Removes the machine and the other nodes' routes to its pods; its record in the store stays."""
        self.nodes.remove(node)
        for pod in node.pods:
            self.hosts.remove(pod)
            pod.close()
        self.hosts.remove(node)
        node.close()
        for other in self.nodes:
            other.run(f"ip route del {node.pods4} dev vxlan.calico; "
                      f"ip -6 route del {node.pods6} dev vxlan.calico; true")

    def pod(self, node, name):
        """Makes a pod on a node; its addresses are .address and .address6."""
        pod = Host(name)
        self.hosts.append(pod)
        number = 2 + len(node.pods)
        pod.address, pod.address6 = f"10.244.{node.index}.{number}", f"fd00:10:244:{node.index:x}::{number:x}"
        device = f"cali{node.index}n{number}"
        mtu = self.mtu - 60
        pod.run(f"ip link add eth0 mtu {mtu} type veth peer name {device} mtu {mtu} "
                f"netns {node.pid} && ip link set eth0 up && "
                f"ip addr add {pod.address}/32 dev eth0 && "
                f"ip addr add {pod.address6}/128 dev eth0 nodad")
        node.run(f"ip link set {device} up && sysctl -qw net.ipv4.conf.{device}.proxy_arp=1 net.ipv4.neigh.{device}.proxy_delay=0 && "
                 f"ip addr add fe80::1/64 dev {device} nodad && "
                 f"ip route add {pod.address} dev {device} && "
                 f"ip -6 route add {pod.address6} dev {device}")
        pod.run("ip route add 169.254.1.1 dev eth0 && ip route add default via 169.254.1.1 && "
                "ip -6 route add default via fe80::1 dev eth0")
        node.pods.append(pod)
        return pod

    def start_agent(self, node, *arguments, env=None, ready=True, pod_cidrs=True, under=(), program=PODVEIL):
        """Starts the agent of a node. With `pod_cidrs`, the ranges of the node's pods are arguments of the agent; without, the
        agent takes them from the store. `under` is a command that runs the agent, such as setpriv; `program` is
        another build. With `ready`, returns when the agent has read the store."""
        ranges = ["--pod-cidr", f"{node.pods4},{node.pods6}"] if pod_cidrs else []
        node.agent = Agent(node, self.store_url, [*ranges, *arguments], env=env, under=under, program=program)
        if ready:
            wait_for(lambda: self._synced(node.agent), f"agent of {node.name} is ready")
        return node.agent

    @staticmethod
    def _synced(agent):
        if agent.process.poll() is not None:
            raise Failed(f"{agent.node.name}: the agent ended\n{agent.log()}")
        status = agent.status()
        return status and status["store"]["synced"] and not status["failed"]

    def podveil(self, *arguments):
        """Runs a subcommand such as enable or disable on the first node, as an administrator would."""
        return self.nodes[0].run([PODVEIL, *arguments, "--store", self.store_url])

    def configure(self, node=None, **settings):
        """Writes settings as an administrator would with an editor; the value None removes a setting."""
        path = os.path.join(self.store, "config", f"node.{node}.json" if node else "default.json")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        document = {}
        if os.path.exists(path):
            with open(path) as f:
                document = json.load(f)
        document.update(settings)
        document = {k: v for k, v in document.items() if v is not None}
        with open(path + ".tmp", "w") as f:
            json.dump(document, f)
        os.rename(path + ".tmp", path)

    def encrypted(self, nodes=None, family="ipv4"):
        """True if each of these nodes (default: all) encrypts with all the others."""
        return all_encrypt(nodes or self.nodes, lambda node: node.agent.status(), family)

    def not_encrypting(self):
        return list(not_encrypting(self.nodes, lambda node: node.agent.status(), "ipv4"))

    def close(self):
        for host in reversed(self.hosts):
            host.close()
        self.hosts, self.nodes = [], []
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def inner_layers(packet):
    """The IP layers of a packet, also those inside VXLAN."""
    from scapy.layers.inet import IP
    from scapy.layers.inet6 import IPv6
    layer = packet
    while layer:
        if isinstance(layer, (IP, IPv6)):
            yield layer
        layer = layer.payload if layer.payload else None


def leaks(packets, marker=workload.MARKER):
    """The captured packets in which a pod's address or the marker can be read, directly or inside VXLAN."""
    found = []
    for p in packets:
        pods = [a for ip in inner_layers(p) for a in (ip.src, ip.dst)
                if ipaddress.ip_address(a) in PODS4 or ipaddress.ip_address(a) in PODS6]
        if pods or (marker and marker in bytes(p)):
            found.append(p)
    return found
