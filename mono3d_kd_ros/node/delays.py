"""Delays of single frames as numbers to plot."""

from __future__ import annotations

import time
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from std_msgs.msg import Float64

NAMES = ("processing_time_ms", "pipeline_latency_ms", "cyclic_time_ms")


class DelayOutputs:
    """Publishes, in ms, on `~/debug/`: the work on a frame, its arrival to its answer, and one answer to the next."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._outputs: list[Publisher[Any]] = [node.create_publisher(Float64, f"~/debug/{name}", 10) for name in NAMES]
        self._last: float | None = None

    def publish(self, processing_s: float, pipeline_s: float) -> None:
        """Tell of a frame that was answered at this moment."""
        now = time.monotonic()
        cyclic_s, self._last = (None if self._last is None else now - self._last), now
        for output, seconds in zip(self._outputs, (processing_s, pipeline_s, cyclic_s)):
            if seconds is not None and output.get_subscription_count():
                output.publish(Float64(data=seconds * 1e3))

    def close(self) -> None:
        """Give up the topics."""
        for output in self._outputs:
            self._node.destroy_publisher(output)
        self._outputs.clear()
