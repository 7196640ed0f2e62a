# SPDX-License-Identifier: Apache-2.0
"""What a process holds: memory, and descriptors by kind, among them those of BPF maps, programs and links."""
import collections
import contextlib
import os
import re


def memory(pid):
    """KiB that belong to the process alone, or that it shares as memory: without the pages of files."""
    with open(f"/proc/{pid}/status") as f:
        sizes = dict(line.split(":", 1) for line in f)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "RssShmem"))


def descriptors(pid):
    """{kind: number}; a kind is socket, anon_inode:bpf-map, /run/podveil/wireguard.lock and so on. The standard streams are
    left out: they depend on who started the process."""
    kinds = collections.Counter()
    for fd in set(os.listdir(f"/proc/{pid}/fd")) - {"0", "1", "2"}:
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            kind = re.sub(r":?\[.*?\]$", "", os.readlink(f"/proc/{pid}/fd/{fd}"))
            kinds[kind.replace("bpf_link", "bpf-link")] += 1  # the kernel says the one of made links, the other of opened pins
    return kinds

