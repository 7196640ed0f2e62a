# SPDX-License-Identifier: Apache-2.0
"""podveil doctor beside Calico's Felix. Of a process it looks at name, arguments and environment alone; the real Felix is in
tests/felix, and what it leaves in a cluster in tests/kubernetes/test_felix_objects.py."""
import json
import os
import re
import shutil
import subprocess

import pytest

from hosts import PODVEIL, ROOT, Host, wait_for

# What users are told to apply is what doctor is content with.
with open(os.path.join(ROOT, "deploy/kubernetes/calico/calico-node.patch.yaml")) as f:
    APART = dict(re.findall(r'- name: (FELIX_\w+)\n +value: "?([^"\n]+)"?', f.read()))


# What agents of deploy/kubernetes/plain have in their environment.
with open(os.path.join(ROOT, "deploy/kubernetes/plain/kustomization.yaml")) as f:
    PLAIN = dict(re.findall(r'name: (PODVEIL_\w+), value: "?([^"}\n]+)"?}', f.read()))


def doctor(host, **env):
    done = host.run([PODVEIL, "doctor", "--json"], check=False, env=env)
    return next(f for f in json.loads(done.stdout) if f["check"] == "Felix")


@pytest.fixture
def calico_node(tmp_path):
    """Starts a process as calico-node's Felix is one."""
    program = str(tmp_path / "calico-node")
    shutil.copy("/bin/bash", program)
    started = []

    def start(**env):
        for p in started:
            p.kill()
            p.wait()
        # The shell stays, and is what it is called.
        started.append(subprocess.Popen([program, "-c", "read x", "-felix"], stdin=subprocess.PIPE,
                                        env={"PATH": os.environ["PATH"], **env}))
        wait_for(lambda: b"-felix" in open(f"/proc/{started[-1].pid}/cmdline", "rb").read(), "it runs")
    yield start
    for p in started:
        p.kill()
        p.wait()


def test_felix_is_told_apart(calico_node):
    with Host("node") as host:
        assert (doctor(host)["verdict"], doctor(host)["found"]) == ("ok", "none on this machine")
        calico_node(**APART)
        assert doctor(host)["verdict"] == "ok" and doctor(host)["found"].endswith("its WireGuard is off, and it keeps apart")
        calico_node()
        found = doctor(host)
        assert found["verdict"] == "BAD" and "calico-node.patch.yaml" in found["do"]
        assert all(name in found["found"] for name in APART)
        for name, value in APART.items():
            calico_node(**{k: v for k, v in APART.items() if k != name})
            assert doctor(host)["found"].endswith(f": lacks {name}={value}")
        for ranges, good in (("1-250", False), ("100-250,1-1", False), ("2-250", True), ("300-400", True)):
            calico_node(**{**APART, "FELIX_ROUTETABLERANGES": ranges})
            assert (doctor(host)["verdict"] == "ok") == good, ranges


def test_plain_manifests_keep_apart_from_any_felix(calico_node):
    with Host("node") as host:
        calico_node()
        assert doctor(host)["verdict"] == "BAD"
        assert len(PLAIN) == 4 and doctor(host, **PLAIN)["verdict"] == "ok"
        # One that is told to take these, though.
        calico_node(FELIX_ROUTETABLERANGES="1-250,9000-10000")
        assert "FELIX_ROUTETABLERANGES" in doctor(host, **PLAIN)["found"]


def test_felix_is_found_by_what_it_leaves():
    """As from a DaemonSet, whose PID namespace is another than Felix's."""
    with Host("node") as host:
        for make, trace in (
                ("nft add table ip filter; nft add chain ip filter cali-FORWARD", "chain cali-FORWARD"),
                ("nft add table ip calico; nft add chain ip calico filter-FORWARD", "table calico"),
                ("iptables-legacy -t mangle -N cali-PREROUTING", "chain cali-PREROUTING")):
            host.run("nft add table ip others; nft add chain ip others local; iptables-legacy -N others")
            assert doctor(host)["found"] == "none on this machine"
            host.run(make)
            found = doctor(host)
            assert found["verdict"] == "note" and trace in found["found"] and "calico-node.patch" in found["do"]
            found = doctor(host, **PLAIN)
            assert found["verdict"] == "ok" and trace in found["found"]
            host.run("nft flush ruleset; iptables-legacy -X; iptables-legacy -t mangle -X")
