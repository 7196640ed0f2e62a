# SPDX-License-Identifier: Apache-2.0
"""A deliberate fault: which text of a file is replaced by which, and which tests should notice."""
from collections import namedtuple

# The tests that faults of several files share.
CLUSTER = "build/tests/test_cluster"
HOOK = "build/tests/bpf/test_hook"
REFLECTOR = "build/tests/test_reflector"
REMOTE_RANGES = "build/tests/test_remote_ranges"
STORE = "tests/kubernetes/test_store.py"

Fault = namedtuple("Fault", "name file before after tests")


def fault(name, file, before, after, *tests):
    return Fault(name, file, before, after, list(tests))
