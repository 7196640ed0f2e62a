# SPDX-License-Identifier: Apache-2.0
"""A real etcd on a host of the lab (with TLS and users, or as one of several members), and clusters of namespaces that use
it as their store.

  with EtcdCluster() as c:
      c.start_agent(c.nodes[0])
      c.etcd.put("/podveil/config/default", '{"wireguardEnabled": true}')
"""
import base64
import json

import pki
from cluster import Cluster
from daemon import Daemon
from hosts import PODVEIL

PREFIX = "/podveil/"
NODES, CONFIG = PREFIX + "nodes/", PREFIX + "config/"
USER, PASSWORD = "podveil", "for-the-lab"
PEER_PORT = 2380


class Etcd:
    """One member of etcd. Its data are in the host's /run and vanish with the host.

    peers      all members, {name: address}; this member is the one with the host's name. A member serves only when most
               members run, so the constructor does not wait. Without peers, it serves when the constructor returns.
    secure     TLS, and two users: root, and podveil with all rights below /podveil/
    more_urls  further URLs where it listens
    client_certificates  it refuses clients without a certificate
    arguments  further arguments of etcd, for instance ["--auth-token-ttl=5"]
    """

    def __init__(self, host, directory, address, secure=True, more_urls=(), client_certificates=False, arguments=(),
                 peers=None):
        self.host, self.address, self.secure = host, address, secure
        scheme = "https" if secure else "http"
        self.url = f"{scheme}://{address}:2379"
        self.admin = {"ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.url}
        self.environment = {}  # for programs that use it as their store
        name = host.name if peers else "default"
        peer_urls = {n: f"http://{a}:{PEER_PORT}" for n, a in (peers or {name: "127.0.0.1"}).items()}
        command = ["etcd", "--data-dir", "/run/etcd", "--listen-client-urls", ",".join([self.url, *more_urls]),
                   "--advertise-client-urls", self.url, "--listen-peer-urls", peer_urls[name],
                   "--initial-advertise-peer-urls", peer_urls[name], "--name", name,
                   "--initial-cluster", ",".join(f"{n}={u}" for n, u in peer_urls.items()), "--logger", "zap"]
        if secure:
            self.authority = pki.Authority(directory, "etcd-ca", "etcd of the lab")
            certificate, key = self.authority.issue("etcd", "etcd", names=[address, "localhost"])
            command += [f"--cert-file={certificate}", f"--key-file={key}"]
            self.environment = {"ETCDCTL_CACERT": self.authority.path, "ETCDCTL_USER": f"{USER}:{PASSWORD}"}
            self.admin["ETCDCTL_CACERT"] = self.authority.path
        if client_certificates:
            certificate, key = self.authority.issue("root", "root")
            self.admin.update({"ETCDCTL_CERT": certificate, "ETCDCTL_KEY": key})
            command += ["--client-cert-auth", f"--trusted-ca-file={self.authority.path}"]
        self.daemon = Daemon(host, f"etcd-{name}", [*command, *arguments], directory, self._ready)
        if peers:
            self.daemon.launch()
            return
        try:
            self.daemon.start()
            if secure:
                self._make_users()
        except BaseException:
            self.daemon.kill()
            raise

    def _ready(self):
        return self.host.run(["etcdctl", "endpoint", "health"], check=False, env=self.admin).returncode == 0

    def _make_users(self):
        for command in (f"user add root:{PASSWORD}", "user grant-role root root", "role add podveil",
                        f"role grant-permission podveil --prefix=true readwrite {PREFIX}",
                        f"user add {USER}:{PASSWORD}", f"user grant-role {USER} podveil", "auth enable"):
            self.ctl(*command.split())
        self.admin["ETCDCTL_USER"] = f"root:{PASSWORD}"

    def ctl(self, *arguments, stdin=None):
        return self.host.run(["etcdctl", *arguments], env=self.admin, stdin=stdin)

    def get(self, key):
        """What etcd has for a key: mod_revision, lease and so on, with `value` decoded. None if there is no such key."""
        found = json.loads(self.ctl("get", key, "-w", "json")).get("kvs")
        if not found:
            return None
        return {**found[0], "value": base64.b64decode(found[0].get("value", "")).decode()}

    def put(self, key, value):
        if value:
            self.ctl("put", key, stdin=value)
        else:
            self.ctl("put", key, "")

    def delete(self, *arguments):
        self.ctl("del", *arguments)

    def revision(self):
        return json.loads(self.ctl("get", "/", "-w", "json"))["header"]["revision"]

    def compact(self):
        """etcd forgets all revisions before the current one."""
        self.ctl("compact", str(self.revision()), "--physical")


class EtcdCluster(Cluster):
    """A cluster with one etcd, on the switch, at 172.18.0.1."""

    def __init__(self, nodes=3, mtu=1500, **options):
        super().__init__(nodes, mtu)
        try:
            self.etcd = Etcd(self.switch, self.directory.name, "172.18.0.1", **options)
        except BaseException:
            self.close()
            raise
        self.store_url = "etcd:" + self.etcd.url

    def close(self):
        if hasattr(self, "etcd"):
            self.etcd.daemon.kill()
        super().close()

    def start_agent(self, node, *arguments, env=None, **options):
        return super().start_agent(node, *arguments, env={**self.etcd.environment, **(env or {})}, **options)

    def record(self, node):
        """The record that the node has published; None if there is none."""
        there = self.etcd.get(NODES + node.name)
        return there and json.loads(there["value"])

    def podveil(self, *arguments, check=True):
        return self.nodes[0].run([PODVEIL, *arguments, "--store", self.store_url], env=self.etcd.environment,
                                 check=check)

    def configure(self, node=None, **settings):
        """Writes settings as an administrator would with etcdctl; the value None removes a setting."""
        key = CONFIG + (f"node.{node}" if node else "default")
        there = self.etcd.get(key)
        document = {**(json.loads(there["value"]) if there else {}), **settings}
        self.etcd.put(key, json.dumps({k: v for k, v in document.items() if v is not None}))


class EtcdMembers(EtcdCluster):
    """A cluster with a member of etcd on each node, without TLS. Agents know the URLs of all, the first node's first."""

    def __init__(self, nodes=3, mtu=1500, arguments=()):
        Cluster.__init__(self, nodes, mtu)
        try:
            peers = {n.name: n.address for n in self.nodes}
            self.members = [Etcd(n, self.directory.name, n.address, secure=False, arguments=arguments, peers=peers)
                            for n in self.nodes]
            for member in self.members:
                member.daemon.wait_ready()
        except BaseException:
            self.close()
            raise
        self.etcd = self.members[-1]
        self.store_url = "etcd:" + ",".join(m.url for m in self.members)

    def close(self):
        for member in getattr(self, "members", []):
            member.daemon.kill()
        Cluster.close(self)

    @staticmethod
    def cut_off(member):
        """Cuts the member off from the other members; agents still reach it."""
        member.host.run(" && ".join(f"iptables -A {chain} -p tcp --{side}port {PEER_PORT} -j DROP"
                                    for chain in ("INPUT", "OUTPUT") for side in "sd"))

    @staticmethod
    def rejoin(member):
        member.host.run("iptables -F INPUT && iptables -F OUTPUT")
