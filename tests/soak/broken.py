# SPDX-License-Identifier: Apache-2.0
"""Breaks on purpose what the soak judges, and fails if a judgement does not find it. Only after that does it mean something
that a soak passes."""
import json
import os
import re
import socket
import sys

from ends import OTHER_BYTES, PORT
from hosts import Failed, wait_for
from streams import next_answers, no_way

# Sends a packet from one pod to another on the uplink, past all filters (SOL_PACKET, PACKET_QDISC_BYPASS).
IN_PLAIN = """
import socket, sys
from scapy.all import Ether, IP, UDP
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.setsockopt(263, 20, 1)
s.bind(("eth0", 0))
s.send(bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / IP(src=sys.argv[1], dst=sys.argv[2]) / UDP() / b"secret"))
"""
RECORDS = 2000  # of nodes; an agent has several KiB for each


def once(pod, rule):
    """A filter on what the pod sends, for as long as it needs to meet a packet."""
    pod.run(["nft", f"add table inet broken; add chain inet broken out {{ type filter hook output priority 0; }}; "
             f"add rule inet broken out {rule}"])
    wait_for(lambda: re.search(r"packets [1-9]", pod.run("nft list table inet broken")), f"{rule}: a packet was met")
    pod.run("nft delete table inet broken")


def a_packet_in_plain(soak):
    soak.c.nodes[1].run([sys.executable, "-c", IN_PLAIN, soak.pods[1].address, soak.pods[2].address])
    return "in plain: "


def a_lost_datagram(soak):
    once(soak.pods[0], f"udp dport {PORT} counter drop")
    return f"^udp {soak.pods[0].name} .*: no answer"


def an_excused_one(soak):
    """Of another node, at the same time: it is none of the failures."""
    with no_way(soak.streams, soak.c.nodes[0]):
        once(soak.pods[0], f"udp dport {PORT} counter drop")
    return " [1-9][0-9]* failed while excused"


def a_datagram_with_other_bytes(soak):
    """Also where failures are excused."""
    with no_way(soak.streams, soak.c.nodes[2]):
        once(soak.pods[2], f"meta nfproto ipv6 udp sport {PORT} @th,128,32 set 0x12345678 counter")
    return f"^udp {soak.pods[1].name} .*: {OTHER_BYTES}"


def a_broken_connection(soak):
    with no_way(soak.streams, soak.c.nodes[1]):
        once(soak.pods[1], f"meta nfproto ipv4 tcp dport {PORT} counter reject with tcp reset")
    return f"^tcp {soak.pods[1].name} .*: "


def a_descriptor_more(soak):
    """Of the tunnel process, which has one for whoever wants its news."""
    soak.news = socket.socket(socket.AF_UNIX)
    soak.news.connect(f"/proc/{soak.c.nodes[1].pid}/root/run/podveil/tunnel.sock")
    soak.news.sendall(b"events=1\n\n")
    return "tunnel: descriptors at the start and now: .*socket"


def an_entry_of_a_map_more(soak):
    soak.c.nodes[2].run("bpftool map update pinned /sys/fs/bpf/podveil/wg-v6.cali/allowed_ips4 "
                        "key 32 0 0 0 9 9 9 9 value 0 0 0 0 0 0 0 0")
    return "entries of maps at the start and now: .*wg-v6.cali/allowed_ips4"


def more_memory(soak):
    nodes = os.path.join(soak.c.store, "nodes")
    for i in range(RECORDS):
        with open(os.path.join(nodes, f"more{i}.json.new"), "w") as f:
            json.dump({"name": f"more{i}", "address": f"172.18.{1 + i // 250}.{i % 250}"}, f)
        os.rename(f.name, f.name[:-len(".new")])
    wait_for(lambda: f"more{RECORDS - 1}" in soak.c.nodes[0].run("cat /run/podveil/store.json"), "an agent knows the records")
    return "agent: [0-9]+ KiB of memory at the start"


BROKEN = (a_packet_in_plain, a_lost_datagram, an_excused_one, a_datagram_with_other_bytes, a_broken_connection,
          a_descriptor_more, an_entry_of_a_map_more, more_memory)


def find_all(soak):
    soak.start_cluster()
    soak.take_footprint()
    soak.start_traffic()
    next_answers(soak.streams)
    signs = {each.__name__: each(soak) for each in BROKEN}
    wrong, figures = soak.judge(patience=0)
    found = [*wrong, *soak.failures()[0], figures]
    for what, sign in signs.items():
        if not any(re.search(sign, line) for line in found):
            raise Failed(f"{what} was not found in:\n" + "\n".join(found))
    print(f"broken on purpose, and found: {', '.join(name.replace('_', ' ') for name in signs)}", flush=True)
