"""Small synthetic drives that the tests of reading and writing share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, transform

START = 1_600_000_000_000_000_000
P2 = np.array([[71.5, 0.0, 31.5, 4.4], [0.0, 72.5, 11.25, 0.21], [0.0, 0.0, 1.0, 0.0027]])
"""A small KITTI-like projection: fx is not fy, and the optical centre is off the origin."""


def rotation(axis: int, angle: float) -> np.ndarray:
    """Rotate about a coordinate axis, right-handed."""
    i, j = (axis + 1) % 3, (axis + 2) % 3
    result = np.eye(3)
    result[i, i] = result[j, j] = np.cos(angle)
    result[j, i], result[i, j] = np.sin(angle), -np.sin(angle)
    return result


def small_rig(width: int = 64, height: int = 24) -> Rig:
    """Return a KITTI-like rig whose axes are a little off."""
    tilt = transform(rotation(0, 0.01) @ rotation(2, -0.02), [0.05, -0.3, -0.27])
    return Rig(CameraModel.from_projection(width, height, P2), tilt @ T_CAMERA_BODY)


def small_frame(index: int, rig: Rig | None = None, points: int = 50) -> SensorFrame:
    """Return a frame of noise at 10 Hz; each index gives another picture and another cloud."""
    rng = np.random.default_rng(index)
    rig = small_rig() if rig is None else rig
    image = rng.integers(0, 256, (rig.camera.height, rig.camera.width, 3), np.uint8)
    cloud = rng.normal(size=(points, 4)).astype(np.float32)
    return SensorFrame(f"{index:06d}", START + index * 100_000_000, image, cloud, rig)


@dataclass(frozen=True)
class SmallDrive:
    """A frame source held in memory."""

    frames: Sequence[SensorFrame] = field(default_factory=lambda: [small_frame(i) for i in range(5)])
    name: str = "small drive"

    @property
    def ids(self) -> Sequence[str]:
        return [frame.id for frame in self.frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> SensorFrame:
        return self.frames[index]

    def picture(self, index: int) -> SensorFrame:
        return self[index].without_points()

    def __iter__(self) -> Iterator[SensorFrame]:
        return iter(self.frames)


def same_frame(a: SensorFrame, b: SensorFrame) -> None:
    """Assert that two frames hold the same moment, pixel for pixel, point for point, digit for digit."""
    assert (a.id, a.stamp) == (b.id, b.stamp)
    np.testing.assert_array_equal(a.image, b.image)
    assert (a.points is None) == (b.points is None)
    if a.points is not None:
        np.testing.assert_array_equal(a.points, b.points)
    np.testing.assert_allclose(b.rig.T_camera_lidar, a.rig.T_camera_lidar, atol=1e-12)
    np.testing.assert_allclose(b.rig.camera.P, a.rig.camera.P, rtol=1e-12)
