"""A tiny world on disk: bright boxes on a dark road, as a KITTI folder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti import KittiLabels, KittiWriter
from mono3d_kd_core.training.recipe import Recipe

CAMERA = CameraModel.pinhole(192, 64, 108, 108, 96, 27)


def write_world(
    root: Path, frames: int, seed: int = 0, scored: bool = False, camera: CameraModel = CAMERA
) -> Path:  # fmt: skip
    random = np.random.default_rng(seed)
    writer = KittiWriter(root)
    for number in range(frames):
        n = 0 if number == 1 else 2  # one frame is empty
        boxes = Boxes3D(
            np.column_stack([random.uniform(6, 15, n), [-2, 2][:n] + random.uniform(-0.7, 0.7, n), np.full(n, -0.8)]),
            np.tile([3.9, 1.6, 1.5], (n, 1)), random.uniform(-3, 3, n), np.array(["Car"] * n, np.str_),
            random.uniform(0, 9, n), frame="camera",
        )  # fmt: skip
        labels = KittiLabels.from_boxes(boxes, camera, scored=scored)
        image = random.integers(0, 60, (camera.height, camera.width, 3), np.uint8)
        for left, top, right, bottom in labels.bbox.round().astype(int).tolist():
            cv2.rectangle(image, (left, top), (right, bottom), (230, 200, 40), -1)
        frame = SensorFrame(f"{number:06d}", number * 10**8, image, None, Rig(camera, np.eye(4)))
        writer.write(frame, labels)
    return root


@pytest.fixture
def world(tmp_path: Path) -> Path:
    return write_world(tmp_path / "world", 8)


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "student": {
                "classes": ["Car"], "width": 0.125, "neck_channels": 8, "head_channels": 8,
                "input_height": 64, "input_width": 192,
            },
            "schedule": {"epochs": 3, "batch_size": 2, "learning_rate": 5e-3},
        }
    )  # fmt: skip
