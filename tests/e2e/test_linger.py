# SPDX-License-Identifier: Apache-2.0
"""When encryption ends on a node, nothing is lost although its peer learns of it late, as Felix does."""
import os

from agents import write_record
from cluster import Cluster
from lab import PODVEIL, wait_for


def by_hand(c, node, peer):
    """Makes a WireGuard device with rule and routes as Felix does, which no agent changes, and writes its record."""
    node.run([PODVEIL, "device", "wireguard.cali"])
    node.run("wg genkey > /run/by-hand.key && wg set wireguard.cali private-key /run/by-hand.key listen-port 51820 fwmark "
             f"0x200000 && ip addr add {node.pods4.replace('/26', '/32')} dev wireguard.cali && ip link set wireguard.cali up && "
             "ip rule add priority 99 not fwmark 0x200000/0x200000 lookup 1 && "
             f"ip route add {peer.pods4} dev wireguard.cali table 1")
    write_record(c, {"name": node.name, "ipv4": node.address, "podCIDRs": [node.pods4],
                     "wireguardPublicKey": node.run("wg show wireguard.cali public-key").strip()})


def test_decrypts_what_peers_still_send():
    with Cluster(2) as c:
        ours, slow = c.nodes
        left, right = c.pod(ours, "left"), c.pod(slow, "right")
        os.makedirs(os.path.join(c.store, "nodes"), exist_ok=True)
        by_hand(c, slow, ours)
        c.configure(wireguardEnabled=True)
        c.start_agent(ours)
        slow.run(f"wg set wireguard.cali peer {ours.run('wg show wireguard.cali public-key').strip()} "
                 f"endpoint {ours.address}:51820 allowed-ips {ours.pods4}")
        wait_for(lambda: f"{slow.pods4} dev wireguard.cali" in ours.run("ip route show table 1"), "a session")
        # Longer than an idle device stays. The store says that the other node has left too, but that node continues to send.
        steady = right.start(["ping", "-n", "-i", "0.05", "-c", "200", left.address])
        c.configure(wireguardEnabled=False)
        wait_for(lambda: "fwmark" not in ours.run("ip rule"), "it is off")
        write_record(c, {"name": slow.name, "ipv4": slow.address, "podCIDRs": [slow.pods4], "wireguardEnabled": False})
        out = steady.communicate(timeout=120)[0]
        assert " 200 received" in out, out[-300:]
        wait_for(lambda: "wireguard.cali" not in ours.run("ip -br link"), "no peer sends: the device is removed", 20)
