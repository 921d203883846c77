"""What travels between the parts: a rig, a frame of it, and a source of frames."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse, is_rotation


@dataclass(frozen=True)
class Rig:
    """A camera and, where there is one, a LiDAR rigidly beside it.

    T_camera_lidar (4,4) maps LiDAR points into the camera's optical frame (for KITTI: the rectified frame of camera 0,
    in which labels are given; P2's offset is in the camera model). camera_frame and lidar_frame are the tf frame ids.
    """

    camera: CameraModel
    T_camera_lidar: Matrix
    camera_frame: str = "camera"
    lidar_frame: str = "lidar"

    def __post_init__(self) -> None:
        T = np.asarray(self.T_camera_lidar, np.float64).reshape(4, 4)
        if not np.isfinite(T).all() or not is_rotation(T[:3, :3]) or not np.array_equal(T[3], [0, 0, 0, 1]):
            raise CalibrationError(
                f"the transform {self.camera_frame} <- {self.lidar_frame} is not a rotation and a translation:\n{T}"
            )
        object.__setattr__(self, "T_camera_lidar", T)

    @property
    def T_body_lidar(self) -> Matrix:
        """Maps LiDAR points into the camera's z-up body frame, in which boxes of the frame "camera" live."""
        return inverse(T_CAMERA_BODY) @ self.T_camera_lidar

    def boxes_in_camera(self, boxes: Boxes3D) -> Boxes3D:
        """Return the boxes in the frame "camera", from "lidar" or "camera"."""
        return boxes if boxes.frame == "camera" else _checked(boxes, "lidar").transformed(self.T_body_lidar, "camera")

    def boxes_in_lidar(self, boxes: Boxes3D) -> Boxes3D:
        """Return the boxes in the frame "lidar", from "camera" or "lidar"."""
        if boxes.frame == "lidar":
            return boxes
        return _checked(boxes, "camera").transformed(inverse(self.T_body_lidar), "lidar")


def _checked(boxes: Boxes3D, frame: str) -> Boxes3D:
    if boxes.frame != frame:
        raise ValueError(f'these boxes are in the frame "{boxes.frame}", expected "lidar" or "camera"')
    return boxes


@dataclass(frozen=True)
class SensorFrame:
    """One synchronised moment of a drive.

    id is six digits in order of time (KITTI object frames keep theirs); stamp in ns is the *image's*; image (H,W,3)
    uint8 RGB; points (N,4) float32 x y z intensity in the LiDAR frame, or None without LiDAR; rig.camera has the image's
    resolution.
    """

    id: str
    stamp: int
    image: NDArray[np.uint8]
    points: NDArray[np.float32] | None
    rig: Rig

    def without_points(self) -> SensorFrame:
        """Return what a camera alone would have seen."""
        return replace(self, points=None)


class FrameSource(Protocol):
    """A drive: sized, indexable, iterable, whatever it is stored in."""

    name: str
    """Where it comes from, for messages: the folder or bag as the user gave it."""

    @property
    def ids(self) -> Sequence[str]:
        """The frame ids, in order."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SensorFrame: ...

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points, which are not read."""
        ...

    def __iter__(self) -> Iterator[SensorFrame]: ...
