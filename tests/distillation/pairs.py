"""Small scenes for HVDistill: coloured boxes on a road, in a picture and in a sweep that agree."""

from __future__ import annotations

import cv2
import numpy as np

from mono3d_kd_core.distillation.hvdistill import HvConfig, HvDistill, Pair
from mono3d_kd_core.distillation.image_teacher import ImageTeacher, ImageTeacherConfig
from mono3d_kd_core.distillation.superpixels import SuperpixelConfig, superpixels
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, transform
from mono3d_kd_core.teachers.second import SecondConfig

CAMERA = CameraModel.pinhole(96, 32, 50, 50, 47.5, 12)
POSE = T_CAMERA_BODY @ transform(np.eye(3), [0.0, 0.0, -0.1])
"""T_camera_lidar: the camera looks along the LiDAR's x, from 0.1 m above it."""
RIG = Rig(CAMERA, POSE)
VOLUME = SecondConfig(
    low=(0.0, -6.4, -3.0), high=(12.8, 6.4, 1.0), voxel=(0.2, 0.2, 0.1), max_voxels_training=4000, max_voxels=4000,
    widths=(4, 4, 8, 8), out_width=8, residual=True, layers=(1,), strides=(1,), filters=(8,), up_strides=(1,),
    up_filters=(8,),
)  # fmt: skip
SMALL = HvConfig(channels=8, lift_width=8, depth_bins=24, depth_range=(1.0, 13.0))
TEACHER = ImageTeacherConfig(backbone="resnet18", width=0.125, level=16, stride=4)


def scene(seed: int) -> SensorFrame:
    """A grey road with two coloured walls upon it; each point lies where the picture shows its wall or the road."""
    random = np.random.default_rng(seed)
    image = np.full((32, 96, 3), (90, 120, 160), np.uint8)
    image[13:] = (80, 80, 80)
    road = np.column_stack([random.uniform(2, 12, 1200), random.uniform(-6, 6, 1200), np.full(1200, -1.5)])
    clouds = [road]
    for side in (-1, 1):
        x, y = random.uniform(5, 9), side * random.uniform(1, 3)
        wall = np.column_stack([np.full(300, x), random.uniform(y - 0.9, y + 0.9, 300), random.uniform(-1.5, 0.3, 300)])
        corners = np.array([[x, y + 0.9, 0.3], [x, y - 0.9, -1.5]])
        uv, _ = CAMERA.project(corners @ POSE[:3, :3].T + POSE[:3, 3])
        (left, top), (right, bottom) = np.rint(uv).astype(int).tolist()
        cv2.rectangle(image, (left, top), (right, bottom), random.integers(0, 255, 3).tolist(), -1)
        clouds.append(wall)
    xyz = np.concatenate(clouds)
    points = np.column_stack([xyz, random.uniform(0, 1, len(xyz))]).astype(np.float32)
    return SensorFrame(f"{seed:06d}", seed * 10**8 + 1, image, points, RIG)


def pair(seed: int) -> Pair:
    frame = scene(seed)
    assert frame.points is not None
    numbers = superpixels(frame.image, SuperpixelConfig(segments=20, sigma=1))
    return Pair(frame.id, frame.image, numbers, CAMERA, POSE, frame.points)


def small_hvdistill() -> HvDistill:
    return HvDistill(VOLUME, ImageTeacher(TEACHER), SMALL)
