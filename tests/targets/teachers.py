"""A teacher for tests: what it says depends on the frame alone, and it thinks quickly."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import depth_map
from mono3d_kd_core.teachers.base import BevFeatures, Responses, TeacherOutput, Want


class QuickTeacher:
    """Sees `count` cars ahead of the LiDAR, elsewhere in every frame."""

    architecture = "quick"
    classes = ("Car", "Pedestrian")

    def __init__(self, fingerprint: str = "a" * 64, count: int = 4) -> None:
        self.fingerprint = fingerprint
        self.trusted_score = 0.0
        self.count = count

    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        if frame.points is None:
            raise DataError(f"frame {frame.id}: has no LiDAR points")
        random = np.random.default_rng(int(frame.id))
        n = self.count
        centre = random.uniform([12, -4, -1.5], [30, 4, 0], (n, 3))
        label = np.array(["Car", "Pedestrian"] * n)[:n]
        boxes = Boxes3D(centre, random.uniform(1, 4, (n, 3)), random.uniform(-3, 3, n), label, random.uniform(0, 9, n))
        position, logits, codes = (random.normal(size=shape).astype("f4") for shape in ((5, 3), (5, 4), (5, 4, 7)))
        bev = BevFeatures(random.normal(size=(2, 4, 6)).astype("f4"), (0.0, 46.8), (-30.08, 30.08))
        depth = depth_map(frame.points, frame.rig.camera, frame.rig.T_camera_lidar)
        return TeacherOutput(
            boxes,
            bev if Want.BEV_FEATURES in want else None,
            Responses(position, logits, codes) if Want.RESPONSES in want else None,
            depth if Want.DEPTH in want else None,
        )
