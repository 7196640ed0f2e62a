# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes cluster on this machine: three of the lab's machines, with the control plane on the first, and a
kubelet, containerd and kube-proxy on each. Pods of different nodes reach each other over VXLAN. Addresses and
address blocks are recorded as Calico would record them.

  node i   172.18.0.(2+i), fd00:18::(2+i); pods 10.244.i.0/26 and fd00:10:244:i::/64; the bridge of the
           pods has the address .1 in it, vxlan.calico .62
"""
import calendar
import concurrent.futures
import ipaddress
import json
import os
import tempfile
import time

import container
import workload
from cluster import Cluster, all_encrypt
from control_plane import SERVICES, ControlPlane, Refused, program
from daemon import Daemon
from hosts import ROOT, wait_for
from machine import Janitor, Machine

MANIFESTS = os.path.join(ROOT, "deploy/kubernetes")
FELIX = "/apis/crd.projectcalico.org/v1/felixconfigurations/default"
NODE_PORT = 30080
CONTAINERD = "/run/containerd/containerd.sock"

CONTAINERD_CONFIG = f"""
version = 2
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{container.PAUSE}"
  # Without CAP_SYS_RESOURCE nobody may lower a score, and runc fails.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"""


class KubernetesNode(Machine):
    def __init__(self, name, index, janitor):
        super().__init__(name, index, janitor)
        self.vtep, self.vtep6 = f"10.244.{index}.62", f"fd00:10:244:{index:x}::3e"
        self.files = os.path.join(janitor.directory, f"{name}.files")
        os.makedirs(self.files, exist_ok=True)
        self.daemons = {}

    def daemon(self, name, command, ready, **options):
        daemon = Daemon(self, name, command, self.files, ready, **options)
        self.daemons[name] = daemon.launch()
        return daemon

    def write(self, name, content):
        """Writes a file outside the node, which the node sees at the same path; returns the path."""
        path = os.path.join(self.files, name)
        with open(path, "w") as f:
            f.write(content if isinstance(content, str) else json.dumps(content, indent=1))
        return path

    def start_containerd(self):
        path = self.write("containerd.toml", CONTAINERD_CONFIG)
        network = {"cniVersion": "0.4.0", "name": "pods", "plugins": [
            {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "mtu": 1440,
             "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}], "ranges": [
                 [{"subnet": self.pods4, "rangeStart": f"10.244.{self.index}.2", "rangeEnd": f"10.244.{self.index}.61"}],
                 [{"subnet": self.pods6, "rangeStart": f"fd00:10:244:{self.index:x}::2",
                   "rangeEnd": f"fd00:10:244:{self.index:x}::3d"}]]}}]}
        self.run(["mkdir", "-p", "/etc/cni/net.d"])
        self.run(["cp", self.write("pods.conflist", network), "/etc/cni/net.d/10-pods.conflist"])
        self.daemon("containerd", ["containerd", "--config", path],
                    lambda: self.run(["ctr", "version"], check=False).returncode == 0)

    def load(self, archive):
        self.run(["ctr", "-n", "k8s.io", "images", "import", "--no-unpack", archive])

    def start_kubelet(self, plane):
        certificate, key = plane.authority.issue(f"kubelet-{self.name}", f"system:node:{self.name}", ["system:nodes"],
                                                 names=[self.name, self.address, self.address6])
        config = self.write("kubelet.json", {
            "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
            "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True},
                               "x509": {"clientCAFile": plane.authority.path}},
            "authorization": {"mode": "Webhook"}, "tlsCertFile": certificate, "tlsPrivateKeyFile": key,
            "containerRuntimeEndpoint": "unix://" + CONTAINERD, "cgroupDriver": "cgroupfs", "cgroupRoot": "/",
            "failCgroupV1": False, "failSwapOn": False, "enforceNodeAllocatable": [], "resolvConf": "",
            "volumePluginDir": "/var/lib/kubelet/plugins", "imageGCHighThresholdPercent": 100,
            "evictionHard": dict.fromkeys(("memory.available", "nodefs.available", "nodefs.inodesFree",
                                           "imagefs.available"), "0%")})
        kubeconfig = plane.kubeconfig(f"node-{self.name}", f"system:node:{self.name}", ["system:nodes"])
        self.daemon("kubelet", [program("kubelet"), "--config", config, "--kubeconfig", kubeconfig,
                                f"--node-ip={self.address},{self.address6}"], lambda: True)

    def start_proxy(self, plane):
        config = self.write("kube-proxy.json", {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "mode": "nftables",
            "clientConnection": {"kubeconfig": plane.kubeconfig("kube-proxy", "system:kube-proxy")},
            "clusterCIDR": "10.244.0.0/16,fd00:10:244::/48", "conntrack": {"maxPerCore": 0, "min": 0}})
        self.daemon("kube-proxy", [program("kube-proxy"), "--config", config], lambda: True)

    def blocks(self):
        """Calico's objects that say which addresses belong to this node, in blocks of 64."""
        for cidr in (self.pods4, f"{ipaddress.ip_network(self.pods6).network_address}/122"):
            name = cidr.translate(str.maketrans(".:/", "---"))
            yield {"apiVersion": "crd.projectcalico.org/v1", "kind": "IPAMBlock", "metadata": {"name": name},
                   "spec": {"cidr": cidr, "affinity": f"host:{self.name}", "allocations": [None] * 64,
                            "unallocated": list(range(64)), "attributes": [], "strictAffinity": False}}

    def object(self):
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux"}
        spec = {"podCIDR": self.pods4, "podCIDRs": [self.pods4, str(ipaddress.ip_network(self.pods6))]}
        if self.index == 0:
            labels["node-role.kubernetes.io/control-plane"] = ""
            spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
        return {"apiVersion": "v1", "kind": "Node", "spec": spec, "metadata": {
            "name": self.name, "labels": labels, "annotations": {
                "projectcalico.org/IPv4Address": f"{self.address}/16",
                "projectcalico.org/IPv6Address": f"{self.address6}/64",
                "projectcalico.org/IPv4VXLANTunnelAddr": self.vtep,
                "projectcalico.org/IPv6VXLANTunnelAddr": str(ipaddress.ip_address(self.vtep6))}}}


