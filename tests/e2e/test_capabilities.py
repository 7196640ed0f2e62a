# SPDX-License-Identifier: Apache-2.0
"""The capabilities that our manifests name are enough to switch the tunnel and strict mode on and off."""
import os
import re
import subprocess

import pytest

from agents import FILTERS, ask, enable, guard, judge
from hosts import ROOT
from lab import PODVEIL, Capture, wait_for


def of_the_pod():
    """The capabilities of the agent's container, and of the tunnel's."""
    with open(os.path.join(ROOT, "deploy/kubernetes/unprivileged.patch.yaml")) as f:
        _, agent, tunnel = f.read().split("- name: ")
    assert agent.startswith("podveil\n") and tunnel.startswith("tunnel\n")
    return [re.findall(r"^ +- ([A-Z_]+) #", text, re.M) for text in (agent, tunnel)]


def of_the_unit():
    """The capabilities of the agent's unit, and of the tunnel's."""
    named = []
    for unit in ("podveil", "podveil-tunnel"):
        with open(os.path.join(ROOT, f"deploy/systemd/{unit}.service")) as f:
            named.append(re.search(r"^CapabilityBoundingSet=(.*)$", f.read(), re.M).group(1).replace("CAP_", "").split())
    return named


def limited(names):
    """The command that runs another one with these capabilities alone."""
    names = "-all," + ",".join("+" + name.lower() for name in names)
    return ["setpriv", "--bounding-set", names, "--inh-caps", names]


def status_of(pid):
    """What the kernel says of a process."""
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


def of_the_page(but="nothing", tunnel="(?:tunnel|maker)"):
    """Those that the agent needs, and the tunnel process with its child podveil-maker."""
    with open(os.path.join(ROOT, "docs/security.md")) as f:
        page = f.read()
    return [re.findall(rf"^\| `CAP_(\w+)` \| [^|]*{process}[^|]*\| (?!{but})", page, re.M) for process in ("agent", tunnel)]


def kept():
    """Those that the agent and the tunnel process still have after the start."""
    return of_the_page(but="at the start only", tunnel="tunnel")


def confined(worker):
    """All that the agent says is in force, is, as the kernel says it; and so it is for the tunnel process."""
    for pid, names in zip((worker.agent.process.pid, worker.agent.tunnel_process()), kept()):
        status = status_of(pid)
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert int(status["CapEff"], 16).bit_count() == len(names)
    rights = worker.agent.status()["rights"]
    assert all(p["inForce"] and not p["missing"] for p in rights["parts"]), rights
    assert sorted(rights["capabilities"].split()) == sorted(kept()[0])


def test_the_manifests_name_what_each_process_needs():
    pod, unit, page = ([sorted(names) for names in named()] for named in (of_the_pod, of_the_unit, of_the_page))
    assert pod == unit == page


@pytest.mark.parametrize("named", [of_the_pod, of_the_unit])
def test_the_capabilities_that_are_named_are_enough(cluster, named):
    c, worker = cluster, cluster.nodes[1]
    agent, tunnel = named()

    def start(node):
        node.start([*limited(tunnel), PODVEIL, "tunnel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        c.start_agent(node, "--tunnel", "wait", under=limited(agent))
    for node in c.nodes:
        node.agent.stop()
        # As in a pod without `privileged`, the agent cannot set sysctls, so this one is set here.
        node.run("sysctl -qw net.ipv4.conf.default.rp_filter=2")
        start(node)
    confined(worker)
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
    start(worker)
    wait_for(lambda: c.encrypted() and stands(), "everything is active again", 20)
    assert "users" in ask(c.client, c.server.address)
    leaked, ports = judge(capture)
    assert not leaked and ports <= {51820}
    c.configure(wireguardEnabled=False, podveilStrictMode=False)
    wait_for(lambda: "fwmark" not in worker.run("ip rule") and "podveil" not in worker.run("nft list tables") and
             not worker.run(f"{FILTERS} list eth0 egress").strip(), "nothing of it is left", 20)
    assert "users" in ask(c.client, c.server.address)
