# SPDX-License-Identifier: Apache-2.0
"""`make soak` works: a short run of it. That run also proves that it sees a packet in plain."""
import os
import re
import subprocess
import sys

from lab import ROOT

SOAK = os.path.join(ROOT, "tests/soak/soak.py")


def test_a_short_soak():
    done = subprocess.run([sys.executable, SOAK], env={**os.environ, "SOAK_SECONDS": "15", "SOAK_SEED": "1"}, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = done.stdout.splitlines()[-1]
    events, requests = map(int, re.match(r"soak: passed in 15 s: (\d+) events, (\d+) requests, 0 failed, ", figures).groups())
    assert events and requests and ", 0 packets in plain, " in figures, figures
