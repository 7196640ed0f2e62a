#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Puts deliberate faults into a copy of the tree, one at a time, and runs the tests that should notice: `make mutants`.

Faults are chosen by name, file or folder (`user/strict/`), or by a pattern for these; default: all. Quick tests come first. What
was noticed before is left out as long as its file, its tests and its own text are the same; --again runs it all the same.
The tree itself is only read. What a test said under a fault is in build/mutants/build/said/.

Exit code 0: every fault was noticed. 1: some survive, or could not be judged (their test fails without the fault, too; their
place in the code is gone; they do not compile). 2: usage.
"""
import argparse
import fcntl
import fnmatch
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from faults import FAULTS  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
COPY = os.path.join(ROOT, "build/mutants")
SAID = os.path.join(COPY, "build/said")
MEMORY = os.path.join(COPY, "build/noticed.json")
SECONDS = 300  # for one test

NOTICED, SURVIVES, RED = "noticed", "SURVIVES", "the test fails without the fault, too"
NO_PLACE, NO_BUILD, TOO_LONG = "the text that it replaces is gone", "does not compile", f"the test was not done within {SECONDS} s"
SKIPPED = "the test does not exist, or was skipped"
NOT_RUN = -999


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)


def read_if_there(path):
    return read(path) if os.path.isfile(path) else ""


def places(fault, tree):
    """How often the text that the fault replaces is in its file; any number but one is a mistake."""
    return read_if_there(os.path.join(tree, fault.file)).count(fault.before)


def source(test):
    """The source file of a test."""
    if not test.startswith("build/tests/"):
        return test.partition("::")[0]
    name = test.removeprefix("build/tests/")
    return f"tests/{name}.c" if name.startswith("bpf/") else f"tests/unit/{name}.c"


def fingerprint(fault):
    """A hash of what mainly decides the outcome: the fault, its file and its tests."""
    files = [read_if_there(os.path.join(COPY, name)) for name in [fault.file, *map(source, fault.tests)]]
    return hashlib.sha256(repr((fault, files)).encode()).hexdigest()


def copy_tree():
    """Copies the files that git tracks or would add, as they are now. What was built in the copy before is used again."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout
    names = {n for n in names.split("\0") if n and os.path.isfile(os.path.join(ROOT, n))}
    for name in names:
        original, target = os.path.join(ROOT, name), os.path.join(COPY, name)
        if os.path.isfile(target) and open(original, "rb").read() == open(target, "rb").read():
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(original, target)
    for directory, below, files in os.walk(COPY):
        if directory == COPY:
            below[:] = [b for b in below if b != "build"]
        for path in (os.path.join(directory, f) for f in files):
            if os.path.relpath(path, COPY) not in names:
                os.unlink(path)
    os.makedirs(os.path.join(COPY, "build"), exist_ok=True)
    for shared in ("peers", "kubernetes", "wycheproof", "helm"):
        link, target = os.path.join(COPY, "build", shared), os.path.join(ROOT, "build", shared)
        if os.path.exists(target) and not os.path.lexists(link):
            os.symlink(target, link)
    for stamp in (".deps", ".deps-kubernetes"):
        with open(os.path.join(COPY, "build", stamp), "a"):
            os.utime(os.path.join(COPY, "build", stamp))


