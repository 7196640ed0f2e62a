# SPDX-License-Identifier: Apache-2.0
"""The result of a run (medians, ratios with their spread, verdicts) as text, JSON and rows of a table."""
import statistics
from dataclasses import asdict

import computer
import results
from contenders import JUDGED, OTHER, PLAIN
from measures import MEASURES
from targets import verdicts


class Result:
    """`values`: contender -> measure -> a value for each round."""

    def __init__(self, machine, values, measures=MEASURES, stages=None):
        self.machine, self.values, self.measures = machine, values, measures
        self.stages = stages or {}

    @staticmethod
    def middle(values):
        return statistics.median(values) if values else None

    def median(self, name, key):
        return self.middle(self.values.get(name, {}).get(key))

    def pairs(self, name, other, key, combine):
        """combine(value of `name`, value of `other`) for each round: within a round, both had the same disturbances."""
        mine, its = (self.values.get(n, {}).get(key, []) for n in (name, other))
        return [combine(a, b) for a, b in zip(mine, its)]

    def ratios(self, name, other, key):
        if 0 in self.values.get(other, {}).get(key, []):
            return []
        return self.pairs(name, other, key, lambda mine, its: mine / its)

    def ratio(self, name, other, key):
        return self.middle(self.ratios(name, other, key))

    def present(self):
        """The measures for which at least one contender has values."""
        return {k: m for k, m in self.measures.items() if any(k in v for v in self.values.values())}


def _spread(values, digits):
    text = f"{statistics.median(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def table(result):
    """The medians and ratios of each measure, with the smallest and largest value of the rounds."""
    lines = []
    many = any(len(v) > 1 for values in result.values.values() for v in values.values())
    wide, narrow = (32, 22) if many else (12, 6)
    for key, measure in result.present().items():
        lines.append(f"\n{measure}")
        for name, values in result.values.items():
            if key not in values:
                continue
            line = f"  {name:20}{_spread(values[key], measure.digits):{wide}}"
            for other in (PLAIN, OTHER):
                ratios = result.ratios(name, other, key)
                if ratios and name not in (PLAIN, other):
                    line += f"  {_spread(ratios, 2):{narrow}} x {other}"
            lines.append(line.rstrip())
    return "\n".join(lines)


def switched(title, values):
    """Compares a feature off and on; `values`: measure -> whether it was on -> a value for each round."""
    lines = [title]
    for key, v in values.items():
        off, on = statistics.median(v[False]), statistics.median(v[True])
        lines.append(f"  {key:30} off {_spread(v[False], 2):24}  on {_spread(v[True], 2):24}  "
                     f"{on / off if off else 0:5.2f} x")
    return "\n".join(lines)


def rows(result):
    """The rows of a table for the pages: medians, and ratios to the unencrypted path."""
    names = list(result.values)
    return [results.row(str(measure), [result.median(n, key) for n in names], measure.digits,
                        [None if n == PLAIN else result.ratio(n, PLAIN, key) for n in names])
            for key, measure in result.present().items()]


def switched_rows(values):
    """The rows of a table for the pages, of what switched() prints."""
    lines = []
    for key, v in values.items():
        off, on = statistics.median(v[False]), statistics.median(v[True])
        lines.append(results.row(key, [off, on, f"{on / off:.2f}" if off else None], 2 if off < 20 else 0))
    return lines


def judgement(result):
    """The targets for this kind of machine, and which of Podveil's contenders reach them, as text."""
    names = [n for n in JUDGED if n in result.values]
    if not names:
        return ""
    columns = [verdicts(result, n) for n in names]
    lines = [f"\nTargets on {computer.kind(result.machine)}" + " " * 22 + "".join(f"{n:>24}" for n in names)]
    for row in zip(*columns):
        cells = ["not measured" if v.value is None else f"{v.value} {'reached' if v.reached else 'MISSED '}"
                 for v in row]
        lines.append(f"  {row[0].target:38} {row[0].wanted:14}" + "".join(f"{c:>24}" for c in cells).rstrip())
    for name, column in zip(names, columns):
        measured = [v for v in column if v.value is not None]
        lines.append(f"  {name}: {sum(v.reached for v in measured)} of {len(measured)} reached")
    return "\n".join(lines)


def document(result, jumbo, **more):
    """The content of result.json."""
    return {
        "machine": result.machine,
        **more,
        "measures": {k: {"title": m.title, "unit": m.unit, "better": "less" if m.less else "more"}
                     for k, m in result.present().items()},
        "values": result.values,
        "jumbo": jumbo.values,
        "stages": result.stages,
        "verdicts": {n: [asdict(v) for v in verdicts(result, n)] for n in JUDGED if n in result.values},
    }
