#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables in tests/bench/results/ into README.md and docs/, between these two lines:

    <!-- make docs: begin bench NAME, from tests/bench/results/TABLE.json -->
    <!-- make docs: end -->

    pages.py           writes the pages
    pages.py --check   fails if a page differs from its table, or if a figure was typed into a page by hand
    pages.py --take    takes the tables of the last `make bench` from build/bench/, then writes the pages

A figure with a unit of speed, time or share may stand in a page only in a generated table, in a block of commands, or in a section
that says when it was measured ("Measured 2026-11-25, ..."). README.md and docs/benchmarks.md do not have the last exception.
"""
import glob
import os
import re
import shutil
import sys
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Optional

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from results import FRESH, KEPT, ROOT, load  # noqa: E402

BEGIN = re.compile(r"<!-- make docs: begin bench ([a-z0-9-]+), from tests/bench/results/([a-z0-9-]+)\.json -->")
END = "<!-- make docs: end -->"
FIGURE = re.compile(r"\b[0-9][0-9.,]* (?:Gbit/s|kpkt/s|kreq/s|ms|us|ns|%)(?![A-Za-z])")
MEASURED = re.compile(r"[Mm]easured 20[0-9]{2}-[0-9]{2}-[0-9]{2}")
GENERATED_ONLY = ("README.md", "docs/benchmarks.md")


@dataclass(frozen=True)
class View:
    """A part of a table: its columns (all if None), its rows (name -> name in the page; all if None), and how to show them."""
    columns: Optional[tuple] = None
    rows: Optional[dict] = None
    shares: bool = True
    digits: Optional[dict] = None  # name of a row in the page -> decimals, where they differ from the table's


# The blocks that do not show a whole table.
VIEWS = {
    "summary": View(("unencrypted", "wireguard-go", "podveil socket"), {
        "TCP 1 stream, Gbit/s": "TCP, one stream, Gbit/s", "TCP 4 streams, Gbit/s": "TCP, four streams, Gbit/s",
        "UDP 64 B received, kpkt/s": "UDP 64 bytes, received kpkt/s",
        "HTTP, 100 connections, kreq/s": "HTTP, 100 connections, kreq/s"}, shares=False, digits={
            "TCP, one stream, Gbit/s": 1, "TCP, four streams, Gbit/s": 1, "UDP 64 bytes, received kpkt/s": 0,
            "HTTP, 100 connections, kreq/s": 0}),
    "wire": View(("podveil socket", "podveil xdp"), shares=False),
}


def cell(value, digits, share):
    if value is None:
        return ""
    if not isinstance(value, (int, float)):
        return value
    shown = f"{Decimal(str(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP):,f}"
    return shown if share is None else f"{shown} ({share:.2f})"


def block(table, view):
    columns = list(view.columns or table["columns"])
    at = [table["columns"].index(c) for c in columns]
    shared = view.shares and any("shares" in r for r in table["rows"])
    brackets = "; in brackets the ratio to the unencrypted path" if shared else ""
    lines = [f"Measured {table['date']} with `{table['command']}`: {table['how']}{brackets}. Machine: {table['machine']}.", "",
             "| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in table["rows"]:
        if view.rows and row["name"] not in view.rows:
            continue
        name = view.rows[row["name"]] if view.rows else row["name"]
        digits = (view.digits or {}).get(name, row["digits"])
        shares = row.get("shares") if view.shares else None
        cells = [cell(row["values"][k], digits, shares[k] if shares else None) for k in at]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def written(lines):
    """The page with its blocks as the tables have them."""
    out, inside = [], False
    for line in lines:
        if inside and line == END:
            inside = False
        if not inside:
            out.append(line)
        if begin := BEGIN.fullmatch(line):
            out += block(load(begin[2]), VIEWS.get(begin[1], View()))
            inside = True
    if inside:
        raise SystemExit(f"no line {END} after: {[line for line in lines if BEGIN.fullmatch(line)][-1]}")
    return out


def typed_figures(page, lines):
    """(number of the line, figure) of each figure that was typed by hand."""
    sections = [[]]
    generated = commands = False
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            commands = not commands
        elif BEGIN.fullmatch(line):
            generated = True
        elif line == END:
            generated = False
        elif line.startswith("## ") and not commands:
            sections.append([])
        if not (generated or commands):
            sections[-1].append((number, line))
    for section in sections:
        if page not in GENERATED_ONLY and any(MEASURED.search(line) for _, line in section):
            continue
        for number, line in section:
            for figure in FIGURE.findall(line):
                yield number, figure


def take():
    """Takes over what the last `make bench` measured."""
    fresh = sorted(glob.glob(os.path.join(FRESH, "*.json")))
    if not fresh:
        raise SystemExit("nothing in build/bench/tables: run make bench BENCH=full")
    for path in fresh:
        shutil.copyfile(path, os.path.join(KEPT, os.path.basename(path)))
        print("took", os.path.relpath(path, ROOT))
    chart = os.path.join(ROOT, "build/bench/chart.svg")
    if os.path.exists(chart):
        shutil.copyfile(chart, os.path.join(KEPT, "chart.svg"))


def pages():
    return ["README.md", *sorted(glob.glob("docs/*.md", root_dir=ROOT))]


def main(arguments):
    if arguments not in ([], ["--check"], ["--take"]):
        raise SystemExit(__doc__)
    if arguments == ["--take"]:
        take()
    faults = 0
    for page in pages():
        path = os.path.join(ROOT, page)
        with open(path) as f:
            lines = f.read().split("\n")
        new = written(lines)
        if arguments == ["--check"] and new != lines:
            print(f"{page} differs from a table in tests/bench/results: run make docs", file=sys.stderr)
            faults += 1
        elif new != lines:
            with open(path, "w") as f:
                f.write("\n".join(new))
        for number, figure in typed_figures(page, new):
            print(f"{page}:{number}: \"{figure}\" was typed by hand: let make bench write it, or move it to a section of "
                  "docs/benchmark-notes.md that says when and how it was measured", file=sys.stderr)
            faults += 1
    return faults > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
