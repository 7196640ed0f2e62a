# SPDX-License-Identifier: Apache-2.0
"""Shows in one line which tests run at the moment. Each suite writes its state to a file in a common folder, and the first
runner shows them all. This is also a pytest plugin (-p progress), which writes the state of its suite."""
import json
import os
import sys
import threading

FOLDER = "PODVEIL_TESTS_PROGRESS"  # environment: where the files are
SUITE = "PODVEIL_TESTS_SUITE"
ON_A_TERMINAL, IN_A_LOG = 1, 30  # seconds between two lines


def note(suite, now, done, total, failed):
    """Writes the state of a suite. `now`: the test that runs; `done` of `total` (0: unknown) have ended, `failed` have failed."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return
    path = os.path.join(folder, suite)
    with open(path + ".new", "w") as f:
        json.dump({"now": now, "done": done, "total": total, "failed": failed}, f)
    os.rename(path + ".new", path)


def over(suite):
    folder = os.environ.get(FOLDER)
    if folder and os.path.exists(os.path.join(folder, suite)):
        os.unlink(os.path.join(folder, suite))


class Line:
    """Shows the state of all suites until the `with` ends. `before`: (passed, failed) of the suites that have ended."""

    def __init__(self, folder, before):
        self.folder, self.before = folder, before
        self.terminal = sys.stderr.isatty()
        self.end = threading.Event()
        self.thread = threading.Thread(target=self._show, daemon=True)

    def text(self):
        passed, failed = self.before()
        parts = []
        for suite in sorted(s for s in os.listdir(self.folder) if not s.endswith(".new")):
            try:
                with open(os.path.join(self.folder, suite)) as f:
                    state = json.load(f)
            except (OSError, ValueError):
                continue  # the suite has just ended
            passed += state["done"] - state["failed"]
            failed += state["failed"]
            of = f"/{state['total']}" if state["total"] else ""
            parts.append(f"{suite} {state['done']}{of} {state['now']}")
        return f"{passed} passed, {failed} failed so far; {' | '.join(parts)}" if parts else ""

    def _show(self):
        shown = ""
        while not self.end.wait(ON_A_TERMINAL if self.terminal else IN_A_LOG):
            text = self.text()
            if not text or text == shown:
                continue
            shown = text
            if self.terminal:
                print(f"\r\033[K{text[:os.get_terminal_size(2).columns - 1]}", end="", file=sys.stderr, flush=True)
            else:
                print(f"... {text}", file=sys.stderr, flush=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()
        if self.terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


# --- for pytest ---

_state = {"done": 0, "total": 0, "failed": 0}


def pytest_configure(config):
    if hasattr(config, "workerinput"):  # one of several workers: the process that started it shows the state of all
        os.environ.pop(FOLDER, None)
    elif config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Pool())


class Pool:
    @staticmethod
    def pytest_xdist_node_collection_finished(ids):
        _state["total"] = len(ids)


def pytest_collection_finish(session):
    _state["total"] = len(session.items)


def pytest_runtest_logstart(nodeid):
    note(os.environ.get(SUITE, "tests"), nodeid.rsplit("/", 1)[-1], **_state)


def pytest_runtest_logreport(report):
    if report.failed:
        _state["failed"] += 1
    if report.when == "teardown":
        _state["done"] += 1
