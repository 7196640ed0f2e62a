# SPDX-License-Identifier: Apache-2.0
"""A real Kubernetes API server on a host of the lab, with its etcd, certificates, RBAC and service accounts.

  with Host("server") as host, ControlPlane(host, directory) as c:
      c.kubectl("get", "nodes")
      c.get("/api/v1/nodes")
      kubeconfig = c.service_account_kubeconfig("podveil", "podveil-system")

etcd's data are in the host's /run and vanish with the host; logs, certificates and kubeconfigs are in `directory`.
"""
import base64
import ctypes
import http.client
import ipaddress
import json
import os
import socket
import ssl
import threading
import time

import pki
from daemon import Daemon
from hosts import ROOT, Failed, wait_for

BIN = os.environ.get("PODVEIL_KUBERNETES", os.path.join(ROOT, "build/kubernetes/bin"))
CALICO_CRD = os.path.join(ROOT, "build/kubernetes/calico-crd")
CILIUM_CRD = os.path.join(ROOT, "build/kubernetes/cilium-crd")
ISSUER = "https://kubernetes.default.svc.cluster.local"
SERVICES = "10.96.0.0/16,fd00:10:96::/108"
CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def program(name):
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise Failed(f"no {path}: make deps-kubernetes builds it")
    return path


