"""Writes bags that players, Foxglove and RViz understand: rosbag2, MCAP."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from rosbags.interfaces import Connection, Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag2 import StoragePlugin, Writer

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse, rotation_from_quaternion, to_pose, transform
from mono3d_kd_core.io.messages import (
    camera_info_message,
    detections_message,
    image_message,
    jpeg_message,
    points_message,
    transform_message,
)
from mono3d_kd_core.io.rig import Topics
from mono3d_kd_core.io.typestore import ros2_types

TOPICS = Topics(image="/camera/image_rect", camera_info="/camera/camera_info", points="/lidar/points")
"""The topics of the bags that this project makes; the name says that the image is rectified."""
RAW_TOPICS = Topics(image="/camera/image_raw", camera_info="/camera/camera_info", points="/lidar/points")
"""The same for an image that the lens still bends."""

FOREVER = QosTime(0, 0)


def quality(latched: bool) -> Qos:
    """Return the QoS under which a player should publish: reliable serves every subscriber, latched the late ones too."""
    durability = QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE
    return Qos(
        QosHistory.KEEP_LAST, 1 if latched else 10, QosReliability.RELIABLE, durability, FOREVER, FOREVER,
        QosLiveliness.AUTOMATIC, FOREVER, False,
    )  # fmt: skip


class BagWriter:
    """Writes messages into a new bag; a context manager. The bag appears under its name only when it is complete.

    The time of recording is the stamp of the header. Raises DataError when the bag exists or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.exists():
            raise DataError(f"{self.path} exists already; remove it, or choose another name")
        # The file in a bag is named after its folder, so it is the folder around it that is temporary. Its name is always
        # the same: what a killed run has left there is cleared away by the next.
        self._workshop = self.path.absolute().parent / f".{self.path.name}.partial"
        shutil.rmtree(self._workshop, ignore_errors=True)
        self._writer = Writer(self._workshop / self.path.name, version=8, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Connection] = {}
        self._rig: Rig | None = None

    def __enter__(self) -> BagWriter:
        try:
            self._writer.open()
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
            if kind is None:
                (self._workshop / self.path.name).replace(self.path)
        except OSError as problem:
            raise DataError(f"{self.path}: cannot be written: {problem.strerror}") from problem
        finally:
            shutil.rmtree(self._workshop, ignore_errors=True)

    def write(self, topic: str, message: Any, stamp: int, latched: bool = False) -> None:
        """Write a message of rosbags' type store, recorded at `stamp` in ns."""
        type_ = message.__msgtype__
        self.write_raw(topic, type_, ros2_types().serialize_cdr(message, type_), stamp, latched)

    def write_raw(self, topic: str, type_: str, data: bytes | memoryview, stamp: int, latched: bool = False) -> None:
        """Write a message that is serialised already, as CDR."""
        try:
            if topic not in self._connections:
                self._connections[topic] = self._writer.add_connection(
                    topic, type_, typestore=ros2_types(), offered_qos_profiles=[quality(latched)]
                )
            self._writer.write(self._connections[topic], stamp, data)
        except OSError as error:
            raise DataError(f"{self.path}: cannot be written: {error.strerror}") from error

    def write_transform(self, parent: str, child: str, T_parent_child: Matrix, stamp: int, static: bool = False) -> None:
        """Write a transform to /tf_static, for late subscribers too, or to /tf."""
        topic = "/tf_static" if static else "/tf"
        self.write(topic, transform_message(parent, child, T_parent_child, stamp), stamp, latched=static)

    def write_detections(
        self, topic: str, boxes: Boxes3D, stamp: int, frame: str, T_frame_boxes: Matrix = T_CAMERA_BODY
    ) -> None:
        """Write boxes as a Detection3DArray; see `detections_message`."""
        self.write(topic, detections_message(boxes, stamp, frame, T_frame_boxes), stamp)

    def write_frame(self, frame: SensorFrame, jpeg: bool = False, moving: bool = False) -> None:
        """Write a frame's transform, camera_info, image and points to the topics that `BagSource` guesses.

        The transform goes to /tf_static, once. `moving` says that it changes from frame to frame: then it goes to /tf with
        every frame. Raises DataError when it changes all the same.
        """
        rig = _sayable(frame.rig)
        if self._rig is None or moving:
            T_lidar_camera = inverse(rig.T_camera_lidar)
            self.write_transform(rig.lidar_frame, rig.camera_frame, T_lidar_camera, frame.stamp, static=not moving)
            self._rig = rig
        elif not np.array_equal(rig.T_camera_lidar, self._rig.T_camera_lidar):
            raise DataError(f"{self.path}: frame {frame.id} has another extrinsic calibration than the frames before")
        topics = TOPICS if rig.camera.rectified else RAW_TOPICS
        assert topics.camera_info is not None
        assert topics.points is not None
        self.write(topics.camera_info, camera_info_message(rig.camera, frame.stamp, rig.camera_frame), frame.stamp)
        if jpeg:
            self.write(f"{topics.image}/compressed", jpeg_message(frame.image, frame.stamp, rig.camera_frame), frame.stamp)
        else:
            self.write(topics.image, image_message(frame.image, frame.stamp, rig.camera_frame), frame.stamp)
        if frame.points is not None:
            self.write(topics.points, points_message(frame.points, frame.stamp, rig.lidar_frame), frame.stamp)


def _sayable(rig: Rig) -> Rig:
    """Return an equal rig whose transform is what a quaternion can say.

    Calibration files are rounded, KITTI's to seven digits, so their rotations are not quite orthonormal. What the nearest
    rotation leaves over (about 1e-8) goes into the rectification R of the camera_info, which is a matrix.
    """
    camera, T = rig.camera, rig.T_camera_lidar
    rotation = rotation_from_quaternion(to_pose(T)[1])
    rest = T[:3, :3] @ rotation.T
    if not camera.rectified or np.abs(rest - np.eye(3)).max() < 1e-12:
        return rig
    exact = transform(rotation, np.linalg.solve(rest, T[:3, 3]))
    return replace(rig, camera=replace(camera, R=camera.R @ rest), T_camera_lidar=exact)
