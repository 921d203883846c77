"""The box code and the rules of acceptance, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import iou_2d
from mono3d_kd_core.teachers.point_gnn.decoding import Candidates, candidates, confidence, original_truncation
from mono3d_kd_core.teachers.point_gnn.merging import Merged

K = np.array([[721.5, 0, 609.6], [0, 721.5, 172.9], [0, 0, 1]])


def logits_of(*probabilities: float) -> np.ndarray:
    return np.log(np.array([probabilities], np.float32))


def test_the_code_is_in_units_of_the_median_car() -> None:
    codes = np.zeros((1, 4, 7), np.float32)
    codes[0, 1] = [0.5, -1, 2, np.log(2), 0, np.log(0.5), 0.4]
    found = candidates(np.array([[1, 2, 30]], np.float32), logits_of(0.1, 0.7, 0.1, 0.1), codes)
    expected = [1 + 0.5 * 3.88, 2 - 1.5, 30 + 2 * 1.63, 2 * 3.88, 1.5, 1.63 / 2, 0.4 * np.pi / 4]
    assert found.rows[0] == pytest.approx(expected, rel=1e-6)
    assert found.probability == pytest.approx([0.7], rel=1e-6)


def test_the_second_class_is_turned_by_a_right_angle_and_offsets_are_not() -> None:
    codes = np.full((1, 4, 7), 0.1, np.float32)
    found = candidates(np.zeros((1, 3), np.float32), logits_of(0.1, 0.1, 0.7, 0.1), codes)
    assert found.rows[0, :3] == pytest.approx([0.388, 0.15, 0.163], rel=1e-6)
    assert found.rows[0, 6] == pytest.approx(np.pi / 2 + 0.1 * np.pi / 4)


def test_a_keypoint_may_propose_both_kinds_of_car_and_never_another_class() -> None:
    logits = np.concatenate([logits_of(0.2, 0.4, 0.39, 0.01), logits_of(0.5, 0.0625, 0.0625, 0.375)])
    codes = np.zeros((2, 4, 7), np.float32)
    found = candidates(np.zeros((2, 3), np.float32), logits, codes)
    assert found.probability == pytest.approx([0.4, 0.39], rel=1e-5)


def test_a_quarter_is_not_enough() -> None:
    found = candidates(np.zeros((1, 3), np.float32), np.zeros((1, 4), np.float32), np.zeros((1, 4, 7), np.float32))
    assert len(found.rows) == 0


def test_points_that_span_the_box_double_the_score() -> None:
    row = np.array([[1, 1.6, 10, 4, 1.5, 2, np.pi / 2]], np.float32)  # its length along z
    low, high = np.array([0.01, 0.11, 8.01]), np.array([1.99, 1.59, 11.99])
    corners = np.array([low, high, [50, 0, 0]], np.float32)
    full = confidence(Merged(row, np.array([2.0]), np.array([0])), Candidates(row, np.ones(1, "f4"), corners))
    spanned = 1.98 / 2 * 1.48 / 1.5 * 3.98 / 4
    assert full == pytest.approx([2 * (1 + spanned)], rel=1e-5)


def test_points_outside_the_box_do_not_count() -> None:
    row = np.array([[1, 1.6, 10, 4, 1.5, 2, 0.0]], np.float32)
    outside = np.array([[1, 1.7, 10], [1, 0.05, 10], [4, 1, 10]], np.float32)
    assert confidence(Merged(row, np.array([2.0]), np.array([0])), Candidates(row, np.ones(1, "f4"), outside)) == [2.0]


def test_truncation_is_the_share_outside_the_picture() -> None:
    rows = np.array(
        [[0, 1.6, 20, 4, 1.5, 1.6, 0.4], [9.1, 1.6, 10, 4, 1.5, 1.6, 0.4], [40, 1.6, 10, 4, 1.5, 1.6, 0]], "f4"
    )
    boxes = Boxes3D.from_kitti_camera(rows[:, :3], rows[:, [4, 5, 3]], rows[:, 6], ["Car"] * 3)
    optical = boxes.corners()[..., [1, 2, 0]] * [-1, -1, 1]
    uv = optical @ K.T
    uv = uv[..., :2] / uv[..., 2:]
    flat = np.concatenate([uv.min(1), uv.max(1)], 1)
    picture = np.array([[0.0, 0, 1242, 375]])
    # The intersection follows from the IoU: I = iou (A + B) / (1 + iou).
    iou, area = iou_2d(flat, picture)[:, 0], np.prod(flat[:, 2:] - flat[:, :2], 1)
    expected = 1 - iou * (area + 1242 * 375) / (1 + iou) / area
    assert 0.2 < expected[1] < 0.8
    assert original_truncation(rows, K) == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx([0, expected[1], 1], abs=1e-9)
