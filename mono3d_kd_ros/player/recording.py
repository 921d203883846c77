"""A bag as a player needs it: message classes, quality of service, and messages as ROS 2 serialises them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosbags.convert.converter import generate_message_converter
from rosbags.interfaces import Connection, ConnectionExtRosbag1, QosDurability, QosReliability

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag_file import BagFile
from mono3d_kd_core.io.typestore import ros1_types, ros2_types

DEEPEST = 1000
HELD_FOR_THE_SLOW = 100
"""Messages that a reliable publisher keeps for subscribers that are late: ten seconds of a usual camera."""
ROS2_NAMES = {"tf/msg/tfMessage": "tf2_msgs/msg/TFMessage"}
"""Types of ROS 1 that have another name in ROS 2."""


class Recorded(NamedTuple):
    """A message: when it was recorded, in ns, and its CDR bytes."""

    topic: str
    time: int
    data: bytes


@dataclass(frozen=True)
class PlayableTopic:
    """A topic of a bag: how many messages it has, their class and the QoS to publish them with."""

    count: int
    message_type: type
    qos: QoSProfile

    @property
    def latched(self) -> bool:
        """Whether late subscribers are served too."""
        return bool(self.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)


class _Bag(BagFile):
    """A bag that also tells when it was recorded and how its topics were published."""

    @property
    def bounds(self) -> tuple[int, int]:
        """The time of the first message and that after the last, in ns."""
        return min(r.start_time for r in self._readers), max(r.end_time for r in self._readers)

    def publishers(self, topic: str) -> list[Connection]:
        """Return who published a topic while it was recorded."""
        return [c for reader in self._readers for c in reader.connections if c.topic == topic]


class Recording:
    """A bag open for playing. `topics` are those asked for (none: all) whose message class is installed here.

    `missing` names the others with the reason. `start` and `end` are times in ns. Raises DataError in words.
    """

    def __init__(self, path: Path, wanted: Sequence[str] = (), reliable: bool = False) -> None:
        self._bag = _Bag(path)
        unknown = sorted(set(wanted) - self._bag.topics.keys())
        if unknown:
            raise DataError(f"{path}: there is no topic {', '.join(unknown)}; topics are {', '.join(self._bag.topics)}")
        self.topics: dict[str, PlayableTopic] = {}
        self.missing: dict[str, str] = {}
        self._converters: dict[str, Callable[[bytes], bytes]] = {}
        for name in wanted or self._bag.topics:
            self._add(name, reliable)
        if not self.topics:
            raise DataError(f"{path}: nothing can be played: {'; '.join(self.missing.values()) or 'it has no topics'}")
        self.start, self.end = self._bag.bounds

    def _add(self, name: str, reliable: bool) -> None:
        topic = self._bag.topics[name]
        type_name = ROS2_NAMES.get(topic.type, topic.type)
        try:
            message_type = _message_class(type_name)
            self._converters[name] = self._converter(topic.type, type_name)
        except (ImportError, AttributeError, KeyError):
            self.missing[name] = f"{name} is left out: the message type {type_name} is not installed"
            return
        qos = _publishing_qos(self._bag.publishers(name), topic.count, reliable or name == "/tf_static")
        if name == "/tf_static":
            qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
            qos.depth = max(1, min(topic.count, DEEPEST))
        self.topics[name] = PlayableTopic(topic.count, message_type, qos)

    def _converter(self, source: str, target: str) -> Callable[[bytes], bytes]:
        if not self._bag.is_ros1:
            return bytes
        convert = generate_message_converter(
            ros1_types(), ros2_types(), source, target, {}, src_is2=False, dst_is2=True
        )
        return lambda data: bytes(convert(data))

    def messages(self, start: int, stop: int) -> Iterator[Recorded]:
        """Yield the messages recorded from `start` up to `stop` (exclusive), in ns, in order.

        What latched topics said before `start` comes first, as its subscribers would still have heard it.
        """
        latched = [name for name, topic in self.topics.items() if topic.latched]
        if latched and start > self.start:
            yield from self._read(latched, self.start, start)
        yield from self._read(list(self.topics), start, stop)

    def _read(self, topics: Sequence[str], start: int, stop: int) -> Iterator[Recorded]:
        for message in self._bag.messages(topics, start, stop):
            yield Recorded(message.topic, message.time, self._converters[message.topic](message.data))

    def close(self) -> None:
        """Close the bag."""
        self._bag.close()


def _message_class(type_name: str) -> type:
    package, _, name = type_name.partition("/msg/")
    result: type = getattr(importlib.import_module(f"{package}.msg"), name)
    return result


def _publishing_qos(recorded: Sequence[Connection], count: int, reliable: bool) -> QoSProfile:
    """Return a QoS that serves whoever could hear the recorded publishers.

    It is reliable when one of them was, and latched when one of them was, then deep enough for all that was latched.
    A player that must lose nothing (`reliable`) keeps more of what slow subscribers have not taken yet.
    Deadlines and lifespans are left out: they make no sense at another rate.
    """
    profiles = [q for c in recorded if not isinstance(c.ext, ConnectionExtRosbag1) for q in c.ext.offered_qos_profiles]
    weak = bool(profiles) and all(q.reliability == QosReliability.BEST_EFFORT for q in profiles)
    latched = any(q.durability == QosDurability.TRANSIENT_LOCAL for q in profiles) or any(
        bool(c.ext.latching) for c in recorded if isinstance(c.ext, ConnectionExtRosbag1)
    )
    depth = max([HELD_FOR_THE_SLOW if reliable else 10, *(q.depth for q in profiles)])
    return QoSProfile(
        depth=max(1, min(count, DEEPEST)) if latched else min(depth, DEEPEST),
        reliability=ReliabilityPolicy.BEST_EFFORT if weak and not reliable else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )
