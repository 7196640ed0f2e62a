#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts deliberate faults into a copy of the tree, one at a time, and runs the tests that should notice: `make mutants`.

A fault that no test notices is a survivor; it is named at the end, and the exit code is 1. With --check, only: does each
fault still find its place in the code?  With names, those faults alone.
"""
import argparse
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from faults import FAULTS  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COPY = os.path.join(ROOT, "build/mutants")
SECONDS = 300  # for the tests of one fault


def read(path):
    with open(path) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def misplaced():
    """Of each fault whose place is not there exactly once: a sentence."""
    return [f"{f.name}: {f.file} has its text {read(os.path.join(ROOT, f.file)).count(f.before)} times, not once"
            for f in FAULTS if read(os.path.join(ROOT, f.file)).count(f.before) != 1]


def copy_tree():
    """The files that git knows, as they are now; what was built in the copy before is used again."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        source, target = os.path.join(ROOT, name), os.path.join(COPY, name)
        if not os.path.isfile(source):
            continue
        if os.path.isfile(target) and open(source, "rb").read() == open(target, "rb").read():
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)
    os.makedirs(os.path.join(COPY, "build"), exist_ok=True)
    for shared in ("peers", "kubernetes"):
        link, target = os.path.join(COPY, "build", shared), os.path.join(ROOT, "build", shared)
        if os.path.exists(target) and not os.path.lexists(link):
            os.symlink(target, link)
    for stamp in (".deps", ".deps-kubernetes"):
        with open(os.path.join(COPY, "build", stamp), "a"):
            os.utime(os.path.join(COPY, "build", stamp))


def run(command):
    """(exit code, output); 124 when it takes too long."""
    try:
        done = subprocess.run(command, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=SECONDS, errors="replace", stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as e:
        return 124, f"{e.stdout or ''}\nnot done within {SECONDS} s\n"


def programs(tests):
    """What make has to build for these tests."""
    built = {t for t in tests if t.startswith("build/")}
    return sorted(built | ({"build/podveil"} if len(built) < len(tests) else set()))


def build(tests):
    code, out = run(["make", "-s", f"-j{os.cpu_count()}", *programs(tests)])
    return None if code == 0 else out


def failing(tests, verbose=False):
    """The first of the tests that fails; None: all pass."""
    for test in tests:
        command = [test] if test.startswith("build/") else [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", test]
        code, out = run(command)
        # pytest's code; of a program it says how many failed.
        if not test.startswith("build/") and (code == 5 or "no tests ran" in out):
            raise SystemExit(f"{test}: no such test")
        if code:
            return out if verbose else test
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only whether each fault finds its place")
    parser.add_argument("names", nargs="*", help="of faults; default all")
    options = parser.parse_args()
    unknown = set(options.names) - {f.name for f in FAULTS}
    if unknown:
        parser.error(f"no fault {', '.join(sorted(unknown))}")
    lost = misplaced()
    print("\n".join(lost), end="\n" if lost else "")
    if options.check or lost:
        return 1 if lost else 0
    copy_tree()
    chosen = [f for f in FAULTS if not options.names or f.name in options.names]
    survivors, passing = [], set()
    for number, fault in enumerate(chosen, 1):
        path, began = os.path.join(COPY, fault.file), time.monotonic()
        # A test that fails without any fault proves nothing.
        for test in [t for t in fault.tests if t not in passing]:
            problem = build([test]) or failing([test], True)
            if problem:
                raise SystemExit(f"{test} fails without any fault: {problem[-3000:]}")
            passing.add(test)
        original = read(path)
        write(path, original.replace(fault.before, fault.after))
        try:
            problem = build(fault.tests)
            noticed = "it does not build" if problem else failing(fault.tests)
        finally:
            write(path, original)
        if problem:
            raise SystemExit(f"{fault.name}: the fault does not build:\n{problem[-3000:]}")
        if not noticed:
            survivors.append(fault.name)
        print(f"{number}/{len(chosen)} {fault.name}: {noticed or 'SURVIVES'} ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{len(chosen) - len(survivors)} noticed, {len(survivors)} survive{': ' if survivors else ''}"
          f"{', '.join(survivors)}")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
