#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""janitor DIRECTORY: waits until standard input ends, which it does with the process that holds its other end,
however that dies. Then it removes the directory, and the cgroups of its name with what still runs in them."""
import contextlib
import os
import shutil
import signal
import sys
import time

CGROUPS = "/sys/fs/cgroup"
SECONDS = 30


def remove_cgroup(top):
    """True when it is gone. Processes that are dying still keep it."""
    for path, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            with open(os.path.join(path, "cgroup.procs")) as f:
                for pid in f.read().split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.rmdir(path)
    return not os.path.exists(top)


def remove(directory):
    """The directory, and what is named after it. True when all of it is gone."""
    name = os.path.basename(directory)
    tops = [os.path.join(CGROUPS, h, name) for h in os.listdir(CGROUPS)]
    deadline = time.monotonic() + SECONDS
    while not all([remove_cgroup(top) for top in tops]):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    shutil.rmtree(directory, ignore_errors=True)
    return not os.path.exists(directory)


def main(directory):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.read()
    return 0 if remove(directory) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
