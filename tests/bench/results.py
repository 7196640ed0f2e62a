# SPDX-License-Identifier: Apache-2.0
"""Tables of results: each benchmark writes its tables as JSON to build/bench/tables/. `make bench-results` takes them over into
tests/bench/results/, from where pages.py writes them into the pages.

A table: {"date", "machine", "command", "how", "columns": [...], "rows": [{"name", "values", "shares", "digits"}]}.
`values` are numbers, texts or null (not measured), one for each column. `shares` (may be missing) are the ratios to the
unencrypted path. `digits` are the decimals that the page shows.
"""
import datetime
import json
import os

import computer

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FRESH = os.path.join(ROOT, "build/bench/tables")
KEPT = os.path.join(ROOT, "tests/bench/results")


def row(name, values, digits=2, shares=None):
    rounded = [round(v, digits) if isinstance(v, float) else v for v in values]
    line = {"name": name, "digits": digits, "values": rounded}
    if shares:
        line["shares"] = [None if s is None else round(s, 2) for s in shares]
    return line


def save(name, command, how, columns, rows):
    """Writes a new file and renames it, because build trees may share the old one by a hard link."""
    os.makedirs(FRESH, exist_ok=True)
    path = os.path.join(FRESH, name + ".json")
    with open(path + ".new", "w") as f:
        f.write(text({"date": datetime.date.today().isoformat(), "machine": computer.title(computer.describe()), "command": command,
                      "how": how, "columns": columns, "rows": rows}))
    os.replace(path + ".new", path)


def text(table):
    """The table as JSON, with each row on its own line, so that a diff shows what changed."""
    rows = ",\n".join("  " + json.dumps(r) for r in table["rows"])
    head = "".join(f' {json.dumps(k)}: {json.dumps(v)},\n' for k, v in table.items() if k != "rows")
    return "{\n" + head + ' "rows": [\n' + rows + "\n ]\n}\n"


def load(name, folder=KEPT):
    with open(os.path.join(folder, name + ".json")) as f:
        return json.load(f)
