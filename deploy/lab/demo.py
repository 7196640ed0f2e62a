#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What an eavesdropper reads before and after: two nodes, a pod on each, secrets between them.

Podveil serves the tunnel on one node, wireguard-go on the other. Every command that is shown is run as
shown. Everything is gone at the end, also after Ctrl-C.
"""
import json
import os
import re
import signal
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from lab import Capture, Device, Failed, Lab, implementation, wait_for  # noqa: E402

BACKEND = """
import http.server, json
SECRETS = {"users": [{"name": "admin", "password": "SuperSecret123!"}],
           "aws_access_key": "AKIAIOSFODNN7EXAMPLE",
           "aws_secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
           "stripe_api_key": "sk_live_51ABCdefGHIjklMNO",
           "database": "postgres://app:db-password-42@db:5432/shop"}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps(SECRETS, indent=1).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
"""

FRONTEND = """
import http.client, itertools, time
HEADERS = {"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl",
           "X-API-Key": "sk_live_frontend_api_key_12345", "Cookie": "session=abc123-session-secret",
           "X-Basic": "Basic YWRtaW46cGFzc3dvcmQ="}
for n in itertools.count(1):
    try:
        c = http.client.HTTPConnection("10.0.2.2", 8080, timeout=5)
        c.request("GET", "/users", headers=HEADERS)
        assert c.getresponse().read()
        print(n, flush=True)
    except OSError as e:
        print("failed", e, flush=True)
    time.sleep(0.1)
"""

SECRETS = re.compile(rb"(Authorization: Bearer|X-API-Key: |Cookie: session=|\"password\"|aws_access_key|"
                     rb"aws_secret_key|stripe_api_key|db-password)[^\r\n]{0,60}")

COLOUR = sys.stdout.isatty()


def title(text):
    print(f"\n\033[1m== {text}\033[0m" if COLOUR else f"\n== {text}", flush=True)


def show(host, command, lines=None):
    print(f"{host.name}# {command}", flush=True)
    out = host.run(command).rstrip().splitlines()
    for line in out[:lines]:
        print(f"  {line}")
    if lines and len(out) > lines:
        print(f"  ... {len(out) - lines} lines more")
    return "\n".join(out)


def eavesdrop(node, seconds):
    """What a capture on the uplink reads: secrets, and the UDP or TCP ports that were seen."""
    print(f"{node.name}# timeout {seconds} tcpdump -i eth0 -A | grep -E "
          "'password|Bearer|API-Key|session=|aws_|stripe_'", flush=True)
    capture = Capture(node, "eth0", "ip")
    time.sleep(seconds)
    data = capture.stop()
    found = sorted({m.group(0).decode(errors="replace") for m in SECRETS.finditer(data)})
    for line in found:
        print(f"  {line}")
    from scapy.layers.inet import IP, TCP, UDP
    seen = {}
    for p in capture.packets():
        kind = next((f"{n} {min(p[layer].sport, p[layer].dport)}"
                     for n, layer in (("TCP", TCP), ("UDP", UDP)) if p.haslayer(layer)), "other")
        who = f"{min(p[IP].src, p[IP].dst)} <-> {max(p[IP].src, p[IP].dst)}"
        seen[(kind, who)] = seen.get((kind, who), 0) + 1
    for (kind, who), n in sorted(seen.items()):
        print(f"  [{n} packets: {kind}, {who}]")
    if not found:
        print("  (nothing readable)")
    return found, {kind for kind, _ in seen}


def requests_go_on(frontend, n=3):
    for _ in range(n):
        line = frontend.stdout.readline()
        if not line or line.startswith("failed"):
            raise Failed(f"a request of the frontend failed: {line}")


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with Lab() as lab:
        title("Two nodes on one network, a pod on each")
        lab.plain()
        show(lab.a, "ip -br addr")
        show(lab.pod_a, "ip route")
        backend = lab.pod_b.start(["python3", "-c", BACKEND])
        if backend.stdout.readline() != "ready\n":
            raise Failed("backend does not start")
        frontend = lab.pod_a.start(["python3", "-c", FRONTEND])
        requests_go_on(frontend)

        title("Without encryption: what everybody on the network reads")
        before, kinds_before = eavesdrop(lab.b, 2)
        if not before:
            raise Failed("the capture shows no secret: the demo would prove nothing")

        title("Podveil on node-a, wireguard-go on node-b")
        print("node-a# podveil device wg0        node-b# wireguard-go wg0")
        left = Device(lab.a, implementation("podveil"))
        right = Device(lab.b, implementation("wireguard-go"))
        lab.connect(left, right)
        wait_for(lambda: left.handshake(right), "a session between the nodes stands")
        show(lab.a, "ip -br link show wg0")
        show(lab.a, "ip route show dev wg0")
        # What was under way in plain when the routes changed.
        requests_go_on(frontend, 5)

        title("With it: the same capture")
        after, kinds_after = eavesdrop(lab.b, 3)
        requests_go_on(frontend, 5)

        title("Both ends")
        show(lab.a, "wg show")
        show(lab.b, "wg show")

        title("Podveil's counters, in its maps")
        show(lab.a, "ls /sys/fs/bpf/podveil/wg0")
        command = "bpftool -j map dump pinned /sys/fs/bpf/podveil/wg0/counters"
        print(f"node-a# {command}   (summed, zeros left out)")
        total = {}
        for entry in json.loads(lab.a.run(command)):
            for name, value in entry["formatted"]["value"].items():
                total[name] = total.get(name, 0) + value
        for name, value in total.items():
            if value:
                print(f"  {name:24} {value}")
        show(lab.a, "bpftool map dump pinned /sys/fs/bpf/podveil/wg0/peers", 14)

        title("Before and after")
        print(f"  {'':24} {'without':>10} {'with':>10}")
        print(f"  {'secrets readable':24} {len(before):>10} {len(after):>10}")
        print(f"  {'on the wire':24} {'/'.join(sorted(kinds_before)):>10} "
              f"{'/'.join(sorted(kinds_after)):>10}")
        if after or kinds_after != {"UDP 51820"}:
            raise Failed("something could be read")
    print("\nAll that was made for this is gone.")
    return 0


if __name__ == "__main__":
    if os.geteuid():
        sys.exit("make demo: needs root, for network namespaces")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except Failed as problem:
        sys.exit(f"demo failed: {problem}")
