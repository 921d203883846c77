"""Writes what is published on some topics into an MCAP bag, message for message."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from mono3d_kd_core.io.typestore import ros2_types

LATCHED = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
EVERYTHING = QoSProfile(depth=0, history=HistoryPolicy.KEEP_ALL)


@dataclass(frozen=True)
class Topic:
    """A topic to record: its message class and how to subscribe."""

    message: type[Any]
    qos: QoSProfile = field(default_factory=lambda: EVERYTHING)

    @property
    def type_name(self) -> str:
        """The full name, such as sensor_msgs/msg/Image."""
        module = self.message.__module__.split(".")
        return f"{module[0]}/{module[1]}/{self.message.__name__}"


class Recorder:
    """Records `topics` through `node` until `close`.

    arrivals holds, per topic, (header stamp in ns, wall clock in ns at the arrival) of each message with a header.
    A message is stored under its own header's stamp, so that the bag runs on the time of the sensors; one without a header
    (transforms) under the stamp that was current when it came.
    """

    def __init__(self, node: Node, path: Path, topics: Mapping[str, Topic]) -> None:
        self._node = node
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._current = 0
        self._early: list[tuple[Connection, bytes]] = []
        self.arrivals: dict[str, list[tuple[int, int]]] = {name: [] for name in topics}
        self._subscriptions = [self._subscribe(name, topic) for name, topic in topics.items()]

    def _subscribe(self, name: str, topic: Topic) -> Subscription[Any]:
        connection = self._writer.add_connection(name, topic.type_name, typestore=ros2_types())

        def arrived(raw: bytes) -> None:
            now = time.time_ns()
            header = getattr(deserialize_message(raw, topic.message), "header", None)
            if header is not None:
                self._current = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
                self.arrivals[name].append((self._current, now))
            self._store(connection, raw)

        return self._node.create_subscription(topic.message, name, arrived, topic.qos, raw=True)

    def _store(self, connection: Connection, raw: bytes) -> None:
        self._early.append((connection, raw))
        if self._current:
            for waiting, data in self._early:
                self._writer.write(waiting, self._current, data)
            self._early.clear()

    def close(self) -> None:
        """Stop recording and finish the bag."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._writer.close()
