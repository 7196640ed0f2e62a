# SPDX-License-Identifier: Apache-2.0
"""On an emulated arm64 machine with Debian's Linux 6.12: the kernel loads the BPF programs, and Podveil exchanges traffic with
the kernel's own WireGuard. `make check-arm64` builds the programs for it."""
import glob
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/vm"))

import kernel  # noqa: E402

BUILD = os.path.join(ROOT, "build/aarch64")


def test_programs_in_the_kernel():
    programs = glob.glob(f"{BUILD}/tests/bpf/test_*")
    script = "uname -m; mount -t bpf bpf /sys/fs/bpf && modprobe -a veth cls_bpf sch_ingress tun vxlan ifb bridge && " + " && ".join(programs)
    code, out = kernel.run(kernel.arm64(), ["sh", "-c", script])
    assert code == 0 and programs, out[-5000:]
    assert "aarch64" in out


def test_interoperability_with_the_kernels_own_wireguard():
    code, out = kernel.run(kernel.arm64(), ["env", f"PODVEIL={BUILD}/podveil", "/usr/bin/python3",
                                            os.path.join(ROOT, "tests/vm/guest.py")])
    assert code == 0, out[-5000:]
    assert "arm64" in out and out.count("TCP and UDP both ways") == 3
