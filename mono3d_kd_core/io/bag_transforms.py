"""How camera and LiDAR of a bag lie to each other: its tf messages, or the rig file."""

from __future__ import annotations

from typing import Any

import numpy as np

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, from_pose
from mono3d_kd_core.geometry.tree import ExtrapolationError, TransformError, TransformTree
from mono3d_kd_core.io.rig import RigFile

TF_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")


def add_transforms(tree: TransformTree, message: Any, static: bool) -> list[str]:
    """Put the transforms of a TFMessage into a tree; return a note for each that is no transform and was left out."""
    notes = []
    for item in message.transforms:
        parent, child = item.header.frame_id, item.child_frame_id
        t, q = item.transform.translation, item.transform.rotation
        try:
            T = from_pose((t.x, t.y, t.z), (q.x, q.y, q.z, q.w))
            if static:
                tree.add_static(parent, child, T)
            else:
                tree.add(parent, child, item.header.stamp.sec * 1_000_000_000 + item.header.stamp.nanosec, T)
        except CalibrationError as error:
            notes.append(f'the transform "{parent}" <- "{child}" was left out: {error}')
    return notes


class Extrinsics:
    """T_camera_lidar at any stamp, of a rig file or of transforms; without LiDAR a body frame takes its place."""

    def __init__(self, tree: TransformTree, rig: RigFile, camera_frame: str, lidar_frame: str, name: str) -> None:
        self._tree, self._camera, self._lidar, self._name = tree, camera_frame, lidar_frame, name
        self._fixed = rig.extrinsics() if rig.topics.points or rig.T_camera_lidar else T_CAMERA_BODY
        self._last = np.eye(4)
        self.looks_up = False
        """Whether the camera's z axis has ever been upright in a z-up LiDAR frame, as that of a body frame is."""

    def at(self, stamp: int) -> Matrix:
        """Return T_camera_lidar (4,4) at a stamp in ns.

        Raises ExtrapolationError when tf does not reach so far, CalibrationError when it will never say.
        """
        if self._fixed is not None:
            return self._fixed
        for sensor, frame in (("camera", self._camera), ("lidar", self._lidar)):
            if not frame:
                raise CalibrationError(f"{self._name}: headers name no frame; give frames.{sensor} in a rig file")
        try:
            T = self._tree.lookup(self._camera, self._lidar, stamp)
        except ExtrapolationError:
            raise
        except TransformError as error:
            raise CalibrationError(f"{self._name}: {error}; give T_camera_lidar in a rig file") from None
        self.looks_up |= bool(abs(T[2, 2]) > 0.8)
        # Most extrinsics never change: one array serves all frames.
        self._last = self._last if np.array_equal(T, self._last) else T
        return self._last