def run(command, seconds=SECONDS):
    """(exit code, output); 124 if it takes too long. A test that is interrupted has half a minute to clean up."""
    child = subprocess.Popen(command, cwd=COPY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", stdin=subprocess.DEVNULL, start_new_session=True)
    late = False
    for wait, number in ((seconds, signal.SIGINT), (30, signal.SIGKILL), (None, None)):
        try:
            out = child.communicate(timeout=wait)[0]
            return (124 if late else child.returncode), out
        except subprocess.TimeoutExpired:
            late = True
            os.killpg(child.pid, number)
        except KeyboardInterrupt:
            os.killpg(child.pid, signal.SIGINT)
            child.communicate()
            raise
    raise AssertionError("not reached")


def build(tests):
    """Builds what the tests need. Returns None, or make's output if it failed."""
    programs = {t for t in tests if t.startswith("build/")}
    programs |= {"build/podveil", "build/next/podveil"} if len(programs) < len(tests) else set()
    code, out = run(["make", "-s", f"-j{os.cpu_count()}", *sorted(programs)], 1200)
    return None if code == 0 else out


def run_test(test):
    """(exit code, output); the code is NOT_RUN if the test did not run."""
    command = [test] if test.startswith("build/") else [
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-x", test]
    code, out = run(command)
    # pytest ends with 4 or 5 if it does not find the test. A unit test's program ends with the number of failures.
    if test.startswith("build/"):
        return (NOT_RUN if code == 0 and "# SKIP" in out else code), out
    return (NOT_RUN if code in (4, 5) or (code == 0 and not re.search(r"\d passed", out)) else code), out


def why(code, out):
    """The line that says what failed."""
    if code < 0 and code != NOT_RUN:
        return f"died of {signal.Signals(-code).name}"
    lines = [line.strip() for line in out.splitlines()]
    failed = [re.sub(r"^\[ +(ERROR|LINE) +\] --- ", "", line) for line in lines if re.match(r"\[ +(ERROR|LINE) +\] --- ", line)]
    asked = [line[1:].strip() for line in lines if line.startswith(">")]
    failed = failed or asked[:1] + [line[1:].strip() for line in lines if re.match(r"E\s.*(Error|assert|Failed)", line)]
    failed = failed or [line for line in lines if "error:" in line] or lines[-1:]
    return " ".join(failed[:2])[:180]


class Runner:
    def __init__(self, again):
        self.again = again
        self.passing, self.red = set(), {}
        self.memory = json.loads(read(MEMORY)) if os.path.exists(MEMORY) else {}

    def without_fault(self, test):
        """None if the test passes without a fault; else the verdict and the output. A test that fails here proves nothing."""
        if test not in self.passing and test not in self.red:
            problem = build([test])
            code, out = (1, problem) if problem else run_test(test)
            if code:
                self.red[test] = SKIPPED if code == NOT_RUN else RED, out
            else:
                self.passing.add(test)
        return self.red.get(test)

    def judge(self, fault):
        """(verdict, test, line with the reason)"""
        if places(fault, COPY) != 1:
            return NO_PLACE, "", f"{fault.file} has its text {places(fault, COPY)} times, not once"
        for test in fault.tests:
            problem = self.without_fault(test)
            if problem:
                write(os.path.join(SAID, f"{fault.name}.txt"), problem[1])
                return problem[0], test, why(1, problem[1])
        path = os.path.join(COPY, fault.file)
        original = read(path)
        write(path, original.replace(fault.before, fault.after))
        try:
            problem = build(fault.tests)
            if problem:
                write(os.path.join(SAID, f"{fault.name}.txt"), problem)
                return NO_BUILD, "", why(1, problem)
            for test in fault.tests:
                code, out = run_test(test)
                write(os.path.join(SAID, f"{fault.name}.txt"), out)
                if code:
                    return {124: TOO_LONG, NOT_RUN: SKIPPED}.get(code, NOTICED), test, why(code, out)
            return SURVIVES, "", ""
        finally:
            write(path, original)

    def known(self, fault):
        """Whether it was noticed before, with the same fault, file and tests."""
        return not self.again and places(fault, COPY) == 1 and self.memory.get(fault.name) == fingerprint(fault)

    def remember(self, fault, verdict):
        self.memory.pop(fault.name, None)
        if verdict == NOTICED:
            self.memory[fault.name] = fingerprint(fault)
        write(MEMORY + ".new", json.dumps(self.memory, indent=1))
        os.replace(MEMORY + ".new", MEMORY)


def is_meant(fault, pattern):
    return any(fnmatch.fnmatch(name, pattern) for name in (fault.name, fault.file)) or (
        pattern.endswith("/") and fault.file.startswith(pattern))


def chosen(patterns):
    """The chosen faults: unit tests first, then labs, then clusters; those with the same tests follow each other."""
    folders = ["build", "e2e", "store", "kubernetes", "vm"]

    def order(fault):
        return max(folders.index(t.removeprefix("tests/").partition("/")[0]) for t in fault.tests), fault.tests

    return sorted((f for f in FAULTS if not patterns or any(is_meant(f, p) for p in patterns)), key=order)


def mistakes():
    """A sentence for each mistake in the list itself."""
    for f in FAULTS:
        if places(f, ROOT) != 1:
            yield f"{f.name}: {f.file} has its text {places(f, ROOT)} times, not once"
        if f.before == f.after or not f.tests or sum(g.name == f.name for g in FAULTS) > 1:
            yield f"{f.name}: changes nothing, has no test, or has another's name"
        for test in f.tests:
            text, name = read_if_there(os.path.join(ROOT, source(test))), test.partition("::")[2].partition("[")[0]
            if not text or (name and f"def {name}(" not in text):
                yield f"{f.name}: there is no test {test}"


def show(done, skipped):
    """Prints the faults that were not noticed, and the totals."""
    for verdict in (SURVIVES, RED, SKIPPED, TOO_LONG, NO_BUILD, NO_PLACE):
        rows = [(f, test, line) for f, v, test, line in done if v == verdict]
        if rows:
            print(f"\n{verdict}:")
        for f, test, line in rows:
            print(f"  {f.name:42} {f.file:34} {test or ' '.join(f.tests)}" + (f"\n      {line}" if line else ""))
    count = {v: sum(d[1] == v for d in done) for v in (NOTICED, SURVIVES)}
    print(f"\n{len(done) + len(skipped)} faults: {count[NOTICED]} noticed, {len(skipped)} noticed before and not run again, "
          f"{count[SURVIVES]} survive, {len(done) - sum(count.values())} could not be judged")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only whether each fault finds its place and its tests")
    parser.add_argument("--again", action="store_true", help="those that were noticed before, too")
    parser.add_argument("names", nargs="*", help="of faults, files or folders, or patterns for them")
    options = parser.parse_args()
    if options.check:
        wrong = list(mistakes())
        print("\n".join(wrong), end="\n" if wrong else "")
        return 1 if wrong else 0
    faults = chosen(options.names)
    for pattern in options.names:
        if not any(is_meant(f, pattern) for f in faults):
            parser.error(f"no fault {pattern}")
    os.makedirs(SAID, exist_ok=True)
    lock = open(os.path.join(COPY, "build/lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        parser.error(f"another process uses {COPY}")
    copy_tree()
    # A shell that starts us in the background makes us ignore them. We need them: interrupted tests clean up.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    runner = Runner(options.again)
    skipped = [f for f in faults if runner.known(f)]
    faults = [f for f in faults if f not in skipped]
    done = []
    try:
        for number, fault in enumerate(faults, 1):
            began = time.monotonic()
            verdict, test, line = runner.judge(fault)
            runner.remember(fault, verdict)
            done.append((fault, verdict, test, line))
            print(f"{number}/{len(faults)} {fault.name}: {verdict} ({time.monotonic() - began:.0f} s) {test}"
                  + (f"\n      {line}" if line else ""), flush=True)
    except KeyboardInterrupt:
        print(f"interrupted; not run: {' '.join(f.name for f in faults[len(done):])}")
    show(done, skipped)
    return 0 if len(done) == len(faults) and all(d[1] == NOTICED for d in done) else 1


if __name__ == "__main__":
    sys.exit(main())
