"""The CameraInfo messages of a recording: which camera was in force at a moment."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace
from typing import Any

import numpy as np

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.camera_info import Window, from_camera_info
from mono3d_kd_core.geometry.rigid import Matrix, transform


def camera_of(info: Any, rectified: bool, name: str) -> CameraModel:
    """Return the camera of a sensor_msgs/CameraInfo message of ROS 1 or 2, of any library's message class.

    `rectified` tells which image goes with it, `name` is the topic, for messages. Raises CalibrationError.
    """
    d, k, r, p = (getattr(info, key if hasattr(info, key) else key.upper()) for key in "dkrp")
    roi = Window(info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
    return from_camera_info(
        info.width, info.height, info.distortion_model, d, k, r, p,
        binning=(info.binning_x, info.binning_y), roi=roi, rectified=rectified, name=name,
    )  # fmt: skip


def rig_of(camera: CameraModel, T_camera_lidar: Matrix, camera_frame: str, lidar_frame: str) -> Rig:
    """Return the rig whose optical frame is that of the image plane.

    A stereo camera's rectification R goes into T_camera_lidar: boxes and labels of the frame "camera" are then those of the
    picture, as KITTI's files mean them.
    """
    if camera.rectified and not np.array_equal(camera.R, np.eye(3)):
        T_camera_lidar = transform(camera.R, np.zeros(3)) @ T_camera_lidar
        camera = replace(camera, R=np.eye(3))
    return Rig(camera, T_camera_lidar, camera_frame, lidar_frame)


def check_resolution(camera: CameraModel, width: int, height: int, info: str, image: str) -> None:
    """Raise CalibrationError when a camera describes pictures of another size."""
    if (camera.width, camera.height) != (width, height):
        raise CalibrationError(
            f"camera_info belongs to another resolution: {info} describes {camera.width}x{camera.height}, but the images of "
            f"{image} are {width}x{height}; publish the camera_info of these images, or give `camera` in a rig file"
        )


class CameraTrack:
    """The cameras that a topic has described, by the stamps of their messages in ns; repetitions cost nothing."""

    def __init__(self, rectified: bool, name: str) -> None:
        self._rectified, self._name = rectified, name
        self._stamps: list[int] = []
        self._infos: list[Any] = []
        self._cameras: dict[int, CameraModel] = {}
        self.received = 0
        self.first_stamp: int | None = None

    @property
    def changes(self) -> int:
        """How often the calibration has changed."""
        return max(0, len(self._infos) - 1)

    def add(self, stamp: int, info: Any) -> None:
        """Take a message, in the order of arrival."""
        self.received += 1
        self.first_stamp = stamp if self.first_stamp is None else self.first_stamp
        if not self._infos or _values(info) != _values(self._infos[-1]):
            self._stamps.append(max([stamp, *self._stamps[-1:]]))  # after a jump back of the clock the latest one counts
            self._infos.append(info)

    def at(self, stamp: int) -> CameraModel:
        """Return the camera in force at a moment: the latest one before, else the first that was told at all.

        Raises CalibrationError when none was told, or the one in force cannot be used.
        """
        if not self._infos:
            raise CalibrationError(
                f"{self._name} never says anything, so the camera is not calibrated; give `camera` in a rig file"
            )
        index = max(0, bisect_right(self._stamps, stamp) - 1)
        if index not in self._cameras:
            self._cameras[index] = camera_of(self._infos[index], self._rectified, self._name)
        return self._cameras[index]


def _values(info: Any) -> tuple[object, ...]:
    arrays = (getattr(info, key if hasattr(info, key) else key.upper()) for key in "dkrp")
    roi = (info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height)
    sizes = (info.width, info.height, info.binning_x, info.binning_y)
    return (info.distortion_model, *sizes, *roi, *(np.asarray(array).tobytes() for array in arrays))
