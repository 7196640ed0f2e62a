# SPDX-License-Identifier: Apache-2.0
"""What happens in the soak. Each function makes one event happen, waits until it is over, and returns what it was, for the
history. Where packets cannot arrive meanwhile, it says so by no_way(); all other events must lose nothing."""
import os
import signal
import subprocess
import time

from cluster import is_running
from hosts import PODVEIL, Failed, wait_for
from streams import no_way
from test_store_faults import FAULTS, HERE as STORE_MOUNT, in_order
from test_switches import SWITCHES
from traffic import transfer

BUILDS = (PODVEIL, os.path.join(os.path.dirname(PODVEIL), "next/podveil"))


def nodes_have_routes(node):
    """Whether routes to other nodes lead into the tunnel, by whichever table."""
    return any(line.startswith("172.18.0.") and "dev wireguard.cali" in line
               for line in node.run("ip route show table all").splitlines())


def use_af_xdp(node):
    """Whether one of the node's two devices uses AF_XDP on the uplink, which has room for one."""
    return any(tunnel["wire"] == "xdp" for tunnel in node.agent.status()["tunnels"])


# The checks of test_switches, but for those that look at one table, or at one family.
SETTINGS = [switch for switch in SWITCHES if switch[0] not in ("wireguardHostEncryptionEnabled", "podveilWire")] + [
    ("podveilWire", "xdp", use_af_xdp),
    ("podveilWire", "socket", lambda node: not use_af_xdp(node)),
    ("wireguardHostEncryptionEnabled", True, nodes_have_routes),
    ("wireguardHostEncryptionEnabled", False, lambda node: not nodes_have_routes(node))]
# The defaults are those that come last for each setting.
DEFAULTS = {name: (name, value, shows) for name, value, shows in SETTINGS}.values()


def pod_comes_and_goes(soak):
    node, other = soak.dice.sample(soak.c.nodes, 2)
    size = soak.dice.randrange(1, 5)
    pod = soak.c.pod(node, "guest")
    try:
        transfer(pod, soak.pods[other.index], soak.pods[other.index].address, size)
        transfer(soak.pods[other.index], pod, pod.address6, size)
    finally:
        soak.c.hosts.remove(pod)
        node.pods.remove(pod)
        pod.close()
    wait_for(lambda: not node.run(f"ip route show {pod.address}"), "the pod's device is gone")
    return f"of {node.name}, {2 * size} MiB"


def settings_change(soak):
    setting, value, shows = soak.dice.choice(SETTINGS)
    soak.switch(setting, value, shows)
    return f"{setting}={value}"


def strict_mode_changes(soak):
    soak.strict = not soak.strict
    soak.switch_strict(soak.strict)
    return str(soak.strict)


def agent_is_killed(soak):
    """While a setting changes, so that it ends in the middle of something."""
    node, after = soak.some_node(), soak.dice.random() / 10
    setting, value, shows = soak.dice.choice(SETTINGS)
    soak.c.configure(**{setting: value})
    time.sleep(after)
    node.agent.kill(tunnel=False)
    soak.c.start_agent(node)
    for each in soak.c.nodes:
        wait_for(lambda: shows(each), f"{setting}={value} on {each.name}")
    return f"of {node.name}, {after * 1000:.0f} ms after {setting}={value}"


def agent_is_upgraded(soak):
    node, build = soak.some_node(), soak.dice.randrange(2)
    if node.agent.stop(tunnel=False):
        raise Failed("the agent did not end in order")
    soak.c.start_agent(node, program=BUILDS[build])
    return f"of {node.name}, build {build}"


def tunnel_process_is_upgraded(soak):
    node, build = soak.some_node(), soak.dice.randrange(2)
    old = node.agent.tunnel_process()
    fresh = node.start([BUILDS[build], "tunnel", "--take-over"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    wait_for(lambda: not is_running(old), "the old process ends")
    wait_for(lambda: f"pid={fresh.pid}" in node.agent.log(), "the agent uses the new process")
    return f"of {node.name}, build {build}"


def tunnel_process_is_killed(soak):
    node = soak.some_node()
    with no_way(soak.streams, node):
        old = node.agent.tunnel_process()
        node.agent.end_tunnel_process(signal.SIGKILL)
        wait_for(lambda: node.agent.tunnel_process() not in (None, old), "another one runs")
    return f"of {node.name}"


def key_changes(soak):
    """Of a node that has lost its keys."""
    node = soak.some_node()
    was = node.run("wg show all public-key")
    with no_way(soak.streams, node):
        # In this order: a living process writes its lost key again.
        node.agent.kill(tunnel=True)
        node.run("rm /run/podveil/wireguard*.key")
        soak.c.start_agent(node)
        wait_for(lambda: {line.split()[-1] for line in node.run("wg show all public-key").splitlines()}.isdisjoint(
            was.split()), "the keys are new")
        keys = set(node.run("wg show all public-key").split())
        for other in soak.c.nodes:
            wait_for(lambda: other is node or len(set(other.run("wg show all peers").split()) & keys) >= 2,
                     f"{other.name} knows the new keys", 30)
    return f"of {node.name}"


def link_fails(soak):
    node, seconds = soak.dice.choice(soak.c.nodes), soak.dice.random()
    with no_way(soak.streams, node):
        soak.c.switch.run(f"ip link set port{node.index} down")
        time.sleep(seconds)
        soak.c.switch.run(f"ip link set port{node.index} up")
    return f"of {node.name}, {seconds:.1f} s"


def store_is_cut_off(soak):
    fault = soak.dice.choice(sorted(FAULTS))
    restarted, node = soak.dice.random() < 0.5, soak.c.nodes[1]
    begin, end, says = FAULTS[fault]
    places = {"HERE": STORE_MOUNT, "store": soak.c.store}
    node.run(begin.format(**places))

    def is_said():
        return says in (((node.agent.status() or {}).get("store") or {}).get("trouble") or {}).get("why", "")
    wait_for(is_said, f"{fault}: status says {says}")
    if restarted:
        node.agent.kill(tunnel=False)
        soak.c.start_agent(node, ready=False)
        wait_for(is_said, f"{fault}: it still says {says}")
    soak.wait_for_encryption()
    node.run(end.format(**places))
    wait_for(lambda: in_order(node), f"{fault}: in order again")
    return fault + (", and the agent was killed" if restarted else "")


EVENTS = (pod_comes_and_goes, settings_change, settings_change, settings_change, strict_mode_changes, agent_is_killed,
          agent_is_upgraded, tunnel_process_is_upgraded, tunnel_process_is_killed, key_changes, link_fails, store_is_cut_off)