def on_host(host, function):
    """Runs `function` in the host's network namespace and returns its result. It runs in a new thread, because the thread
    stays in that namespace. Sockets that `function` makes belong to the host."""
    result = []

    def run():
        try:
            with open(f"/proc/{host.pid}/ns/net") as ns:
                if _libc.setns(ns.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            result.append(function())
        except OSError as e:
            result.append(e)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(result[0], OSError):
        raise result[0]
    return result[0]


def socket_on(host, address, port, timeout=10):
    """A TCP connection made from the host."""
    return on_host(host, lambda: socket.create_connection((address, port), timeout))


class Refused(Failed):
    """The API server's answer was not 2xx. .code is the HTTP code, .status the Status object of the answer."""

    def __init__(self, what, code, text):
        super().__init__(f"{what}: {code} {text[:2000]}")
        self.code = code
        try:
            self.status = json.loads(text)
        except ValueError:
            self.status = {}


class ControlPlane:
    """etcd and kube-apiserver on `host`, ready when the constructor returns.

    address    the address at which clients reach it
    names      further names in its certificate
    arguments  further arguments of kube-apiserver, for instance ["--watch-cache=false"]
    """

    def __init__(self, host, directory, address="127.0.0.1", names=(), arguments=(), port=6443):
        self.host, self.directory, self.address, self.port = host, directory, address, port
        self.names = ["localhost", "127.0.0.1", address, "10.96.0.1", "kubernetes", "kubernetes.default",
                      "kubernetes.default.svc", host.name, *names]
        self.server = f"https://{address}:{port}"
        os.makedirs(directory, mode=0o755, exist_ok=True)
        self.authority = pki.Authority(directory)
        # Clients check the server's certificate against this authority. roll_certificate() may set another one.
        self.server_authority = self.authority
        self.tokens = pki.SigningKey(directory)
        self.certificate, self.key = self.authority.issue("apiserver", "kube-apiserver", names=self.names)
        self.admin = self.kubeconfig("admin", "kubernetes-admin", ["system:masters"])
        kubelet_client = self.authority.issue("apiserver-kubelet", "kube-apiserver-kubelet", ["system:masters"])
        self.etcd = Daemon(host, "etcd", [
            "etcd", "--data-dir", "/run/etcd", "--listen-client-urls", "http://127.0.0.1:2379",
            "--advertise-client-urls", "http://127.0.0.1:2379", "--listen-peer-urls", "http://127.0.0.1:2380",
            "--logger", "zap", "--quota-backend-bytes", str(4 << 30)], directory, self._etcd_ready)
        self.apiserver = Daemon(host, "kube-apiserver", [
            program("kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", f"--secure-port={port}",
            *self._advertise(), f"--bind-address={'::' if ':' in address else '0.0.0.0'}",
            f"--tls-cert-file={self.certificate}", f"--tls-private-key-file={self.key}",
            f"--client-ca-file={self.authority.path}", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true", "--anonymous-auth=true",
            f"--service-account-issuer={ISSUER}", f"--service-account-key-file={self.tokens.public}",
            f"--service-account-signing-key-file={self.tokens.private}", f"--service-cluster-ip-range={SERVICES}",
            f"--kubelet-client-certificate={kubelet_client[0]}", f"--kubelet-client-key={kubelet_client[1]}",
            f"--kubelet-certificate-authority={self.authority.path}",
            "--kubelet-preferred-address-types=InternalIP", "--profiling=false", *arguments], directory, self._ready)
        try:
            self.etcd.start()
            self.apiserver.start()
        except BaseException:
            self.close()
            raise

    def _advertise(self):
        """The arguments for the address at which pods reach it. It refuses to advertise a loopback address; with that there
        are no pods, and any other address will do."""
        if ipaddress.ip_address(self.address).is_loopback:
            return ["--advertise-address=192.0.2.1", "--endpoint-reconciler-type=none"]
        return [f"--advertise-address={self.address}"]

    # --- its health ---

    def _etcd_ready(self):
        try:
            c = http.client.HTTPConnection("127.0.0.1", 2379)
            c.sock = socket_on(self.host, "127.0.0.1", 2379)
            c.request("GET", "/health")
            return json.loads(c.getresponse().read()).get("health") == "true"
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def _ready(self):
        try:
            return self.request("GET", "/readyz", parse=False) == "ok"
        except (OSError, Failed, http.client.HTTPException):
            time.sleep(0.05)  # asking every 10 ms would slow its start
            return False

    def close(self):
        for daemon in (self.apiserver, self.etcd):
            daemon.kill()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- credentials ---

    def _write_kubeconfig(self, name, user):
        path = os.path.join(self.directory, f"{name}.kubeconfig")
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "lab", "preferences": {},
            "clusters": [{"name": "lab", "cluster": {
                "server": self.server,
                "certificate-authority-data": base64.b64encode(self.server_authority.certificate).decode()}}],
            "users": [{"name": name, "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": name}}]}
        # JSON is YAML; the indentation is that of kubectl.
        pki.replace(path, json.dumps(config, indent=2).encode())
        return path

    def kubeconfig(self, name, common_name, organizations=(), seconds=pki.DAYS * 86400):
        """Writes a kubeconfig with a client certificate; returns its path."""
        paths = self.authority.issue(name, common_name, organizations, seconds=seconds)
        data = []
        for path in paths:
            with open(path, "rb") as f:
                data.append(base64.b64encode(f.read()).decode())
        return self._write_kubeconfig(name, {"client-certificate-data": data[0], "client-key-data": data[1]})

    def token(self, account, namespace="default", seconds=3600, pod=None):
        """A token of a service account that the server accepts for `seconds`; bound to `pod` if that is given.

        The server's API refuses to make tokens for less than ten minutes. Such tokens are signed here, with the server's key.
        The server accepts a token a minute longer than the token says, and caches for ten seconds that it was valid.
        """
        bound = {}
        if pod:
            found = self.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
            bound = {"name": pod, "uid": found["metadata"]["uid"]}
        if seconds >= 600:
            answer = self.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", {
                "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                "spec": {"expirationSeconds": seconds,
                         **({"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", **bound}} if bound else {})}})
            return answer["status"]["token"]
        uid = self.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}")["metadata"]["uid"]
        claims = {"namespace": namespace, "serviceaccount": {"name": account, "uid": uid}}
        if pod:
            node = self.get(f"/api/v1/nodes/{found['spec']['nodeName']}")["metadata"]
            claims.update(pod=bound, node={"name": node["name"], "uid": node["uid"]})
        return self.tokens.token({
            "iss": ISSUER, "aud": [ISSUER], "sub": f"system:serviceaccount:{namespace}:{account}",
            "kubernetes.io": claims}, seconds - 60)

    def token_file(self, account, namespace="default", seconds=3600, pod=None):
        """Writes a token to a file, as it is mounted in a pod; returns the path. A second call replaces the file in one step."""
        path = os.path.join(self.directory, f"{namespace}.{pod or account}.token")
        pki.replace(path, self.token(account, namespace, seconds, pod).encode())
        return path

    def service_account_kubeconfig(self, account, namespace="default", seconds=3600, file=False, pod=None):
        """Writes a kubeconfig with a service account's token; returns its path. With `file`, the token is in a separate file.
        With `pod`, the token is bound to that pod."""
        name = f"{namespace}.{pod or account}"
        user = ({"tokenFile": self.token_file(account, namespace, seconds, pod)} if file
                else {"token": self.token(account, namespace, seconds, pod)})
        return self._write_kubeconfig(name, user)

    # --- requests ---

    def kubectl(self, *arguments, kubeconfig=None, stdin=None, check=True, timeout=60):
        """Runs kubectl on the host; returns its standard output, or with check=False what subprocess.run() returns."""
        command = [program("kubectl"), "--kubeconfig", kubeconfig or self.admin,
                   f"--cache-dir={self.directory}/kubectl", *arguments]
        return self.host.run(command, stdin=stdin, check=check, timeout=timeout)

    def apply(self, *documents):
        """kubectl apply --server-side with these objects."""
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-",
                            stdin="\n---\n".join(json.dumps(d) for d in documents))

    def apply_kustomization(self, path, *arguments):
        """kubectl apply -k. If the directory has resource definitions and objects of them, the objects need a second try."""
        def applied():
            done = self.kubectl("apply", "--server-side", "--force-conflicts", "-k", path, *arguments, check=False)
            if done.returncode and "no matches for kind" not in done.stderr:
                raise Failed(f"kubectl apply -k {path}: {done.stderr}")
            return done.returncode == 0
        wait_for(applied, f"{path} is applied", 30)

    def apply_calico_crds(self, *names):
        """Applies Calico's resource definitions, all or those named ("felixconfigurations", ...); returns when they are ready."""
        names = names or sorted(f.split("_")[1][:-5] for f in os.listdir(CALICO_CRD) if f.endswith(".yaml"))
        files = [f"{CALICO_CRD}/crd.projectcalico.org_{name}.yaml" for name in names]
        self.kubectl("apply", "--server-side", *[f"-f{f}" for f in files])
        for name in names:
            self.established(f"{name}.crd.projectcalico.org")

    def apply_cilium_crd(self):
        """Applies Cilium's resource definition of CiliumNodes; returns when it is ready."""
        self.kubectl("apply", "--server-side", f"-f{CILIUM_CRD}/ciliumnodes.yaml")
        self.established("ciliumnodes.cilium.io")

    def established(self, definition):
        """Returns when a resource definition can be used. `kubectl wait` would fail while the definition has no status."""
        def is_so():
            found = self.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition}")
            return any(c["type"] == "Established" and c["status"] == "True"
                       for c in found.get("status", {}).get("conditions") or [])
        wait_for(is_so, f"{definition} can be used", 30)

    def connection(self, timeout=30, admin=True):
        """An http.client connection for many requests, as an administrator or (admin False) without credentials."""
        context = ssl.create_default_context(cadata=self.server_authority.certificate.decode())
        if admin:
            context.load_cert_chain(*[os.path.join(self.directory, "admin" + s) for s in (".crt", ".key")])
        c = http.client.HTTPSConnection(self.address, self.port, context=context, timeout=timeout)
        c.sock = context.wrap_socket(socket_on(self.host, self.address, self.port, timeout),
                                     server_hostname=self.address)
        return c

    @staticmethod
    def send(connection, method, path, body=None, content_type="application/json", parse=True):
        """Makes one request on a connection; returns the JSON of the answer. Raises Refused if the answer is not 2xx."""
        connection.request(method, path, None if body is None else json.dumps(body),
                           {"Content-Type": content_type})
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status >= 300:
            raise Refused(f"{method} {path}", answer.status, text)
        return json.loads(text) if parse else text

    def request(self, method, path, body=None, content_type="application/json", parse=True):
        connection = self.connection()
        try:
            return self.send(connection, method, path, body, content_type, parse)
        finally:
            connection.close()

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body):
        return self.request("POST", path, body)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def patch(self, path, body):
        """A merge patch (RFC 7396)."""
        return self.request("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path):
        return self.request("DELETE", path)

    # --- changes of its state ---

    def etcdctl(self, *arguments):
        return self.host.run(["etcdctl", "--endpoints", "http://127.0.0.1:2379", *arguments],
                             env={"ETCDCTL_API": "3"})

    def revision(self):
        """etcd's revision, which is the newest resourceVersion."""
        return json.loads(self.etcdctl("endpoint", "status", "-w", "json"))[0]["Status"]["header"]["revision"]

    def compact(self):
        """etcd forgets all revisions before the current one; returns that. A watch from an older resourceVersion then gets
        410, unless the server's own cache has it (after a restart, or with --watch-cache=false, it has not)."""
        revision = self.revision()
        self.etcdctl("compact", str(revision), "--physical")
        return revision

    def served_certificate(self):
        """The certificate that the server sends to clients now, in PEM."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(socket_on(self.host, self.address, self.port)) as s:
            return ssl.DER_cert_to_PEM_cert(s.getpeercert(binary_form=True))

    def roll_certificate(self, authority=False, seconds=pki.DAYS * 86400):
        """Gives the running server a new certificate; returns when the server uses it. With `authority`, a new authority signs
        it: kubeconfigs that were made before do not trust it, later ones do (and the administrator's)."""
        if authority:
            directory = os.path.join(self.directory, f"authority{time.monotonic_ns()}")
            os.mkdir(directory)
            self.server_authority = pki.Authority(directory, common_name="another lab")
        new = self.server_authority.issue("apiserver-next", "kube-apiserver", names=self.names, seconds=seconds)
        with open(new[0]) as f:
            serial = pki.serial_number(f.read())
        # Two files cannot be replaced in one step; the server keeps its certificate until the two files match.
        os.rename(new[1], self.key)
        os.rename(new[0], self.certificate)
        if authority:
            with open(self.admin) as f:
                user = json.load(f)["users"][0]["user"]
            self._write_kubeconfig("admin", user)
        wait_for(lambda: pki.serial_number(self.served_certificate()) == serial, "the new certificate is served", 90)
