# SPDX-License-Identifier: Apache-2.0
"""The machine that runs the benchmark: its properties, and what else runs on it meanwhile."""
import contextlib
import os
import platform
import re
import time

CORES = os.cpu_count()
TICK = 1 / os.sysconf("SC_CLK_TCK")
BUSY_WITH_OTHERS = 5  # percent of the processors: if others use more, the round gets a warning


def _read(path):
    with open(path) as f:
        return f.read()


def describe():
    text = _read("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", text)
    flags = re.search(r"(?:flags|Features)\s*: (.*)", text)
    flags = flags.group(1).split() if flags else []
    memory = re.search(r"MemTotal:\s+(\d+)", _read("/proc/meminfo"))
    return {
        "model": model.group(1) if model else platform.machine(),
        "cores": CORES,
        "memoryGiB": round(int(memory.group(1)) / 2**20, 1),
        "avx512": "avx512f" in flags,
        "avx2": "avx2" in flags,
        "virtual": "hypervisor" in flags,
        "kernel": platform.release(),
    }


def kind(machine):
    """The kind of machine, which selects the targets."""
    return "AVX-512" if machine["avx512"] else "AVX2" if machine["avx2"] else "no AVX2"


def title(machine):
    return (f"{machine['model']}, {machine['cores']} cores, {kind(machine)}, {machine['memoryGiB']:.0f} GiB, "
            f"Linux {machine['kernel']}"
            f"{', a virtual machine that shares its host' if machine['virtual'] else ''}")


def socket_buffer():
    """The largest socket buffer in bytes that iperf3 may ask for, at most 4 MiB. With the usual 208 KiB, iperf3 loses
    datagrams while it is not scheduled, and these would count as losses of the path."""
    return min([4 << 20] + [int(_read(f"/proc/sys/net/core/{n}mem_max")) for n in "rw"])


class Usage:
    """Processor seconds of the whole machine since this object was made.

    Busy means not idle: the kernel measures idle time exactly, but samples user, system and softirq time at its ticks,
    and misses a tenth of it if work comes in short bursts (seen with the unencrypted path).
    """

    def __init__(self):
        self.began, self.idle, self.steal = self._now()

    @staticmethod
    def _now():
        fields = [int(n) for n in _read("/proc/stat").split("\n", 1)[0].split()[1:9]]
        return time.monotonic(), (fields[3] + fields[4]) * TICK, fields[7] * TICK

    def busy(self):
        now, idle, steal = self._now()
        return max(0.0, CORES * (now - self.began) - (idle - self.idle) - (steal - self.steal))

    def percent(self):
        return self.busy() / (CORES * (time.monotonic() - self.began)) * 100

    def stolen(self):
        """Percent of the processors' time that the hypervisor gave to other machines."""
        now, _, steal = self._now()
        return (steal - self.steal) / (CORES * (now - self.began)) * 100


def others(seconds=0.3):
    """Percent of the processors that other programs use while we sleep."""
    usage = Usage()
    time.sleep(seconds)
    return usage.percent()


def process_seconds(pid):
    """Processor seconds of all threads of a process, with nanosecond resolution."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError):
            total += int(_read(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
    return total / 1e9
