"""A world of upright boards on a road, seen by a camera and a LiDAR in closed form."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, transform

CAMERA = CameraModel.pinhole(640, 240, 400, 400, 319.5, 110)
RIG = Rig(CAMERA, T_CAMERA_BODY @ transform(np.eye(3), [-0.3, 0.05, 0.1]))
HEIGHT = 1.7
"""Metres from the LiDAR down to the road."""

# Distance, left edge, width, bottom, height (m, in the LiDAR's frame) and grey of each board.
BOARDS = np.array(
    [
        [9, 3.5, 1.6, -HEIGHT, 1.5, 210], [12, -1.0, 1.8, -HEIGHT, 1.8, 40], [16, 7.5, 2.0, -HEIGHT, 2.4, 90],
        [20, -5.0, 1.5, -HEIGHT, 2.2, 230], [26, 2.5, 3.0, -HEIGHT, 2.6, 60], [34, -9.0, 4.0, -HEIGHT, 3.0, 180],
        [45, 12.0, 5.0, -HEIGHT, 4.0, 30], [45, 0.0, 2.0, -HEIGHT, 3.5, 200],
    ]
)  # fmt: skip


def sweep(boards: np.ndarray, elevation_step: float = 0.4) -> np.ndarray:
    """The points (N,4) of a turn with 0.2 degrees between columns; a wall stands at 58 m."""
    azimuth, elevation = np.meshgrid(
        np.radians(np.arange(-50, 50, 0.2)), np.radians(np.arange(-20, 5, elevation_step)), indexing="ij"
    )
    ray = np.stack([np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], -1)
    ray = ray.reshape(-1, 3)
    with np.errstate(divide="ignore"):
        length = np.minimum(np.where(ray[:, 2] < 0, -HEIGHT / ray[:, 2], np.inf), 58 / ray[:, 0])
    for distance, left, width, bottom, height, _ in boards:
        hit = distance / ray[:, :1] * ray
        on = (hit[:, 1] <= left) & (hit[:, 1] >= left - width) & (hit[:, 2] >= bottom) & (hit[:, 2] <= bottom + height)
        length = np.where(on, np.minimum(length, distance / ray[:, 0]), length)
    return np.column_stack([length[:, None] * ray, np.zeros(len(ray))]).astype(np.float32)


def picture(boards: np.ndarray, rig: Rig = RIG) -> np.ndarray:
    """The image (H,W,3), painted from far to near."""
    rows = np.arange(rig.camera.height)[:, None]
    image = np.broadcast_to(np.where(rows < 110, 150, 120), (rig.camera.height, rig.camera.width)).astype(np.uint8)
    for distance, left, width, bottom, height, grey in boards[np.argsort(-boards[:, 0])]:
        corners = np.array([[distance, left, bottom + height], [distance, left - width, bottom]])
        uv, _ = rig.camera.project(apply(rig.T_camera_lidar, corners))
        (u0, v0), (u1, v1) = np.clip(np.rint(uv), 0, [rig.camera.width, rig.camera.height]).astype(int)
        image[v0:v1, u0:u1] = grey
    noise = np.random.default_rng(int(boards.sum() * 100)).normal(0, 2, image.shape)
    return np.repeat(np.clip(image + noise, 0, 255).astype(np.uint8)[..., None], 3, 2)


def drive(count: int = 8, rig: Rig = RIG, shift: int = 0, speed: float = 0.4) -> list[SensorFrame]:
    """Frames at 10 Hz past boards that slide `speed` metres aside from frame to frame.

    `rig` is what the frames claim; the truth is `RIG`. `shift` gives each image the sweep of so many frames later.
    """
    directions = np.array([1, -1, 1, -1, 1, -1, 1, -1])
    moved = [
        BOARDS + speed * step * directions[:, None] * np.array([0, 1, 0, 0, 0, 0])
        for step in range(count + abs(shift) + 2)
    ]
    return [
        SensorFrame(
            f"{i:06d}",
            1_600_000_000_000_000_000 + 100_000_000 * i,
            picture(moved[i + 1]),
            sweep(moved[i + 1 + shift]),
            rig,
        )
        for i in range(count)
    ]
