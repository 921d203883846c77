"""A peer on the test process's own graph."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from tests.ros.harness import Peer


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    """A node that publishes, listens and calls for the tests of a module."""
    peer = Peer()
    yield peer
    peer.close()
