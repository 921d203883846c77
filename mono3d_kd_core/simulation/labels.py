"""Exact labels of what the camera sees, in KITTI's terms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix, apply
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.simulation.rendering.raster import NEAR

FARTHEST = 80.0
"""Metres: what is farther is DontCare, as KITTI's annotators left it."""
LEAST_SHARE = 0.18
LEAST_HEIGHT = 0.026
LEAST_HEIGHT_OF_PEOPLE = 0.033
"""An object is DontCare when less of it is visible than this share, or its 2D box is lower than this, in focal lengths.

People are left out earlier than cars, as by KITTI's annotators, who worked on the LiDAR's points.
"""


@dataclass(frozen=True)
class Truth:
    """Everything known about the N labelled objects of a frame, nearest first.

    boxes in "camera"; identity (N,) constant through a drive; velocity (N,3) in the same frame, m/s, against the ground;
    bbox (N,4) of the object's own pixels without occlusion, clipped; truncated (N,) share of the 2D box beyond the image;
    visible (N,) share of the object's pixels that nothing hides; pixels (N,) visible ones; points (N,) LiDAR returns.
    """

    boxes: Boxes3D
    identity: NDArray[np.int64]
    velocity: Matrix
    bbox: Matrix
    truncated: Matrix
    visible: Matrix
    pixels: NDArray[np.int64]
    points: NDArray[np.int64]
    focal: float

    @property
    def cared_for(self) -> NDArray[np.bool_]:
        """Which objects (N,) get a label of their own; the others are DontCare."""
        height = (self.bbox[:, 3] - self.bbox[:, 1]) / self.focal
        person = np.isin(self.boxes.label, ("Pedestrian", "Person_sitting", "Cyclist"))
        large = height >= np.where(person, LEAST_HEIGHT_OF_PEOPLE, LEAST_HEIGHT)
        near = self.boxes.centre[:, 0] < FARTHEST
        return np.asarray((self.visible >= LEAST_SHARE) & large & near)

    @property
    def occluded(self) -> NDArray[np.int64]:
        """KITTI's levels (N,): 0 fully visible, 1 partly, 2 largely occluded."""
        return np.asarray(np.where(self.visible > 0.82, 0, np.where(self.visible > 0.42, 1, 2)), np.int64)

    def labels(self) -> KittiLabels:
        """Return the rows of the label file: objects first, then DontCare regions."""
        location, dimensions, rotation_y, alpha = self.boxes.to_kitti_camera()
        kept, ignored = np.flatnonzero(self.cared_for), np.flatnonzero(~self.cared_for)
        m = len(ignored)
        return KittiLabels(
            np.r_[self.boxes.label[kept], np.full(m, "DontCare")],
            np.r_[self.truncated[kept], np.full(m, -1.0)],
            np.r_[self.occluded[kept], np.full(m, -1)],
            np.r_[alpha[kept], np.full(m, -10.0)],
            np.r_[self.bbox[kept], self.bbox[ignored]],
            np.r_[dimensions[kept], np.full((m, 3), -1.0)],
            np.r_[location[kept], np.full((m, 3), -1000.0)],
            np.r_[rotation_y[kept], np.full(m, -10.0)],
        )


def silhouette(corners: NDArray[np.float32], camera: CameraModel) -> tuple[float, float, float, float] | None:
    """Return the rectangle u0, v0, u1, v1 around triangles (F,3,3) of the camera's frame, in pixels, not clipped.

    What lies behind the near plane, or where the lens shows nothing, is cut away; None when that is all.
    """
    points = corners.reshape(-1, 3).astype(np.float64)
    ahead = points[points[:, 2] >= NEAR]
    if len(ahead) < len(points):
        edges = corners[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2, 3).astype(np.float64)
        crossing = edges[(edges[:, 0, 2] < NEAR) != (edges[:, 1, 2] < NEAR)]
        share = (NEAR - crossing[:, 0, 2]) / (crossing[:, 1, 2] - crossing[:, 0, 2])
        cut = crossing[:, 0] + share[:, None] * (crossing[:, 1] - crossing[:, 0])
        ahead = np.concatenate([ahead, cut])
    if not len(ahead):
        return None
    M = camera.intrinsics
    uv = camera.distort(ahead[:, :2] / ahead[:, 2:]) @ M[:2, :2].T + M[:2, 2]
    uv = uv[np.isfinite(uv).all(1)]
    if not len(uv):
        return None
    low, high = uv.min(0), uv.max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def upright_boxes(
    poses: list[Matrix], sizes: list[tuple[float, float, float]], kinds: list[str], T_body_world: Matrix
) -> Boxes3D:
    """Return the boxes of objects with T_world_actor poses, which stand on the ground, in "camera"."""
    if not poses:
        return Boxes3D.empty("camera")
    size = np.asarray(sizes)
    centres = np.array([apply(p, np.array([0.0, 0.0, s[2] / 2])) for p, s in zip(poses, size)])
    yaw = np.array([np.arctan2(p[1, 0], p[0, 0]) for p in poses])
    return Boxes3D(centres, size, yaw, np.array(kinds), frame="world").transformed(T_body_world, "camera")
