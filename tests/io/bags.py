"""Bags for tests, written with rosbags alone: any storage, any compression, ROS 1 and 2, and any fault in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.rigid import inverse
from mono3d_kd_core.io.messages import (
    camera_info_message,
    image_message,
    jpeg_message,
    points_message,
    transform_message,
)
from mono3d_kd_core.io.typestore import ros1_types, ros2_types
from tests.io.drives import small_frame

IMAGE, INFO, POINTS = "/camera/image_rect", "/camera/camera_info", "/lidar/points"


class Recorded(NamedTuple):
    topic: str
    message: Any
    time: int


def static_transform(frame: SensorFrame) -> Recorded:
    T = inverse(frame.rig.T_camera_lidar)
    return Recorded("/tf_static", transform_message("lidar", "camera", T, frame.stamp), frame.stamp)


def messages_of(frames: Sequence[SensorFrame], jpeg: bool = False) -> list[Recorded]:
    """Return the messages of a drive: the static transform, then camera_info, image and points of each frame."""
    found = [static_transform(frames[0])]
    for frame in frames:
        stamp = frame.stamp
        found.append(Recorded(INFO, camera_info_message(frame.rig.camera, stamp, "camera"), stamp))
        if jpeg:
            found.append(Recorded(f"{IMAGE}/compressed", jpeg_message(frame.image, stamp, "camera"), stamp))
        else:
            found.append(Recorded(IMAGE, image_message(frame.image, stamp, "camera"), stamp))
        if frame.points is not None:
            found.append(Recorded(POINTS, points_message(frame.points, stamp, "lidar"), stamp))
    return found


def drive(count: int = 4) -> list[Recorded]:
    """Return the messages of a small drive at 10 Hz."""
    return messages_of([small_frame(i) for i in range(count)])


def only(messages: Iterable[Recorded], topic: str) -> list[Recorded]:
    return [m for m in messages if m.topic == topic]


def without(messages: Iterable[Recorded], topic: str) -> list[Recorded]:
    return [m for m in messages if m.topic != topic]


def set_stamp(recorded: Recorded, stamp: int) -> Recorded:
    """Change the stamp in a message's header, not the time of its recording."""
    time = recorded.message.header.stamp
    time.sec, time.nanosec = divmod(stamp, 1_000_000_000)
    return recorded


def write_ros2(
    path: Path, messages: Sequence[Recorded], storage: StoragePlugin = StoragePlugin.MCAP,
    compression: CompressionMode = CompressionMode.NONE,
) -> Path:  # fmt: skip
    """Write a rosbag2 folder."""
    types = ros2_types()
    writer = Writer(path, version=9, storage_plugin=storage)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {
            m.topic: writer.add_connection(m.topic, m.message.__msgtype__, typestore=types)
            for m in {m.topic: m for m in messages}.values()
        }
        for m in messages:
            writer.write(connections[m.topic], m.time, types.serialize_cdr(m.message, m.message.__msgtype__))
    return path


def write_ros1(path: Path, messages: Sequence[Recorded]) -> Path:
    """Write a ROS 1 .bag."""
    types = ros1_types()
    with Writer1(path) as writer:
        connections = {
            m.topic: writer.add_connection(m.topic, m.message.__msgtype__, typestore=types)
            for m in {m.topic: m for m in messages}.values()
        }
        for m in messages:
            data = types.serialize_ros1(as_ros1(m.message), m.message.__msgtype__)
            writer.write(connections[m.topic], m.time, data)
    return path


def as_ros1(message: Any) -> Any:
    """Return a ROS 2 message as ROS 1's class of the same name, whose headers count and whose matrices are capital."""
    if isinstance(message, list):
        return [as_ros1(item) for item in message]
    if not hasattr(message, "__msgtype__"):
        return message
    if message.__msgtype__ == "builtin_interfaces/msg/Time":
        return message
    fields = [name for name, _ in ros1_types().fielddefs[message.__msgtype__][1]]
    values = {name: as_ros1(getattr(message, name if hasattr(message, name) else name.lower(), 0)) for name in fields}
    return ros1_types().types[message.__msgtype__](**values)
