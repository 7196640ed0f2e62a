#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Handles the TCX programs of a device with bpf(2). Neither `tc` nor Debian 12's bpftool shows them.

  filters.py list DEVICE egress|ingress      prints their names in the order in which they run
  filters.py remove DEVICE egress|ingress    detaches all of them
  filters.py stand DEVICE egress|ingress [N] attaches N programs (default 1) that let everything pass, before all others,
                                             until its input ends; after 63 there is no place left
"""
import ctypes
import json
import os
import platform
import socket
import struct
import subprocess
import sys

_libc = ctypes.CDLL(None, use_errno=True)
_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
PROG_LOAD, PROG_QUERY, LINK_CREATE, LINK_GET_FD, LINK_DETACH = 5, 16, 28, 30, 34
TYPES = {"ingress": 46, "egress": 47}


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = _libc.syscall(_BPF, command, buffer, len(attributes))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result, buffer.raw


def entries(device, side):
    """[(program id, link id)] in the order in which they run."""
    programs, links = (ctypes.c_uint32 * 64)(), (ctypes.c_uint32 * 64)()
    try:
        _, out = bpf(PROG_QUERY, struct.pack("=IIIIQIIQQQQ", socket.if_nametoindex(device), TYPES[side], 0, 0,
                                             ctypes.addressof(programs), 64, 0, 0, ctypes.addressof(links), 0, 0))
    except FileNotFoundError:  # no program was ever attached there
        return []
    count = struct.unpack_from("=I", out, 24)[0]
    return [(programs[i], links[i]) for i in range(count)]


def names(device, side):
    loaded = json.loads(subprocess.run(["bpftool", "-j", "prog", "show"], capture_output=True, check=True).stdout)
    by_id = {p["id"]: p.get("name", "?") for p in loaded}
    return [by_id.get(program, "?") for program, _ in entries(device, side)]


def remove(device, side):
    for _, link in entries(device, side):
        fd, _ = bpf(LINK_GET_FD, struct.pack("=IIII", link, 0, 0, 0))
        bpf(LINK_DETACH, struct.pack("=I", fd))
        os.close(fd)


def stand(device, side, count="1"):
    program = struct.pack("=BBhiBBhi", 0xb7, 0, 0, 0, 0x95, 0, 0, 0)  # returns 0: the next program runs
    text, license_text = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"GPL")
    for _ in range(int(count)):
        loaded, _ = bpf(PROG_LOAD, struct.pack("=IIQQIIQII16s", 3, 2, ctypes.addressof(text), ctypes.addressof(license_text),
                                               0, 0, 0, 0, 0, b"somebodys"))
        bpf(LINK_CREATE, struct.pack("=IIIIIIQ", loaded, socket.if_nametoindex(device), TYPES[side], 1 << 3, 0, 0, 0))
    print("stands", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    what = {"list": lambda *a: print(" ".join(names(*a))), "remove": remove, "stand": stand}[sys.argv[1]]
    what(*sys.argv[2:])
