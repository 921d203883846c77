"""Projection through which gradients pass, against the library's own geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation.projection import ideal_boxes, placed, project, views_of
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, rotation_z
from mono3d_kd_core.students.keypoint_decode import BoxDecoder, Detections2D, ScoreCalibration

PINHOLE = CameraModel.pinhole(640, 192, 360, 350, 310, 90)
KITTI = CameraModel.from_projection(640, 192, np.array([[360, 0, 310, 23.0], [0, 350, 90, 0.1], [0, 0, 1, 0.003]]))
LENS = CameraModel(
    640, 192, np.array([[360, 0, 310], [0, 350, 90], [0, 0, 1.0]]), "plumb_bob", np.array([-0.2, 0.05, 0, 0, 0])
)
TILTED = CameraModel(
    640, 192, PINHOLE.K, R=rotation_z(0.05)[:3, :3], P=np.column_stack([PINHOLE.K, np.zeros(3)]), rectified=True
)


def cars() -> Boxes3D:
    random = np.random.default_rng(0)
    centre = np.column_stack([random.uniform(12, 40, 6), random.uniform(-4, 4, 6), random.uniform(-1, 0, 6)])
    size = np.tile([3.9, 1.6, 1.5], (6, 1)) * random.uniform(0.8, 1.2, (6, 3))
    return Boxes3D(centre, size, random.uniform(-3, 3, 6), ["Car"] * 6, frame="camera")


@pytest.mark.parametrize("camera", [PINHOLE, KITTI, TILTED], ids=["pinhole", "kitti", "tilted"])
def test_boxes_project_as_the_geometry_says(camera: CameraModel) -> None:
    boxes = cars()
    expected, cut = project_boxes(boxes, camera)
    whole = cut == 0
    assert whole.sum() > 3
    points = apply(T_CAMERA_BODY, boxes.centre)
    _, _, _, alpha = boxes.to_kitti_camera()
    views = views_of(camera, np.zeros((6, 2)), 360.0)
    found = project(
        views, torch.tensor(points).float(), torch.tensor(boxes.size).float(), torch.tensor(alpha).float()[:, None]
    )
    assert found.shape == (6, 1, 4)
    np.testing.assert_allclose(found[whole, 0], expected[whole], atol=2e-2)


@pytest.mark.parametrize("camera", [PINHOLE, KITTI, TILTED, LENS], ids=["pinhole", "kitti", "tilted", "lens"])
def test_centres_are_where_the_decoder_puts_them(camera: CameraModel) -> None:
    cell, depth = np.array([[40.0, 20], [100, 30], [90, 25]]), np.array([10.0, 25, 40])
    offset = np.array([[0.3, 0.7], [-0.5, 0.2], [1.0, -1.0]])
    reference = 500.0
    decoder = BoxDecoder(("Car",), reference, 2.0, ScoreCalibration())
    ones = np.ones(3)
    seen = Detections2D(
        np.array([0.9, 0.8, 0.7]), np.zeros(3, np.int64), cell, depth, -5 * ones, offset,
        np.tile([3.9, 1.6, 1.5], (3, 1)), np.zeros((3, 24)),
    )  # fmt: skip
    expected = apply(T_CAMERA_BODY, decoder(seen, camera).centre)
    found = placed(views_of(camera, cell, reference), torch.tensor(depth).float(), torch.tensor(offset).float())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=5e-3)


def test_an_ideal_lens_leaves_boxes_alone_and_a_real_one_is_straightened() -> None:
    box = np.array([[50.0, 30, 180, 120]])
    np.testing.assert_allclose(ideal_boxes(PINHOLE, box), box, atol=1e-9)
    straight = ideal_boxes(LENS, box)[0]
    # Barrel distortion draws things in, so that the left edge belongs further out.
    assert straight[0] < 45
    back, _ = LENS.project(np.array([[(straight[0] - 310) / 360, (75 - 90) / 350, 1.0]]))
    assert back[0, 0] == pytest.approx(50, abs=0.2)


def test_a_farther_box_is_smaller_and_gradients_say_so() -> None:
    views = views_of(PINHOLE, np.array([[80.0, 24]]), 360.0)
    depth = torch.tensor([20.0], requires_grad=True)
    size = torch.tensor([[4.0, 1.6, 1.5]], requires_grad=True)
    box = project(views, placed(views, depth, torch.zeros(1, 2)), size, torch.full((1, 1), math.pi / 2))
    height = (box[0, 0, 3] - box[0, 0, 1]).sum()
    height.backward()
    assert depth.grad is not None
    assert depth.grad[0] < 0
    assert size.grad is not None
    # Pixels for a metre of height at the near face, which is half the length nearer than the centre.
    assert size.grad[0, 2].item() == pytest.approx(350 / 18, rel=0.02)
