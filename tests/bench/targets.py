# SPDX-License-Identifier: Apache-2.0
"""Podveil's performance targets for processors with AVX-512 and with only AVX2, and whether it reached them."""
from dataclasses import dataclass
from typing import Callable, Optional

from contenders import OTHER, PLAIN

NO_LOSS = 0.005  # percent: less is printed as 0.00


@dataclass(frozen=True)
class Target:
    what: str
    avx512: float
    avx2: float
    value: Callable  # (result, contender) -> number; None: not measured
    at_most: bool = False
    form: str = "{:.2f}"


def _share(key, of=PLAIN):
    return lambda result, name: result.ratio(name, of, key)


def _median(key):
    return lambda result, name: result.median(name, key)


def _above_plain(result, name):
    """The idle ping minus that of the unencrypted path: the median over the rounds."""
    return result.middle(result.pairs(name, PLAIN, "ping", lambda mine, plain: mine - plain))


def _stage(size, convert):
    def value(result, _name):
        took = [result.stages.get(f"{way} {size} B, 44 at once, as chosen") for way in ("seal", "open")]
        return convert(max(took)) if all(took) else None
    return value


TARGETS = [
    Target("TCP 1 stream, x unencrypted", 0.50, 0.40, _share("tcp1")),
    Target("TCP 1 stream, x wireguard-go", 3.5, 2.5, _share("tcp1", OTHER)),
    Target("TCP 4 streams, x unencrypted", 0.45, 0.33, _share("tcp4")),
    Target("TCP both ways, x unencrypted", 0.45, 0.33, _share("tcp_both")),
    Target("UDP 64 B received, x unencrypted", 0.75, 0.70, _share("udp64")),
    Target("UDP 64 B, loss at 90 % of that, %", 0, 0, _median("udp64_loss"), at_most=True),
    Target("UDP 1300 B received, x unencrypted", 0.75, 0.70, _share("udp1300")),
    Target("UDP 1300 B, loss at 90 % of that, %", 0, 0, _median("udp1300_loss"), at_most=True),
    Target("HTTP, x unencrypted", 0.80, 0.75, _share("http")),
    Target("ping, idle path, unencrypted + ms", 0.03, 0.04, _above_plain, at_most=True, form="{:.3f}"),
    Target("ping under a full TCP stream, p99, ms", 2, 2, _median("ping_loaded"), at_most=True),
    Target("CPU at full speed, x wireguard-go", 0.35, 0.45, _share("cpu", OTHER), at_most=True),
    Target("CPU without traffic, % of a core", 0.1, 0.1, _median("cpu_idle"), at_most=True, form="{:.3f}"),
    Target("cipher, one core, 1420 B, GB/s", 3.0, 1.6, _stage(1420, lambda ns: 1420 / ns)),
    Target("cipher, one core, 64 B, ns", 100, 150, _stage(64, lambda ns: ns), at_most=True, form="{:.0f}"),
]


@dataclass(frozen=True)
class Verdict:
    target: str
    wanted: str
    value: Optional[str]  # as printed; None: not measured
    reached: Optional[bool]


def verdicts(result, name):
    """A verdict for each target, for one of Podveil's contenders, with the bounds for this kind of machine."""
    out = []
    for t in TARGETS:
        bound = t.avx512 if result.machine["avx512"] else t.avx2
        value = t.value(result, name)
        limit = bound or NO_LOSS if t.at_most else bound
        reached = None if value is None else value < limit if t.at_most else value >= limit
        out.append(Verdict(t.what, ("at most " if t.at_most else "at least ") + f"{bound:g}",
                           None if value is None else t.form.format(value), reached))
    return out
