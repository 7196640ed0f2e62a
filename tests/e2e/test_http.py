# SPDX-License-Identifier: Apache-2.0
"""The agent's HTTP server: health, metrics, who may see what, and hostile clients."""
import json
import os
import re
import subprocess

from agents import enable, get, write_record
from lab import PODVEIL, wait_for
from traffic import ping
from workload import Steady


def test_metrics(cluster):
    c, worker = cluster, cluster.nodes[1]
    assert get(worker, "/healthz") == (200, "ok\n")
    assert get(worker, "/readyz") == (200, "ready\n")
    enable(c)
    assert ping(c.client, c.server.address) == 3
    wait_for(lambda: get(worker, "/readyz") == (200, "ready\n"), "ready")
    status, text = get(worker, "/metrics")
    assert status == 200
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    # promtool complains about the names of Calico's own metrics, which we keep.
    complaints = [line for line in (done.stdout + done.stderr).splitlines()
                  if line and not line.startswith("wireguard_")]
    assert not complaints, complaints
    key = worker.run("wg show wireguard.cali public-key").strip()
    other = c.nodes[2].run("wg show wireguard.cali public-key").strip()
    labels = (f'hostname="wireguard-worker",public_key="{key}",iface="wireguard.cali",listen_port="51820",'
              f'peer_key="{other}",peer_endpoint="172.18.0.4:51820"')
    assert f'wireguard_meta{{hostname="wireguard-worker",public_key="{key}",iface="wireguard.cali",' \
           'listen_port="51820"} 1' in text
    sent = re.search(re.escape("wireguard_bytes_sent{" + labels + "}") + r" (\S+)", text)
    received, transmitted = next(line.split()[1:] for line in worker.run(
        "wg show wireguard.cali transfer").splitlines() if line.startswith(other))
    assert 0 < float(sent.group(1)) <= int(transmitted)
    assert f"wireguard_latest_handshake_seconds{{{labels}}} " in text
    assert 'podveil_drops_total{iface="wireguard.cali",reason="bad_tag"} 0' in text
    assert 'podveil_leaks_total{iface="eth0"}' in text
    assert 'podveil_setting_info{name="wireguardEnabled",value="true"} 1' in text
    samples = [line.split(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    assert len(samples) == len(set(samples)), "one sample a label set"
    c.configure(prometheusWireGuardMetricsEnabled=False)
    wait_for(lambda: "wireguard_meta" not in get(worker, "/metrics")[1], "switched off")
    assert json.loads(get(worker, "/status")[1])["node"] == "wireguard-worker"
    assert get(worker, "/metrics", "HEAD") == (200, "")
    assert get(worker, "/metrics", "POST")[0] >= 400
    assert get(worker, "/nothing")[0] == 404
    # A peer that never answers.
    write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: get(worker, "/readyz") == (503, "no session with silent yet\n"), "not ready")
    # When the peer is found unreachable, the node no longer waits for it.
    wait_for(lambda: get(worker, "/readyz") == (200, "ready\n"), "it is ready nevertheless", 30)


def test_who_may_see_what(cluster):
    """Only this machine can see peers' keys and endpoints, apart from what Prometheus needs. --http can change that."""
    c, worker, other = cluster, cluster.nodes[1], cluster.nodes[2]
    enable(c)
    def statuses(asker, address):
        return [get(asker, path, address=address)[0] for path in ("/", "/status")]
    assert statuses(worker, "127.0.0.1") == statuses(worker, "::1") == [200, 200]
    for address in (worker.address, worker.address6):
        assert statuses(other, address) == [403, 403]
        assert "kubectl port-forward" in get(other, "/status", address=address)[1]
        assert get(other, "/healthz", address=address) == (200, "ok\n")
        assert get(other, "/readyz", address=address) == (200, "ready\n")
        assert 'peer_endpoint="172.18.0.4:51820"' in get(other, "/metrics", address=address)[1]
    assert worker.agent.status()["http"] == ":9586"
    assert re.search(r"^ok +HTTP +:9586; page and status only on this machine", worker.run([PODVEIL, "doctor"]), re.M)
    worker.agent.stop()
    c.start_agent(worker, "--http", ":9586,full")
    assert statuses(other, worker.address) == [200, 200]
    assert re.search(r"^note +HTTP +:9586,full: everybody can read keys", worker.run([PODVEIL, "doctor"]), re.M)
    done = worker.run([PODVEIL, "agent", "--http", ":9586,half"], check=False)
    assert done.returncode == 2 and "--http :9586,half: neither off nor [ADDRESS]:PORT" in done.stderr


def test_hostile_http_clients(cluster):
    """Slow, huge, malformed and many requests disturb neither traffic nor honest clients."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=200)
    before = len(os.listdir(f"/proc/{worker.agent.process.pid}/fd"))
    hostile = worker.start(["python3", "-c", """
import os, socket
held = []
def talk(data):
    s = socket.create_connection(("127.0.0.1", 9586), timeout=5); held.append(s)
    try: s.sendall(data)
    except OSError: pass
    return s
for i in range(400): talk(b"GET /metrics HTTP/1.1\\r\\nX: ")               # never ends
for i in range(20): talk(b"GET /metrics HTTP/1.1\\r\\nX: " + b"a" * 1000000)
for i in range(20): talk(b"POST /metrics HTTP/1.1\\r\\nContent-Length: 999999999999\\r\\n\\r\\n")
for i in range(50): talk(os.urandom(500))
for i in range(20): talk(b"GET /metrics HTTP/1.1\\r\\n\\r\\n" * 50)           # and nobody reads
print("done", flush=True); input()
"""], stdin=subprocess.PIPE)
    assert hostile.stdout.readline() == "done\n"
    # There are at most 160 connections at a time, and an honest client is served at once.
    wait_for(lambda: len(os.listdir(f"/proc/{worker.agent.process.pid}/fd")) <= before + 160, "160 at most")
    for path in ("/", "/status", "/page.js"):
        assert get(worker, path)[0] == 200
    assert get(worker, "/healthz") == (200, "ok\n")
    assert get(worker, "/metrics")[0] == 200
    steady.more(200)
    hostile.communicate("")
    wait_for(lambda: len(os.listdir(f"/proc/{worker.agent.process.pid}/fd")) <= before, "all are gone")
    outcome = steady.stop()
    assert outcome["failed"] == 0, outcome
    assert worker.agent.process.poll() is None
