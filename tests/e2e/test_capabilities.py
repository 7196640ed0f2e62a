# SPDX-License-Identifier: Apache-2.0
"""The capabilities that our manifests name are enough to switch the tunnel and strict mode on and off."""
import os
import re

import pytest

from agents import FILTERS, ask, enable, guard, judge
from hosts import ROOT
from lab import Capture, wait_for


def of_the_pod():
    with open(os.path.join(ROOT, "deploy/kubernetes/unprivileged.patch.yaml")) as f:
        return re.findall(r"^ +- ([A-Z_]+) #", f.read(), re.M)


def of_the_unit():
    with open(os.path.join(ROOT, "deploy/systemd/podveil.service")) as f:
        return re.search(r"^CapabilityBoundingSet=(.*)$", f.read(), re.M).group(1).replace("CAP_", "").split()


def of_the_page():
    """Those that the agent keeps."""
    with open(os.path.join(ROOT, "docs/security.md")) as f:
        return re.findall(r"^\| `CAP_(\w+)` \| [^|]*agent", f.read(), re.M)


def confined(worker, status):
    """All that the agent says is in force, is, as the kernel says it."""
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    rights = worker.agent.status()["rights"]
    assert all(p["inForce"] and not p["missing"] for p in rights["parts"]), rights
    assert sorted(rights["capabilities"].split()) == sorted(of_the_page())


def test_the_manifests_name_what_the_agent_keeps():
    assert sorted(of_the_pod()) == sorted(of_the_unit()) == sorted(of_the_page())


@pytest.mark.parametrize("named", [of_the_pod, of_the_unit])
def test_the_capabilities_that_are_named_are_enough(cluster, named):
    c, worker = cluster, cluster.nodes[1]
    capabilities = "-all," + ",".join("+" + name.lower() for name in named())
    for node in c.nodes:
        node.agent.stop()
        # As in a pod without `privileged`, the agent cannot set sysctls, so this one is set here.
        node.run("sysctl -qw net.ipv4.conf.default.rp_filter=2")
        c.start_agent(node, under=["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities])
    status = dict(line.split(":\t", 1) for line in
                  worker.run(f"cat /proc/{worker.agent.process.pid}/status").splitlines())
    assert int(status["CapEff"], 16).bit_count() == len(named())
    confined(worker, status)
    enable(c)
    c.configure(podveilStrictMode=True, podveilStrictCIDRs=["10.244.0.0/16", "fd00:10:244::/48"])

    def stands():
        status = worker.agent.status()
        return status["firstLine"]["routing"] and status["firstLine"]["nftables"] and \
            {"eth0", "vxlan.calico"} <= {d["device"] for d in guard(worker)["devices"] if d["stands"]}
    wait_for(stands, "both lines of strict mode are active", 20)
    capture = Capture(worker, "eth0")
    assert "users" in ask(c.client, c.server.address)
    # The next agent takes over what the killed one has left.
    worker.agent.kill()
    c.start_agent(worker, under=["setpriv", "--bounding-set", capabilities, "--inh-caps", capabilities])
    wait_for(lambda: c.encrypted() and stands(), "everything is active again", 20)
    assert "users" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert not leaked and ports <= {51820}
    c.configure(wireguardEnabled=False, podveilStrictMode=False)
    wait_for(lambda: "fwmark" not in worker.run("ip rule") and "podveil" not in worker.run("nft list tables") and
             not worker.run(f"{FILTERS} list eth0 egress").strip(), "nothing of it is left", 20)
    assert "users" in ask(c.client, c.server.address)
