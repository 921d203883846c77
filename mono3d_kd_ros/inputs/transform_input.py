"""Transforms of /tf and /tf_static, looked up at a stamp, with a wait for those that are still on their way."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.geometry.tree import TransformError, TransformTree
from mono3d_kd_ros.messages import transforms

JUMP = 1_000_000_000


class TransformInput:
    """Listens to tf; `lookup` may be called from any thread but the one that serves the node's callbacks."""

    def __init__(self, node: Node, buffer_s: float = 30.0) -> None:
        self._node, self._buffer_s = node, buffer_s
        self._tree = TransformTree(buffer_s)
        self._static: dict[str, tuple[str, Matrix]] = {}
        self._newest: dict[str, int] = {}
        self._changed = threading.Condition()
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._subscriptions: list[Any] = [
            node.create_subscription(TFMessage, "/tf", self._take, QoSProfile(depth=100)),
            node.create_subscription(TFMessage, "/tf_static", self._take_static, latched),
        ]
        self.error = ""

    def lookup(self, target: str, source: str, stamp: int, timeout: float) -> Matrix:
        """Return the (4,4) T_target_source at `stamp` in ns. Raises TransformError where it is not known in time."""
        known: list[Matrix] = []

        def found() -> bool:
            try:
                known.append(self._tree.lookup(target, source, stamp))
            except TransformError:
                return False
            return True

        with self._changed:
            if self._changed.wait_for(found, timeout):
                return known[0]
            return self._tree.lookup(target, source, stamp)

    def close(self) -> None:
        """Listen no longer."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions.clear()

    def _take_static(self, message: TFMessage) -> None:
        with self._changed:
            for parent, child, _, T in self._readable(message):
                self._static[child] = parent, T
                self._tree.add_static(parent, child, T)
            self._changed.notify_all()

    def _take(self, message: TFMessage) -> None:
        with self._changed:
            for parent, child, stamp, T in self._readable(message):
                if stamp < self._newest.get(child, stamp) - JUMP:
                    self._forget()
                self._newest[child] = stamp
                self._tree.add(parent, child, stamp, T)
            self._changed.notify_all()

    def _forget(self) -> None:
        """Start anew with what is fixed: the clock has jumped back, and the old samples lie in its future."""
        self._newest.clear()
        self._tree = TransformTree(self._buffer_s)
        for child, (parent, T) in self._static.items():
            self._tree.add_static(parent, child, T)

    def _readable(self, message: TFMessage) -> list[tuple[str, str, int, Matrix]]:
        try:
            return transforms(message)
        except CalibrationError as error:
            self.error = f"tf: {error}"
            return []
