#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""janitor DIRECTORY: waits until standard input ends. It ends when the process at its other end ends or is killed.
Then the janitor kills what still runs in the cgroups of the directory's name, and removes these cgroups and the directory."""
import contextlib
import os
import shutil
import signal
import sys
import time

CGROUPS = "/sys/fs/cgroup"
SECONDS = 30


def remove_cgroup(top):
    """Kills what runs in the cgroup. Returns True when the cgroup is gone; a dying process keeps it for a moment."""
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
    """Removes the directory and the cgroups of its name. Returns True when all of them are gone."""
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
