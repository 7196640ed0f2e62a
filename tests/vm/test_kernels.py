# SPDX-License-Identifier: Apache-2.0
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import kernel  # noqa: E402


def run(meta, *arguments):
    if os.uname().machine != "x86_64":
        pytest.skip("the kernel packages are for x86-64")
    if not shutil.which("qemu-system-x86_64"):
        pytest.skip("qemu-system-x86_64 is not installed: make deps installs it")
    guest = os.path.join(kernel.ROOT, "tests/vm/guest.py")
    try:
        code, out = kernel.run(kernel.x86_64(meta), ["/usr/bin/python3", guest, *arguments], seconds=600)
    except kernel.Missing as why:
        pytest.skip(str(why))
    assert code == 0, out[-5000:]
    return out


@pytest.mark.parametrize("meta", ["linux-image-amd64", "linux-image-6.12-amd64"])
def test_interoperability_with_the_kernels_own_wireguard(meta):
    assert "TCP and UDP both ways" in run(meta)


@pytest.mark.parametrize("meta", ["linux-image-6.12-amd64"])
def test_takes_over_the_device_that_felix_left(meta):
    assert "each takeover was completed" in run(meta, "felix")
