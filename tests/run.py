#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs suites of tests and ends with one line: N passed, N failed, N skipped; before it, the ten slowest tests and,
once more, why those that failed did.

A skipped test says why. A suite that ran nothing fails, and so does one that takes too long.
"""
import argparse
import glob
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from concurrent.futures import ThreadPoolExecutor

import progress

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# If a sanitizer finds an error, the test fails and prints it.
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}

# The tests that need the whole lab on Kubernetes; the others in the folder need only an API server.
CLUSTER = "tests/kubernetes/test_cluster.py"
# suite: (seconds, where its tests are). Those with + between run in one pool.
POOLED = {
    "e2e": (1200, ["tests/e2e"]),
    "store": (600, ["tests/store"]),
    "vm": (900, ["tests/vm"]),
    "apiserver": (900, ["tests/kubernetes", "--ignore", CLUSTER]),
}
# The files that take longest. A pool begins with them, so that it does not wait for one of them at its end.
LONG = [f"tests/{name}.py" for name in ("vm/test_real_felix", "vm/test_kernels", "e2e/test_sessions")]
# One test of the whole: encryption on and off between pods, checked with a capture.
SMOKE = "tests/e2e/test_agent.py::test_the_exercise"
SLOWEST = 10
# So many lines of a failed test's output are repeated at the end.
LAST_LINES = 30


class Tally:
    def __init__(self):
        self.passed, self.failed, self.skipped = 0, 0, 0
        self.slow = []  # (seconds, test), the slowest first
        self.failures = []  # (test, its output)

    def fail(self, test, said):
        self.failed += 1
        self.failures.append((test, "\n".join(said.splitlines()[-LAST_LINES:])))

    def took(self, seconds, test):
        self.slow = sorted([*self.slow, (seconds, test)], reverse=True)[:SLOWEST]

    def add(self, other):
        for seconds, test in other.slow:
            self.took(seconds, test)
        self.failures += other.failures
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def total(self):
        return self.passed + self.failed + self.skipped

    def __str__(self):
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"


def run(command, seconds, env=None):
    """(exit code, output); 124 if it took too long."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                               cwd=ROOT, env={**os.environ, **(env or {})}, errors="replace",
                               stdin=subprocess.DEVNULL)
    try:
        out, _ = process.communicate(timeout=seconds)
        return process.returncode, out
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        return 124, out + f"\nnot done within {seconds} s\n"


def cmocka(suite, pattern, seconds=120, emulator=()):
    """Runs cmocka programs, one a processor, and counts their tests by their TAP output."""
    tally = Tally()
    env = {"CMOCKA_MESSAGE_OUTPUT": "TAP", **SANITIZERS}
    if emulator:
        env["ASAN_OPTIONS"] = "detect_leaks=0"  # the leak detector uses ptrace, which does not work below qemu
    programs = [p for p in sorted(glob.glob(os.path.join(ROOT, pattern))) if os.access(p, os.X_OK) and not os.path.isdir(p)]

    def one(program):
        began = time.monotonic()
        code, out = run([*emulator, program], seconds, env)
        return code, out, time.monotonic() - began

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for program, (code, out, took) in zip(programs, pool.map(one, programs)):
            name = os.path.basename(program)
            progress.note(suite, name, tally.total(), 0, tally.failed)
            tally.took(took, f"{suite}: {name}")
            before = tally.failed
            for line in out.splitlines():
                if re.match(r"ok \d+ .*# SKIP", line):
                    tally.skipped += 1
                    print(f"{name}: {line}")
                elif re.match(r"ok \d+", line):
                    tally.passed += 1
                elif re.match(r"not ok \d+", line):
                    tally.fail(f"{suite}: {name}: {line}", out)
            if code and tally.failed == before:
                tally.fail(f"{suite}: {name}: exit code {code}", out)
            if tally.failed > before:
                print(f"{name}: exit code {code}\n{out}")
            else:
                print(f"{name}: ok")
    return tally


def fuzz(seconds):
    """Runs each fuzzer for some seconds, two at a time."""
    tally = Tally()
    programs = [p for p in sorted(glob.glob(os.path.join(ROOT, "build/fuzz/fuzz_*")))
                if os.access(p, os.X_OK)]
    for i in range(0, len(programs), 2):
        started = []
        progress.note("fuzz", os.path.basename(programs[i]), tally.total(), len(programs), tally.failed)
        for program in programs[i:i + 2]:
            scratch = tempfile.TemporaryDirectory()
            name = os.path.basename(program)
            corpus = os.path.join(ROOT, "tests/fuzz/corpus", name)
            command = [program, f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=10",
                       "-artifact_prefix=" + os.path.join(ROOT, "build/fuzz/"), scratch.name]
            if os.path.isdir(corpus):
                command.append(corpus)
            log = tempfile.TemporaryFile(mode="w+", errors="replace")
            started.append((name, scratch, log, subprocess.Popen(
                command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, **SANITIZERS})))
        for name, scratch, log, process in started:
            try:
                code = process.wait(timeout=seconds + 60)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            log.seek(0)
            out = log.read()
            runs = re.search(r"number_of_executed_units: (\d+)", out)
            scratch.cleanup()
            if code or not runs:
                tally.fail(f"fuzz: {name}: exit code {code}", out)
                print(f"{name}: exit code {code}\n{out[-6000:]}")
            else:
                tally.passed += 1
                print(f"{name}: ok, {runs.group(1)} inputs")
    return tally


