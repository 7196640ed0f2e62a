#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Throughput, packet rate, latency and CPU, pod - node - node - pod, all contenders in one run.

The contenders come in turn in each round, so that what else the machine does hits all of them. Prints a
table with ratios and the targets' verdicts; in build/bench/: table.txt, tables/, result.json, chart.svg.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import chart  # noqa: E402
import contenders as who  # noqa: E402
import computer  # noqa: E402
import measures  # noqa: E402
import report  # noqa: E402
import results  # noqa: E402
from hosts import PODVEIL  # noqa: E402

OUT = os.path.join(who.ROOT, "build/bench")


def stages():
    """What each stage of the data path costs, in ns; empty if build/bench/stages was not built."""
    program = os.path.join(os.path.dirname(PODVEIL), "bench/stages")
    if not os.path.exists(program):
        return {}
    return json.loads(subprocess.run([program, "--json"], capture_output=True, check=True, timeout=120).stdout)


class Rounds:
    """The contenders' values of each round, and warnings about disturbances."""

    def __init__(self, warnings):
        self.values, self.warnings = {}, warnings

    def run(self, label, there, rounds, measure):
        for k in range(rounds):
            for name, contender in there.items():
                busy = computer.others()
                if busy > computer.BUSY_WITH_OTHERS:
                    self.warnings.append(f"{label} {k + 1}, {name}: something else used {busy:.0f} % of the "
                                         "processors just before")
                for key, value in measure(contender).items():
                    self.values.setdefault(name, {}).setdefault(key, []).append(value)
                self.warnings += [f"{label} {k + 1}, {name}: again: {t}" for t in contender.troubles]
                contender.troubles.clear()
            print(f"  {label} {k + 1} of {rounds}", flush=True)


@contextlib.contextmanager
def standing(label, names, **options):
    """(name -> contender, name -> why it is left out); prints who is left out and why."""
    with who.standing(names, **options) as (there, left_out):
        for name, why in left_out.items():
            print(f"  {label}without {name}: {why}", flush=True)
        yield there, left_out


def main_run(names, effort, warnings):
    """(values, who is left out and why)"""
    rounds = Rounds(warnings)
    with standing("", names) as (there, left_out):
        rounds.run("round", there, effort.rounds, lambda c: measures.measure_round(c, effort))
        for name, percent in measures.idle(there, effort.idle_seconds).items():
            rounds.values[name]["cpu_idle"] = [percent]
    return rounds.values, left_out


def jumbo_run(names, n, warnings):
    rounds = Rounds(warnings)
    with standing("MTU 9000 ", names, mtu=9000) as (there, _):
        rounds.run("MTU 9000, round", there, n, measures.jumbo_round)
    return rounds.values


def write(name, text):
    """Writes a new file and renames it over the old one, because build trees may share the old one by a hard link."""
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, name)
    with open(path + ".new", "w") as f:
        f.write(text)
    os.replace(path + ".new", path)


def cipher_rows(costs):
    """Rows for 1420 and 64 bytes: the slower one of seal and open, in ns for one of 44 messages."""
    backends = sorted({what.split(", ")[2] for what in costs if what.startswith("seal 1420 B, 44 at once, ")} - {"as chosen"})
    return [results.row(b, [max(costs[f"{way} {size} B, 44 at once, {b}"] for way in ("seal", "open")) for size in (1420, 64)], 0)
            for b in backends]


def save_tables(options, effort, result, jumbo):
    """The tables for the pages."""
    command = "make bench BENCH=full" if effort.everything else "make bench"
    how = f"medians of {effort.rounds}" if effort.rounds > 1 else "one round"
    if options.contenders:
        command = f"tests/bench/bench.py {options.mode} --contenders {options.contenders}"
    for name, one in (("throughput", result), ("jumbo", jumbo)):
        if one.values:
            results.save(name, command, how, list(one.values), report.rows(one))
    if result.stages:
        results.save("cipher", "build/bench/stages", "the fastest of many rounds, ns for one of 44 messages at once",
                     ["1420 B", "64 B"], cipher_rows(result.stages))
        rest = {what: ns for what, ns in result.stages.items() if not what.startswith(("seal", "open"))}
        results.save("stages", "build/bench/stages", "the fastest of many rounds", ["ns"],
                     [results.row(what, [ns], 0) for what, ns in rest.items()])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", choices=["quick", "full"], default="quick",
                        help="quick: once, about a minute; full: medians of five, and an uplink of MTU 9000")
    parser.add_argument("--contenders", help="comma between; of: " + ", ".join(who.CONTENDERS) +
                        "; the last word will do")
    options = parser.parse_args()
    effort = measures.FULL if options.mode == "full" else measures.QUICK
    names = list(who.CONTENDERS) if effort.everything else who.EVERYDAY
    if options.contenders:
        words = options.contenders.split(",")
        names = [who.find(w) for w in words]
        if None in names:
            parser.error(f"no such contender: {words[names.index(None)]}")

    here, started, warnings = computer.describe(), time.time(), []
    title = f"{computer.title(here)}; " + (f"medians of {effort.rounds}" if effort.rounds > 1 else "one round")
    print(title, flush=True)
    usage = computer.Usage()
    costs = stages()
    values, left_out = main_run(names, effort, warnings)
    jumbo_names = [n for n in names if n in who.JUMBO and n not in left_out]
    jumbo_values = jumbo_run(jumbo_names, effort.rounds, warnings) if effort.everything else {}

    stolen = usage.stolen()
    if stolen > 1:
        warnings.append(f"the host gave {stolen:.1f} % of the processors to other machines")
    result = report.Result(here, values, stages=costs)
    jumbo = report.Result(here, jumbo_values, measures.JUMBO)
    notes = [f"stolen by the host: {stolen:.2f} % of the processors; measured in {time.time() - started:.0f} s"]
    notes += [f"without {name}: {why}" for name, why in left_out.items()]
    notes += [f"WARNING: {w}" for w in warnings]
    text = "\n".join([report.table(result), report.table(jumbo), report.judgement(result), "", *notes])
    print(text)

    write("table.txt", f"{title}\n{text}\n")
    save_tables(options, effort, result, jumbo)
    write("result.json", json.dumps(report.document(
        result, jumbo, mode=options.mode, rounds=effort.rounds, seconds=effort.seconds, started=int(started),
        leftOut=left_out, stolenPercent=stolen, warnings=warnings), indent=1) + "\n")
    if who.PLAIN in values:
        write("chart.svg", chart.svg(title, [result, jumbo]))
    print("\nbuild/bench/: table.txt, tables/, result.json, chart.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
