"""Matching by distance, and the calibration of scores."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.training.matching import fit_calibration, found_share, judged, match


def boxes(xy: list[tuple[float, float]], score: list[float] | None = None, label: str = "Car") -> Boxes3D:
    n = len(xy)
    centre = np.column_stack([np.array(xy).reshape(n, 2), np.zeros(n)])
    return Boxes3D(centre, np.ones((n, 3)), np.zeros(n), np.array([label] * n, np.str_), score or np.ones(n), frame="camera")


def test_the_better_score_takes_the_object_and_each_object_is_taken_once() -> None:
    found = boxes([(10.5, 0), (10, 0), (30, 3)], [0.4, 0.9, 0.8])
    assert match(found, boxes([(10, 0), (30, 0)]), 2.0).tolist() == [-1, 0, -1]


def test_classes_do_not_mix() -> None:
    assert match(boxes([(10, 0)], label="Pedestrian"), boxes([(10, 0)]), 2.0).tolist() == [-1]


def test_shares_by_hand() -> None:
    truth = [boxes([(10, 0), (20, 0), (60, 0)]), boxes([])]
    found = [boxes([(10, 1), (25, 0)], [0.9, 0.9]), boxes([(15, 0)], [0.1])]
    share = found_share(found, truth, "Car")
    assert (share.recall, share.precision, share.objects) == (0.5, 0.5, 2)


def test_alarms_in_unknown_regions_are_neither_right_nor_wrong() -> None:
    camera = CameraModel.pinhole(200, 100, 100, 100, 100, 50)
    found = boxes([(10, 4), (10, 0), (10, -4)])  # seen at u = 60, 100, 140
    annotation = Annotation(boxes([(10, 0.5)]), np.zeros((1, 4)), ignore=[[50, 0, 110, 99]])
    assert judged(found, annotation, camera).centre[:, 1].tolist() == [0, -4]


def test_calibration_recovers_a_known_distortion() -> None:
    random = np.random.default_rng(0)
    logit = random.normal(0, 2, 20_000)
    right = random.random(20_000) < 1 / (1 + np.exp(-(0.7 * logit - 1.2)))
    fitted = fit_calibration(1 / (1 + np.exp(-logit)), right)
    assert (fitted.scale, fitted.shift) == pytest.approx((0.7, -1.2), abs=0.06)


def test_no_detections_leave_the_scores_alone_and_a_perfect_separation_stays_finite() -> None:
    assert fit_calibration(np.empty(0), np.empty(0, bool)).scale == 1.0
    fitted = fit_calibration(np.array([0.1, 0.2, 0.8, 0.9] * 10), np.array([False, False, True, True] * 10))
    assert 1 < fitted.scale < 20
    assert abs(fitted.shift) < 1
