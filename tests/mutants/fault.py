# SPDX-License-Identifier: Apache-2.0
"""A deliberate fault: which text of a file is replaced by which, and which tests should notice."""
from collections import namedtuple

Fault = namedtuple("Fault", "name file before after tests")


def fault(name, file, before, after, *tests):
    return Fault(name, file, before, after, list(tests))