class Pod:
    """A running pod. start() and run() use the pod's network and the node's file system. (`kubectl exec` is what a user
    has, but it passes no signals on.)"""

    def __init__(self, cluster, name):
        self.name = name
        found = cluster.plane.get(f"/api/v1/namespaces/default/pods/{name}")
        self.node = cluster.node(found["spec"]["nodeName"])
        addresses = [a["ip"] for a in found["status"]["podIPs"]]
        self.address = next(a for a in addresses if ":" not in a)
        self.address6 = next(a for a in addresses if ":" in a)
        container_id = found["status"]["containerStatuses"][0]["containerID"].split("//")[1]
        for line in self.node.run(["ctr", "-n", "k8s.io", "tasks", "list"]).splitlines():
            if line.startswith(container_id):
                self.pid = line.split()[1]

    def _inside(self, command):
        return ["nsenter", "-t", self.pid, "-n", "--", *(["sh", "-c", command] if isinstance(command, str) else command)]

    def enter(self, command):
        return self.node.enter(self._inside(command))

    def run(self, command, **options):
        return self.node.run(self._inside(command), **options)

    def start(self, command, **options):
        return self.node.start(self._inside(command), **options)


def pod_object(name, node, arguments, ready=None):
    """A pod on a node that runs the lab's Python image. With `ready`, it is Ready when that TCP port is open."""
    c = {"name": name, "image": container.PYTHON, "imagePullPolicy": "Never", "args": arguments}
    if ready:
        c["readinessProbe"] = {"tcpSocket": {"port": ready}, "periodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "dnsPolicy": "Default",
                     "containers": [c]}}


def service_object(name, kind="ClusterIP"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"type": kind, "selector": {"app": "backend-api"}, "ipFamilyPolicy": "RequireDualStack",
                     "ports": [{"port": workload.PORT, **({"nodePort": NODE_PORT} if kind == "NodePort" else {})}]}}


