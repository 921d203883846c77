"""ADD's losses against values worked out by hand, and its encoding of space against the geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation.add_losses import feature_loss, response_loss
from mono3d_kd_core.distillation.position3d import CANDIDATES, PositionEncoding3D, ray_points
from mono3d_kd_core.geometry.camera import CameraModel

CAMERA = CameraModel.pinhole(192, 64, 108, 108, 96, 27)


def test_features_count_fully_inside_boxes_and_a_tenth_outside() -> None:
    student, teacher = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    teacher[0, :, 0, 0] = torch.tensor([1.0, 3.0])
    teacher[0, :, 0, 1] = torch.tensor([2.0, 0.0])
    inside = torch.tensor([[[True, False]]])
    assert feature_loss(student, teacher, inside).item() == pytest.approx((5 + 0.1 * 2) / 2)


def test_responses_are_compared_each_in_its_own_way() -> None:
    mine, theirs = torch.zeros(1, 36), torch.zeros(1, 36)  # 35 regressions and a class
    theirs[0, 0], theirs[0, 4] = 1.0, 2.0  # two of ten values compared by L1: offset2d and depth
    theirs[0, 5] = 9.0  # the spread of depth is not compared
    theirs[0, 11 + 1] = math.log(11)  # bin 1; the heading begins at channel 11
    theirs[0, 11 + 1 + 12] = 0.5  # its residual
    theirs[0, 35] = math.log(3)  # a score of 3/4
    divergence = 0.5 * math.log(0.5 * 12) + 0.5 * math.log(12 / 22)
    focal = 0.25**2 * math.log(2)
    assert response_loss(mine, theirs).item() == pytest.approx(3 / 10 + divergence + 0.5 + focal, rel=1e-5)
    assert response_loss(mine[:0], theirs[:0]).item() == 0


def test_each_cell_knows_the_points_that_it_may_see() -> None:
    points = ray_points(CAMERA, 4, 12, 16).unflatten(0, (CANDIDATES.count, 3))
    depth = CANDIDATES.depth(np.arange(CANDIDATES.count))
    # The cell in row 2, column 5 has its middle at pixel (87.5, 39.5).
    x, y = (87.5 - 96) / 108 * depth, (39.5 - 27) / 108 * depth
    expected = np.clip(np.column_stack([(x + 40) / 80, (y + 5) / 10, depth / 60]), 0, 1)
    np.testing.assert_allclose(points[:, :, 2, 5], expected, atol=1e-6)


def test_a_mirrored_camera_gives_a_mirrored_encoding() -> None:
    torch.manual_seed(0)
    encoding = PositionEncoding3D(4)
    off_centre = CameraModel.pinhole(192, 64, 108, 108, 80, 27)
    straight, mirrored = (encoding([camera], 4, 12, 16) for camera in (off_centre, off_centre.flipped()))
    assert not torch.allclose(straight, mirrored.flip(-1))  # x has changed its sign
    points, other = (
        ray_points(camera, 4, 12, 16).unflatten(0, (-1, 3)) for camera in (off_centre, off_centre.flipped())
    )
    torch.testing.assert_close(other[:, 0].flip(-1), 1 - points[:, 0], atol=1e-5, rtol=0)
    torch.testing.assert_close(other[:, 1:].flip(-1), points[:, 1:], atol=1e-5, rtol=0)
