# SPDX-License-Identifier: Apache-2.0
import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from lab import Lab, implementation  # noqa: E402
import workload  # noqa: E402
from cluster import Cluster  # noqa: E402

PEERS = ["wireguard-go", "wireguard-go-new", "boringtun"]


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="namespaces need root"))


@pytest.fixture(params=PEERS)
def peer(request):
    """The command that makes a device of an independent implementation."""
    command = implementation(request.param)
    if not os.access(command[0], os.X_OK):
        pytest.skip(f"{command[0]} is not installed: make deps builds it")
    return command


@pytest.fixture
def lab():
    with Lab() as made:
        yield made


@pytest.fixture
def cluster():
    """Three nodes with an agent each, without encryption; the pod .client is on the second, .server on the third."""
    with Cluster(3) as c:
        c.client = c.pod(c.nodes[1], "frontend-client")
        c.server = c.pod(c.nodes[2], "backend-api")
        workload.backend(c.server)
        for node in c.nodes:
            c.start_agent(node)
        yield c