def pytest(suite, seconds, *arguments):
    """Runs pytest tests and counts them by pytest's JUnit file; pytest's output is shown as it comes."""
    tally = Tally()
    env = {**os.environ, progress.SUITE: suite,
           "PYTHONPATH": os.pathsep.join([os.path.join(ROOT, "tests"), os.environ.get("PYTHONPATH", "")])}
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        try:
            code = subprocess.call(
                [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "progress", "-q", "-rs",
                 "--junitxml", report.name, *arguments], cwd=ROOT, timeout=seconds, env=env,
                stdin=subprocess.DEVNULL)
        except subprocess.TimeoutExpired:
            print(f"{suite}: not done within {seconds} s")
            code = 124
        try:
            for found in ElementTree.parse(report.name).getroot().iter("testsuite"):
                failed = int(found.get("failures")) + int(found.get("errors"))
                skipped = int(found.get("skipped"))
                tally.skipped += skipped
                tally.passed += int(found.get("tests")) - failed - skipped
                for case in found.iter("testcase"):
                    test = f"{suite}: {case.get('name')}"
                    tally.took(float(case.get("time")), test)
                    for wrong in [*case.iter("failure"), *case.iter("error")]:
                        tally.fail(test, wrong.text or wrong.get("message") or "")
        except ElementTree.ParseError:
            tally.fail(suite, "pytest left no report")
        if code not in (0, 1) and not tally.failed:
            tally.fail(suite, f"pytest ended with {code}")
    return tally


def pooled(name):
    """Runs one or several suites of pytest tests in one pool. Most of their tests wait for something, so there are two workers
    a processor. The tests of a file stay together: they share a lab."""
    suites = name.split("+")
    arguments = [a for suite in suites for a in POOLED[suite][1]]
    first = [f for f in LONG if os.path.dirname(f) in arguments]
    return pytest(name, sum(POOLED[suite][0] for suite in suites),
                  "-n", str(2 * os.cpu_count()), "--dist", "loadfile", *first, *arguments)


def run_suites(options, suites):
    total = Tally()

    def before():
        return total.passed, total.failed

    with tempfile.TemporaryDirectory() as folder:
        os.environ[progress.FOLDER] = folder
        with progress.Line(folder, before):
            for name in options.suites:
                print(f"=== {name}", flush=True)
                tally = pooled(name) if name.split("+")[0] in POOLED else suites[name]()
                progress.over(name)
                if not tally.total():
                    print(f"{name}: ran nothing")
                    tally.fail(name, "ran nothing")
                print(f"=== {name}: {tally}", flush=True)
                total.add(tally)
    print("slowest:")
    for seconds, test in total.slow:
        print(f"{seconds:8.1f} s  {test}")
    for test, said in total.failures:
        print(f"--- failed: {test}\n{said}")
    return total


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fuzz-seconds", type=int, default=20)
    parser.add_argument("--build", default="build", help="where the programs of unit, asan and bpf are")
    parser.add_argument("--emulator", default="", help="the command that runs those of unit and asan")
    parser.add_argument("suites", nargs="+", help="which to run; with + between, in one pool")
    options = parser.parse_args()
    build, emulator = options.build, options.emulator.split()
    suites = {
        "unit": lambda: cmocka("unit", f"{build}/tests/test_*", emulator=emulator),
        "asan": lambda: cmocka("asan", f"{build}/asan/tests/test_*", 300, emulator),
        "bpf": lambda: cmocka("bpf", f"{build}/tests/bpf/test_*"),
        "fuzz": lambda: fuzz(options.fuzz_seconds),
        "smoke": lambda: pytest("smoke", 120, SMOKE),
        "arm64": lambda: pytest("arm64", 600, "tests/arm64"),
        "kubernetes": lambda: pytest("kubernetes", 900, CLUSTER),
    }
    for name in options.suites:
        if name not in suites and not set(name.split("+")) <= set(POOLED):
            parser.error(f"no suite {name}: there are {', '.join([*suites, *POOLED])}; the last {len(POOLED)} also with + between")
    total = run_suites(options, suites)
    print(total)
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
