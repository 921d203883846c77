"""The end of a replay, as its player tells it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Bool

QUIET_S = 1.0
"""How long after the player's end its last messages may still be on their way through this node."""


class EndOfReplay:
    """Listens to the player's latched `~/finished`; `ended` is called, and `reached` true, when all must have come."""

    def __init__(self, node: Node, player: str, ended: Callable[[], None]) -> None:
        self._node, self._ended = node, ended
        self._timer: Any = None
        self.reached = False
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscription = node.create_subscription(Bool, f"{player}/finished", self._hear, latched)

    def close(self) -> None:
        """Listen no longer."""
        self._stop_waiting()
        self._node.destroy_subscription(self._subscription)

    def _hear(self, message: Bool) -> None:
        self._stop_waiting()
        if message.data:
            self._timer = self._node.create_timer(QUIET_S, self._end, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _end(self) -> None:
        self._stop_waiting()
        self.reached = True
        self._ended()

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None