class KubernetesCluster(Cluster):
    """When the constructor returns, all nodes are Ready. `say` is called with a line for each step."""

    def __init__(self, nodes=3, mtu=1500, say=lambda text: None):
        self.say, self.started = say, time.monotonic()
        self.janitor, self.plane = Janitor(), None
        try:
            super().__init__(nodes, mtu)
            self._start()
        except BaseException:
            self.close()
            raise

    def _make_directory(self):
        return tempfile.TemporaryDirectory(dir=self.janitor.directory)

    def _make_node(self, name, index):
        return KubernetesNode(name, index, self.janitor)

    def report_step(self, text):
        self.say(f"{time.monotonic() - self.started:5.1f} s  {text}")

    def _start(self):
        control = self.nodes[0]
        # A process dies with the thread that started it (PR_SET_PDEATHSIG): this thread starts the daemons, others only wait.
        for node in self.nodes:
            node.start_containerd()
        with concurrent.futures.ThreadPoolExecutor() as pool:
            loaded = pool.submit(self._load)
            self.plane = ControlPlane(control, os.path.join(self.janitor.directory, "control-plane"), control.address,
                                      names=[control.address6])
            self.report_step("API server")
            self.kubeconfig = self.plane.admin
            self._start_controllers()
            self.plane.apply_calico_crds("felixconfigurations", "ipamblocks")
            self.plane.apply(*[o for n in self.nodes for o in (n.object(), *n.blocks())],
                             {"apiVersion": "crd.projectcalico.org/v1", "kind": "FelixConfiguration",
                              "metadata": {"name": "default"}, "spec": {}})
            loaded.result()
            self.report_step("containerd, with images, on each node")
            for node in self.nodes:
                node.start_kubelet(self.plane)
                node.start_proxy(self.plane)
        self.kubectl("wait", "--for=condition=Ready", "--timeout=90s", "nodes", "--all", timeout=100)
        wait_for(self._has_account, "the default service account is there", 60)
        self.report_step("nodes are Ready")

    def _load(self):
        """Loads the images on each node."""
        archives = container.archives()

        def load(node):
            node.daemons["containerd"].wait_ready()
            for archive in archives:
                node.load(archive)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            list(pool.map(load, self.nodes))

    def _start_controllers(self):
        control, plane = self.nodes[0], self.plane
        for name, arguments in (("kube-scheduler", []), ("kube-controller-manager", [
                "--use-service-account-credentials", f"--root-ca-file={plane.authority.path}",
                f"--service-account-private-key-file={plane.tokens.private}",
                f"--cluster-signing-cert-file={plane.authority.path}",
                f"--cluster-signing-key-file={plane.authority.key_path}",
                "--cluster-cidr=10.244.0.0/16,fd00:10:244::/48", f"--service-cluster-ip-range={SERVICES}"])):
            kubeconfig = plane.kubeconfig(name, f"system:{name}")
            control.daemon(name, [
                program(name), f"--kubeconfig={kubeconfig}", f"--authentication-kubeconfig={kubeconfig}",
                f"--authorization-kubeconfig={kubeconfig}", "--leader-elect=false", "--bind-address=127.0.0.1",
                "--profiling=false", *arguments], lambda: True)

    def _has_account(self):
        try:
            return self.plane.get("/api/v1/namespaces/default/serviceaccounts/default")
        except Refused:
            return None

    # --- nodes come and go ---

    def join(self):
        """Adds a node, with the first free name; returns when it is Ready."""
        node = self.add_node()
        node.start_containerd()
        node.daemons["containerd"].wait_ready()
        for archive in container.archives():
            node.load(archive)
        self.plane.apply(node.object(), *node.blocks())
        node.start_kubelet(self.plane)
        node.start_proxy(self.plane)
        # A node of this name may have been Ready before: only a new heartbeat counts.
        started = time.time() - 1

        def ready():
            found = self.plane.get(f"/api/v1/nodes/{node.name}").get("status", {}).get("conditions", [])
            return any(c["type"] == "Ready" and c["status"] == "True" and
                       calendar.timegm(time.strptime(c["lastHeartbeatTime"], "%Y-%m-%dT%H:%M:%SZ")) >= started
                       for c in found)
        wait_for(ready, f"{node.name} is Ready", 60)
        return node

    def lose(self, node):
        """Removes the machine and all that it had; the cluster still knows the node."""
        self.remove_node(node)

    def forget(self, node):
        """Deletes the objects that an administrator and Calico delete when a machine does not come back."""
        self.kubectl("delete", "node", node.name)
        self.kubectl("delete", "ipamblocks.crd.projectcalico.org", *[b["metadata"]["name"] for b in node.blocks()])

    # --- what a user does ---

    def kubectl(self, *arguments, **options):
        return self.plane.kubectl(*arguments, **options)

    def deploy(self, base="calico"):
        """Deploys Podveil as users do; returns when it is ready on each node."""
        if base != "calico":
            # An object cannot be applied together with its definition.
            self.kubectl("apply", "-k", os.path.join(MANIFESTS, "crd"))
            self.plane.established("podveilconfigurations.podveil.io")
        self.kubectl("apply", "-k", os.path.join(MANIFESTS, base))
        self.rolled_out()
        self.report_step("Podveil runs on each node")

    def undeploy(self, base="calico"):
        """Removes Podveil; returns when the cluster has no object of it. What an agent left on a node stays there."""
        # When the definition is deleted first, the object is deleted with it.
        self.kubectl("delete", "-k", os.path.join(MANIFESTS, base), "--ignore-not-found", timeout=120)

    def run_workload(self):
        """Starts the pods backend-api and frontend-client, and a Service and a NodePort for the backend. The pods are
        self.server and self.client."""
        self.plane.apply(
            service_object("backend-api"), service_object("backend-node-port", "NodePort"),
            pod_object("backend-api", "wireguard-worker2", ["-c", workload.BACKEND], workload.PORT),
            pod_object("frontend-client", "wireguard-worker",
                       ["-c", workload.FRONTEND, "$(BACKEND_API_SERVICE_HOST)"]))
        self.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/backend-api", "pod/frontend-client")
        # kube-proxy learns of the backend a moment after the backend is ready.
        wait_for(lambda: self.kubectl("logs", "frontend-client", "--tail=1").strip().isdigit(),
                 "the frontend gets an answer", 30)
        self.client, self.server = Pod(self, "frontend-client"), Pod(self, "backend-api")
        self.report_step("frontend-client and backend-api run")

    def rolled_out(self, seconds=120):
        """Waits until each node has a pod of the last version that is ready, and no older one."""
        self.kubectl("-n", "podveil-system", "rollout", "status", "daemonset/podveil", f"--timeout={seconds}s",
                     timeout=seconds + 10)
        wait_for(lambda: len(self.agent_pods()) == len(self.nodes), "the older pods have ended", 30)

    def agent_pods(self):
        pods = self.plane.get("/api/v1/namespaces/podveil-system/pods?labelSelector=app.kubernetes.io/name=podveil")
        return pods["items"]

    def agent_pod(self, node):
        return self.kubectl("-n", "podveil-system", "get", "pods", "-l", "app.kubernetes.io/name=podveil",
                            "--field-selector", f"spec.nodeName={node.name}", "-o", "name").strip()

    def status(self, node):
        """The status of the node's agent; None if it does not answer."""
        done = node.run(["curl", "-sf", "http://127.0.0.1:9586/status"], check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def encrypted(self, nodes=None, family="ipv4"):
        return all_encrypt(nodes or self.nodes, self.status, family)

    def configure(self, **settings):
        self.plane.patch(FELIX, {"spec": settings})

    def diagnosis(self):
        """The state of the cluster and the logs of ended programs, for an error report."""
        parts = []
        if self.plane:
            for command in (["get", "nodes", "-o", "wide"], ["get", "pods", "-A", "-o", "wide"],
                            ["get", "events", "-A", "--sort-by=.lastTimestamp"],
                            ["-n", "podveil-system", "logs", "-l", "app.kubernetes.io/name=podveil", "--tail=20"]):
                done = self.kubectl(*command, check=False)
                parts.append(f"$ kubectl {' '.join(command)}\n{done.stdout}{done.stderr}")
        for node in self.nodes:
            for name, daemon in getattr(node, "daemons", {}).items():
                if not daemon.running():
                    parts.append(f"{node.name}: {name} has ended\n{daemon.tail()}")
        return "\n".join(parts)

    def close(self):
        hosts = getattr(self, "hosts", [])
        for host in reversed(hosts):
            host.close()
        self.hosts, self.nodes = [], []
        if hasattr(self, "directory"):
            self.directory.cleanup()
        self.janitor.close()
