"""What of a sweep the network is shown: the points that the camera sees, in the frame the network was trained in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply, inverse, transform

NEAR = 0.1
"""Metres in front of the camera from which on points count."""
FULL_SCALE = 1.5
"""An intensity above this cannot come from a sensor whose scale ends at 1."""


@dataclass(frozen=True)
class View:
    """The points (N,3) float32 that the camera sees, x right, y down, z forward, and their intensity (N,) in [0, 1].

    rotation (3,3) turns the camera's optical frame into the frame of the points.
    """

    points: NDArray[np.float32]
    intensity: NDArray[np.float32]
    rotation: Matrix

    def boxes(self, locations: Matrix, lhw: Matrix, yaw: Matrix, label: str, score: Matrix) -> Boxes3D:
        """Return boxes (frame "camera") from bottom centres (N,3), length, height, width (N,3) and rotation about y (N,)."""
        hwl = lhw[:, [1, 2, 0]]
        boxes = Boxes3D.from_kitti_camera(locations, hwl, yaw, np.full(len(yaw), label), score)
        return boxes if np.array_equal(self.rotation, np.eye(3)) else boxes.transformed(self._to_body, "camera")

    def body_points(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points (N,3) of this view into the camera's z-up body frame, as `boxes` does."""
        return apply(self._to_body @ inverse(T_CAMERA_BODY), points).astype(np.float32)

    @property
    def _to_body(self) -> Matrix:
        return inverse(T_CAMERA_BODY) @ transform(self.rotation.T, np.zeros(3)) @ T_CAMERA_BODY


def view_of(frame: SensorFrame, max_camera_offset: float) -> View:
    """Crop a frame's points to its image; points that are not finite are left out, and unknown intensities are 0.

    Trained on KITTI, the network knows points in the frame of the left colour camera, 6 cm beside the one that labels
    are given in, and its answers are taken as labels (whence its bias, see docs/teachers.md). So an offset of the optical
    centre of up to `max_camera_offset` metres moves the points; a longer one is that of a stereo pair, and does not.
    Raises DataError when the frame has no points or intensities on another scale.
    """
    if frame.points is None:
        raise DataError(f"frame {frame.id}: has no LiDAR points, so a LiDAR teacher cannot look at it")
    camera = frame.rig.camera
    finite = finite_points(frame.points)
    intensity = np.nan_to_num(finite[:, 3], nan=0, posinf=0, neginf=0)
    if intensity.max(initial=0) > FULL_SCALE:
        raise DataError(
            f"frame {frame.id}: the points' intensity reaches {intensity.max():g}, but this teacher was trained on "
            "0 to 1; scale it to that range"
        )
    rotation = camera.R if camera.rectified else np.eye(3)
    offset = camera.offset if np.linalg.norm(camera.offset) <= max_camera_offset else np.zeros(3)
    T_view_lidar = transform(rotation, offset) @ frame.rig.T_camera_lidar
    points = _moved(T_view_lidar, finite[:, :3])
    ahead = np.flatnonzero(points[:, 2] > NEAR)
    uv, _ = camera.project(apply(frame.rig.T_camera_lidar, finite[ahead, :3]))
    inside = ((uv > 0) & (uv < [camera.width, camera.height])).all(1)  # NaN, beyond a lens's field, is not inside
    seen = ahead[inside]
    return View(points[seen], intensity[seen], rotation)


def finite_points(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the points (M,4) whose position is finite."""
    return points[np.isfinite(points[:, :3]).all(1)]


def _moved(T: Matrix, points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map points (N,3) by T with the roundings of a float32 product by fused multiply-adds, as the original has them.

    They decide on which side of a cell's border a point falls, and so now and then which point becomes a keypoint.
    """
    rotation, translation = T[:3, :3].astype(np.float32), T[:3, 3].astype(np.float32)
    total = np.zeros_like(points)
    for axis in range(3):
        # A product of two float32 is exact in float64.
        product = points[:, axis, None].astype(np.float64) * rotation[:, axis]
        total = (product + total).astype(np.float32)
    return total + translation
