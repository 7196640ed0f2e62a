# SPDX-License-Identifier: Apache-2.0
"""What nodes and their processes hold: memory, descriptors by kind, threads, and what agents leave on a node."""
import collections
import contextlib
import json
import os
import re

from test_leftovers import state

# What a process may hold more than at the start, in KiB: allocators keep what was freed, some more with each new thread.
# An hour finds a leak of 1 KiB a second, or of 3 KiB an event.
MEMORY = 4 << 10
# What agents leave on a node, of test_leftovers.STATE. The others show numbers that each new process changes.
LEFT = ("rules", "routes", "devices", "pins", "nftables", "files", "sysctl")
# The map of `divert`, which keeps the node's addresses after podveilWire=xdp has ended. Each start of `divert` writes it anew.
WRITTEN_ANEW = "local_addresses"


def memory(pid):
    """KiB that belong to the process alone, or that it shares as memory: without the pages of files."""
    with open(f"/proc/{pid}/status") as f:
        sizes = dict(line.split(":", 1) for line in f)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "RssShmem"))


def descriptors(pid):
    """{kind: number}; a kind is socket, anon_inode:bpf-map, /run/podveil/wireguard.lock, thread and so on. The standard
    streams are left out: they depend on who started the process."""
    kinds = collections.Counter({"thread": len(os.listdir(f"/proc/{pid}/task"))})
    for fd in set(os.listdir(f"/proc/{pid}/fd")) - {"0", "1", "2"}:
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            kind = re.sub(r":?\[.*?\]$", "", os.readlink(f"/proc/{pid}/fd/{fd}"))
            kinds[kind.replace("bpf_link", "bpf-link")] += 1  # the kernel says the one of made links, the other of opened pins
    return kinds


def entries(node):
    """{pin: number of entries} of the maps that can grow. Arrays cannot."""
    found = {}
    for pin in node.run(f"find /sys/fs/bpf/podveil -type f -not -name {WRITTEN_ANEW}").split():
        shown = node.run(["bpftool", "-j", "map", "show", "pinned", pin], check=False).stdout
        if shown and json.loads(shown).get("type") in ("hash", "lpm_trie"):
            found[pin] = len(json.loads(node.run(["bpftool", "-j", "map", "dump", "pinned", pin])))
    return found


class Footprint:
    """What all nodes and their agents and tunnel processes hold now."""

    def __init__(self, nodes):
        self.processes = {}  # (node, "agent" or "tunnel"): (KiB, descriptors)
        self.nodes = {}  # (node, what): what is there
        self.entries = {}  # node: {pin: entries}
        for node in nodes:
            for what, pid in (("agent", node.agent.process.pid), ("tunnel", node.agent.tunnel_process())):
                self.processes[node.name, what] = memory(pid), descriptors(pid)
            found, self.entries[node.name] = state(node), entries(node)
            self.nodes.update({(node.name, what): found[what] for what in LEFT})

    def more_than(self, before):
        """What is more than it was before, or different, as lines of text."""
        found = []

        def compare(who, what, had, has):
            # Less is no leak: at the start, a connection may just end. A new process adopts what an earlier one opened.
            more = {kind: (had.get(kind, 0), has[kind]) for kind in has if has[kind] > had.get(kind, 0)}
            if more:
                found.append(f"{who}: {what} at the start and now: {more}")
        for who, (kib, has) in self.processes.items():
            had_kib, had = before.processes[who]
            compare(" ".join(who), "descriptors", had, has)
            if kib > had_kib + MEMORY:
                found.append(f"{' '.join(who)}: {had_kib} KiB of memory at the start, {kib} now")
        for node, has in self.entries.items():
            compare(node, "entries of maps", before.entries[node], has)
        return found + [f"{' '.join(who)} at the start: {before.nodes[who]}, now: {now}"
                        for who, now in self.nodes.items() if now != before.nodes[who]]

    def since(self, before):
        """The figures at the start and now, as text."""
        def total(footprint):
            kib = sum(kib for kib, _ in footprint.processes.values())
            kinds = sum((kinds for _, kinds in footprint.processes.values()), collections.Counter())
            entries = sum(sum(maps.values()) for maps in footprint.entries.values())
            return kib, kinds.total() - kinds["thread"], kinds["anon_inode:bpf-map"], kinds["thread"], entries
        names = ("KiB of memory", "descriptors", "of them maps", "threads", "entries of maps")
        return ", ".join(f"{a} -> {b} {name}" for name, a, b in zip(names, total(before), total(self)))
