"""A made-up sweep with one car, and frames around clouds."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel


def frame(points: np.ndarray | None) -> SensorFrame:
    """A frame with these points and a camera that looks nowhere in particular."""
    rig = Rig(CameraModel.pinhole(64, 32, 50, 50, 32, 16), np.eye(4))
    cloud = None if points is None else points.astype(np.float32)
    return SensorFrame("000000", 1, np.zeros((32, 64, 3), np.uint8), cloud, rig)


def car_cloud(seed: int = 0) -> np.ndarray:
    """A ground plane and the near faces of one car standing at (10, 1)."""
    rng = np.random.default_rng(seed)
    ground = np.column_stack([rng.uniform(0, 20, 3000), rng.uniform(-10, 10, 3000), np.full(3000, -1.73)])
    rear = np.column_stack([np.full(300, 8.05), rng.uniform(0.2, 1.8, 300), rng.uniform(-1.73, -0.2, 300)])
    side = np.column_stack([rng.uniform(8.05, 11.95, 500), np.full(500, 0.2), rng.uniform(-1.73, -0.2, 500)])
    xyz = np.concatenate([ground, rear, side])
    return np.column_stack([xyz, rng.uniform(0, 1, len(xyz))]).astype(np.float32)
