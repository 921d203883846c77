"""The depth that a privileged teacher is shown: the LiDAR's, or the boxes'."""

from __future__ import annotations

from typing import Literal

import numpy as np

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.densify import DepthMap, densify
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply
from mono3d_kd_core.students.base import Annotation

DepthSource = Literal["lidar", "objects"]
"""lidar: the sweep's points, densified. objects: each object's 2D box filled with the depth of its centre; no LiDAR."""


def depth_input(taught: Taught, source: DepthSource) -> DepthMap | None:
    """Return the dense depth (H,W) in metres of a frame, 0 where unknown; None when the frame has no such depth."""
    if source == "lidar":
        return None if taught.depth is None else densify(taught.depth)
    if taught.annotation is None or taught.camera is None:
        return None
    return object_depth(taught.annotation, taught.camera)


def object_depth(annotation: Annotation, camera: CameraModel) -> DepthMap:
    """Paint each 2D box with the depth of its 3D centre, far ones first, on a map of zeros (Zhang et al., "MonoDETR")."""
    depth = np.zeros((camera.height, camera.width), np.float32)
    centre = apply(T_CAMERA_BODY, annotation.boxes.centre)
    along = (centre - camera.optical_centre) @ camera.forward
    for i in np.argsort(-along):
        if along[i] > 0:
            left, top, right, bottom = annotation.box2d[i]
            rows = slice(max(0, round(top)), max(0, round(bottom) + 1))
            depth[rows, max(0, round(left)) : max(0, round(right) + 1)] = along[i]
    return depth
