# SPDX-License-Identifier: Apache-2.0
"""The metrics with a real Prometheus: scraping, queries, alerts."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.parse

import pytest
import yaml

from agents import enable, get, write_record
from hosts import ROOT, Host, wait_for
from workload import Steady

RULES = os.path.join(ROOT, "deploy/prometheus/podveil.rules.yaml")


class Prometheus:
    """Debian's Prometheus on a node. It scrapes that node's agent each second, or what `scrape` says."""

    def __init__(self, node, **scrape):
        self.node = node
        self.directory = tempfile.TemporaryDirectory()
        config = os.path.join(self.directory.name, "prometheus.yml")
        with open(config, "w") as f:
            json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                       "rule_files": [RULES],
                       "scrape_configs": [{"job_name": "podveil", **(
                           scrape or {"static_configs": [{"targets": ["127.0.0.1:9586"]}]})}]}, f)
        self.log = open(os.path.join(self.directory.name, "log"), "w+")
        self.process = node.start(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.directory.name}/data",
             "--web.listen-address=127.0.0.1:9090", "--log.level=warn"], stdout=self.log, stderr=self.log)
        wait_for(lambda: self.ask("/api/v1/query?query=up") is not None, "Prometheus answers", 30)

    def ask(self, path):
        done = self.node.run(["python3", "-c", "import sys, urllib.request; print(urllib.request.urlopen("
                              "'http://127.0.0.1:9090' + sys.argv[1], timeout=5).read().decode())", path],
                             check=False)
        return json.loads(done.stdout)["data"] if done.returncode == 0 else None

    def query(self, expression):
        """[(labels, number)]"""
        data = self.ask("/api/v1/query?query=" + urllib.parse.quote(expression))
        return [(r["metric"], float(r["value"][1])) for r in data["result"]]

    def alerts(self):
        return {(a["labels"]["alertname"], a["state"]) for a in self.ask("/api/v1/alerts")["alerts"]}

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()
        self.directory.cleanup()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def families(text):
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))


def samples(text, name):
    """{labels: value}"""
    return {labels: float(v) for labels, v in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.M)}


def dashboard():
    """[(title, expression)] of deploy/grafana."""
    with open(os.path.join(ROOT, "deploy/grafana/podveil.json")) as f:
        return [(p["title"], t["expr"]) for p in json.load(f)["panels"] for t in p["targets"]]


def test_alert_rules():
    """Each alert has tests in promtool's format, and they pass."""
    for command in (["check", "rules", RULES], ["test", "rules", RULES.replace(".rules.", ".rules.test.")]):
        done = subprocess.run(["promtool", *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    with open(RULES) as f:
        alerts = set(re.findall(r"alert: (\w+)", f.read()))
    with open(RULES.replace(".rules.", ".rules.test.")) as f:
        tested = re.findall(r"alertname: (\w+)\n *exp_alerts", f.read())
    assert alerts == set(tested)


def test_every_metric_is_there(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=300)
    steady.more(300)
    status, text = get(worker, "/metrics")
    assert status == 200 and steady.all_answered()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True)
    assert not [x for x in (done.stdout + done.stderr).splitlines() if x and not x.startswith("wireguard_")]
    # Each counter and each drop reason in the code has a metric.
    with open(os.path.join(ROOT, "include/podveil/counters.h")) as f:
        header = f.read()
    body, drops = header[header.index("PV_COUNTERS_TRAFFIC(X)"):], set()
    kinds = families(text)
    for name in re.findall(r"^\tX\((\w+),", body, re.M):
        if name.startswith("drop_"):
            drops.add(name[len("drop_"):])
        elif name in ("egress_batch", "egress_size", "ingress_batch", "ingress_size"):
            assert kinds["podveil_" + name] == "histogram"
        elif name not in ("busy_ns", "wakeups"):
            assert kinds[f"podveil_{name}_total"] == "counter", name
    for iface in ("wireguard.cali", "eth0"):
        there = {m for m in re.findall(rf'podveil_drops_total\{{iface="{iface}",reason="(\w+)"\}}', text)}
        assert there == drops
    # The buckets of a histogram rise to +Inf, which is the count.
    for name in ("egress_batch", "egress_size", "ingress_batch", "ingress_size"):
        buckets = [v for v in samples(text, f"podveil_{name}_bucket").values()]
        count = list(samples(text, f"podveil_{name}_count").values())[0]
        assert buckets == sorted(buckets) and buckets[-1] == count > 0, name
        assert list(samples(text, f"podveil_{name}_sum").values())[0] >= count
    busy = samples(text, "podveil_worker_busy_seconds_total")
    assert busy and all(v > 0 for v in busy.values())
    shakes = samples(text, "podveil_handshakes_total")
    assert sum(v for k, v in shakes.items() if 'result="finished"' in k) >= 2
    # A node that learns of us before we learn of it initiates too early; then we initiate.
    early = 'iface="wireguard.cali",result="failed",cause="unknown_peer"'
    assert not [k for k, v in shakes.items() if 'result="failed"' in k and v and k != early], shakes
    assert shakes[early] <= 2
    node = [k for k in samples(text, "podveil_peer_encrypting") if 'node="wireguard-worker2"' in k]
    assert len(node) == 1 and samples(text, "podveil_peer_encrypting")[node[0]] == 1
    assert 'cipher="' in text and 'mode="superpackets"' in text
    for name in ("podveil_guard_up", "podveil_store_synced"):
        assert samples(text, name) == {"": 1}
    assert samples(text, "podveil_failed") == samples(text, "podveil_conflicts") == {"": 0}
    assert list(samples(text, "process_resident_memory_bytes").values())[0] > 1 << 20


def test_handshakes_by_cause(cluster):
    """An invalid message is counted by its cause."""
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    c.switch.run(["python3", "-c", """
import os, socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(5): s.sendto(b"\\1\\0\\0\\0" + os.urandom(144), ("172.18.0.3", 51820))
"""])
    def failed(cause):
        return list(v for k, v in samples(get(worker, "/metrics")[1], "podveil_handshakes_total").items()
                    if f'result="failed",cause="{cause}"' in k)[0]
    wait_for(lambda: failed("mac1") == 5, "counted")
    write_record(c, {"name": "silent", "ipv4": "172.18.0.99", "podCIDRs": ["10.99.0.0/24"],
                     "wireguardPublicKey": "/2SvAih31XdL9qORFXcuxgHFHHO9sDmv0WZqk4kssE0="})
    wait_for(lambda: any('cause="retry"' in k and v for k, v in samples(
        get(worker, "/metrics")[1], "podveil_handshakes_total").items()), "tried again", 20)


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_the_pod_monitor_finds_the_port():
    """The containers name no port. So Prometheus finds each as a target without one, of which the PodMonitor makes the agent's."""
    with open(os.path.join(ROOT, "deploy/kubernetes/monitoring/podmonitor.yaml")) as f:
        endpoint, = yaml.safe_load(f)["spec"]["podMetricsEndpoints"]
    names = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
    rules = [{names.get(k, k): v for k, v in rule.items()} for rule in endpoint["relabelings"]]
    found = [{"targets": [address], "labels": {"__meta_kubernetes_pod_ip": address, "__meta_kubernetes_pod_container_name": name}}
             for address in ("172.18.0.2", "fd00:18::2") for name in ("podveil", "tunnel")]
    with Host("monitoring") as host, Prometheus(host, static_configs=found, relabel_configs=rules) as p:
        targets = wait_for(lambda: p.ask("/api/v1/targets")["activeTargets"], "there are targets")
    assert {t["scrapeUrl"] for t in targets} == {"http://172.18.0.2:9586/metrics", "http://[fd00:18::2]:9586/metrics"}


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_a_real_prometheus(cluster):
    c, worker = cluster, cluster.nodes[1]
    enable(c)
    steady = Steady(c.client, c.server.address, rate=100)
    with Prometheus(worker) as p:
        wait_for(lambda: p.query("up") and p.query("up")[0][1] == 1, "it is up", 20)
        wait_for(lambda: p.query("rate(wireguard_bytes_sent[10s]) > 0"), "bytes rise", 20)
        found = p.query('wireguard_bytes_sent{peer_endpoint="172.18.0.4:51820"}')
        assert len(found) == 1 and found[0][0]["hostname"] == "wireguard-worker"
        scraped = p.query("scrape_samples_post_metric_relabeling")[0][1]
        lines = [x for x in get(worker, "/metrics")[1].splitlines() if not x.startswith("#")]
        assert scraped == len(lines)
        assert p.query('histogram_quantile(0.5, podveil_egress_size_bucket)')[0][1] > 0
        # All metrics in the dashboard exist.
        for title, expression in dashboard():
            expression = expression.replace("$__rate_interval", "10s").replace("$node", ".*")
            if "> 0" in expression and "podveil_peers" not in expression and "time()" not in expression:
                expression = expression.replace(" > 0", "")
            assert p.query(expression), (title, expression)
        groups = p.ask("/api/v1/rules")["groups"]
        assert groups and all(r["health"] == "ok" and not r.get("lastError") for g in groups
                              for r in g["rules"])
        assert not p.alerts(), "a healthy node has none"
        assert steady.all_answered()
        # Two nodes claim one key: the alert fires.
        with open(os.path.join(c.store, "nodes/wireguard-worker2.json")) as f:
            key = json.load(f)["wireguardPublicKey"]
        write_record(c, {"name": "twin", "ipv4": "172.18.0.77", "podCIDRs": ["10.99.0.0/24"],
                         "wireguardPublicKey": key})
        wait_for(lambda: ("PodveilConflict", "firing") in p.alerts(), "the alert", 20)
