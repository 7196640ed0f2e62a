# SPDX-License-Identifier: Apache-2.0
"""podveil doctor beside Calico's Felix. doctor looks only at the name, arguments and environment of a process, so an imitation
is enough here. The real Felix runs in tests/vm; for its objects in a cluster, see tests/kubernetes/test_felix_objects.py."""
import json
import os
import re
import shutil
import subprocess

import pytest

from hosts import PODVEIL, ROOT, Host, wait_for

# The environment from the patch that we tell users to apply. doctor must accept it.
with open(os.path.join(ROOT, "deploy/kubernetes/calico/calico-node.patch.yaml")) as f:
    APART = dict(re.findall(r'- name: (FELIX_\w+)\n +value: "?([^"\n]+)"?', f.read()))


# The environment of agents of deploy/kubernetes/plain.
with open(os.path.join(ROOT, "deploy/kubernetes/plain/kustomization.yaml")) as f:
    PLAIN = dict(re.findall(r'name: (PODVEIL_\w+), value: "?([^"}\n]+)"?}', f.read()))


def doctor(host, **env):
    done = host.run([PODVEIL, "doctor", "--json"], check=False, env=env)
    return next(f for f in json.loads(done.stdout) if f["check"] == "Felix")


@pytest.fixture
def calico_node(tmp_path):
    """Starts a process that looks like calico-node's Felix."""
    program = str(tmp_path / "calico-node")
    shutil.copy("/bin/bash", program)
    started = []

    def start(**env):
        for p in started:
            p.kill()
            p.wait()
        # `read` is a builtin, so the process stays a shell with the name and arguments of Felix.
        started.append(subprocess.Popen([program, "-c", "read x", "-felix"], stdin=subprocess.PIPE,
                                        env={"PATH": os.environ["PATH"], **env}))
        wait_for(lambda: b"-felix" in open(f"/proc/{started[-1].pid}/cmdline", "rb").read(), "it runs")
    yield start
    for p in started:
        p.kill()
        p.wait()


def test_felix_is_recognized(calico_node):
    with Host("node") as host:
        assert (doctor(host)["verdict"], doctor(host)["found"]) == ("ok", "none on this machine")
        calico_node(**APART)
        assert doctor(host)["verdict"] == "ok" and doctor(host)["found"].endswith("its WireGuard is off, and it leaves ours alone")
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
        # A Felix that is configured to use our tables is a conflict.
        calico_node(FELIX_ROUTETABLERANGES="1-250,9000-10000")
        assert "FELIX_ROUTETABLERANGES" in doctor(host, **PLAIN)["found"]


def test_felix_is_found_by_what_it_leaves():
    """doctor finds Felix by its nftables and iptables chains. A DaemonSet does not see Felix's process, which is in another PID
    namespace."""
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
