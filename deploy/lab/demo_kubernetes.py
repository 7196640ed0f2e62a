#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows what an eavesdropper reads without and with encryption, in a real Kubernetes cluster of three nodes. kubectl switches
encryption on and off, with the same settings as Calico's.

Each command runs exactly as it is shown. At the end, also after Ctrl-C, everything is removed.
"""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import demo  # noqa: E402
from control_plane import BIN  # noqa: E402
from demo import compare, eavesdrop, show, title  # noqa: E402
from hosts import PODVEIL, Capture, Failed, on_sigterm, wait_for  # noqa: E402
from kubernetes import NODE_PORT, KubernetesCluster  # noqa: E402
from cluster import leaks  # noqa: E402

PATCH = "kubectl patch felixconfiguration default --type=merge -p "


def unseen(node, what, command_host, command, lines=3):
    """Makes a request while the uplink is captured. Failed, unless it is answered, encrypted, and not readable."""
    capture = Capture(node, "eth0", "")
    out = show(command_host, command, lines)
    capture.stop()
    packets = capture.packets()
    encrypted = len([p for p in packets if p.haslayer("UDP") and p["UDP"].dport in (51820, 51821)])
    found = leaks(packets, marker=b"stripe_api_key")
    print(f"  [{what}: {encrypted} packets encrypted, {len(found)} readable]")
    if '"users"' not in out or found or not encrypted:
        raise Failed(f"{what} is not encrypted")


def requests_go_on(cluster, node, n=3):
    def answered():
        lines = cluster.kubectl("logs", "frontend-client", "--tail=20").split("\n")
        if any(line.startswith("failed") for line in lines):
            raise Failed("a request of the frontend failed:\n" + "\n".join(lines))
        return int([line for line in lines if line.isdigit()][-1])
    first = answered()
    wait_for(lambda: answered() >= first + n, "the frontend gets an answer", 20)


def main():
    on_sigterm(SystemExit(143))
    title("A cluster comes up")
    with KubernetesCluster(say=lambda text: print("  " + text, flush=True)) as c:
        demo.ENVIRONMENT.update({"KUBECONFIG": c.kubeconfig, "PATH": ":".join(
            [BIN, os.path.dirname(PODVEIL), os.environ["PATH"]])})
        control, worker, worker2 = c.nodes
        between = f"host {worker.address} and host {worker2.address}"
        show(control, "kubectl apply -k deploy/kubernetes/calico")
        c.rolled_out()
        c.report_step("Podveil runs on each node")
        c.run_workload()

        title("Three nodes, pods on two of them, VXLAN between them; nothing is encrypted")
        show(control, "kubectl get nodes")
        show(control, "kubectl get pods -o wide")
        show(control, "kubectl -n podveil-system get pods -o wide")
        show(worker, "ip link show wireguard.cali 2>&1 || true")

        title("What everybody on the network reads")
        before = eavesdrop(worker2, expression=between)

        title("Encryption is switched on, once, for all nodes")
        started = time.monotonic()
        show(control, PATCH + """'{"spec":{"wireguardEnabled":true}}'""")
        wait_for(c.encrypted, "all nodes encrypt", 20)
        print(f"  [all nodes encrypt with all others after {time.monotonic() - started:.2f} s]")
        show(control, "kubectl get felixconfiguration default -o yaml | grep -i wireguard")
        show(control, "kubectl get nodes -o custom-columns='NAME:.metadata.name,"
                      "KEY:.metadata.annotations.projectcalico\\.org/WireguardPublicKey'")
        requests_go_on(c, worker)

        title("What that made")
        show(worker, "ip addr show wireguard.cali")
        show(worker, "wg show")
        show(worker, "ip rule")
        show(worker, "ip route show table 1")

        title("The same capture")
        after = eavesdrop(worker2, expression=between)
        show(worker2, f"timeout 5 tcpdump --immediate-mode -i eth0 -n -c 5 'udp port 51820 and {between}' 2>/dev/null")
        show(worker, "wg show wireguard.cali transfer")
        requests_go_on(c, worker)

        title("From a node's own network, through a Service, through a NodePort")
        service = c.kubectl("get", "service", "backend-api", "-o", "jsonpath={.spec.clusterIP}")
        unseen(worker, "node to remote pod", worker, f"curl -s -m 5 http://{c.server.address}:8080/users")
        unseen(worker, "pod to Service", control,
               f"kubectl exec frontend-client -- wget -qO- http://{service}:8080/users")
        unseen(worker, "node to Service", worker, f"curl -s -m 5 http://{service}:8080/users")
        unseen(worker2, "NodePort to a pod on another node", control,
               f"curl -s -m 5 http://{worker.address}:{NODE_PORT}/users")

        title("And off again")
        show(control, PATCH + """'{"spec":{"wireguardEnabled":false}}'""")
        wait_for(lambda: not any("fwmark" in n.run("ip rule") for n in c.nodes), "the rule is removed", 20)
        again = eavesdrop(worker2, expression=between)
        requests_go_on(c, worker)

        title("The same with IPv6: pods have both")
        six = f"http://[{c.server.address6}]:8080/users"
        capture = Capture(worker2, "eth0", f"udp port 4789 and {between}")
        show(worker, f"curl -s -m 5 {six}", 3)
        capture.stop()
        readable = [p for p in leaks(capture.packets(), marker=None) if p.haslayer("IPv6")]
        print(f"  [{len(readable)} packets readable]")
        show(control, PATCH + """'{"spec":{"wireguardEnabled":true,"wireguardEnabledV6":true}}'""")
        wait_for(lambda: c.encrypted() and c.encrypted(family="ipv6"), "all nodes encrypt both", 20)
        show(worker, "wg show wg-v6.cali")
        show(worker, "ip -6 route show table 1")
        unseen(worker2, "node to remote pod, IPv6", worker, f"curl -s -m 5 {six}")
        unseen(worker2, "pod to remote pod, IPv6", control, f"kubectl exec frontend-client -- wget -qO- {six}")
        show(control, PATCH + """'{"spec":{"wireguardEnabled":false,"wireguardEnabledV6":false}}'""")
        wait_for(lambda: not any("fwmark" in n.run("ip rule; ip -6 rule") for n in c.nodes), "the rules are removed", 20)

        title("Cleanup")
        show(control, "kubectl delete -k deploy/kubernetes/calico", 4)
        show(worker, "ip link show wireguard.cali 2>&1 || true")
        compare(before, after, again)
        if not readable:
            raise Failed("unencrypted IPv6 should have been readable")
    print("\n  everything is gone")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
