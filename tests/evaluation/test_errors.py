"""Errors are signed, in metres and radians, and gathered by the distance of the true object."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.evaluation.box_table import BoxTable
from mono3d_kd_core.evaluation.correspondence import Correspondence
from mono3d_kd_core.evaluation.errors import BoxErrors, by_band
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.kitti_table import LabelTable
from tests.evaluation.scenes import region, row, rows


def box(
    x: float, y: float, z: float = 0, *, size: tuple[float, ...] = (4, 2, 1.5), yaw: float = 0, score: float = 1
) -> Boxes3D:
    return Boxes3D(np.array([[x, y, z]]), np.array([size]), np.array([yaw]), np.array(["Car"]), np.array([score]))


def test_longitudinal_is_along_the_line_of_sight() -> None:
    # An object at 45 degrees to the left, found 1 m farther along the ray, 0.5 m to the left of it, 0.2 m too high.
    along, left = np.array([1, 1]) / np.sqrt(2), np.array([-1, 1]) / np.sqrt(2)
    x, y = np.array([10, 10]) + along + 0.5 * left
    errors = BoxErrors.between(box(10, 10), box(x, y, 0.2))
    assert errors.longitudinal[0] == pytest.approx(1)
    assert errors.lateral[0] == pytest.approx(0.5)
    assert errors.vertical[0] == pytest.approx(0.2)
    assert errors.depth[0] == pytest.approx(x - 10)
    assert errors.distance[0] == pytest.approx(np.hypot(1, 0.5))


def test_size_errors_are_signed_and_scale_is_one_minus_iou() -> None:
    errors = BoxErrors.between(box(10, 0), box(10, 0, size=(3, 2.5, 1.5)))
    assert (errors.length[0], errors.width[0], errors.height[0]) == (-1, 0.5, 0)
    assert errors.scale[0] == pytest.approx(1 - 3 * 2 * 1.5 / (4 * 2 * 1.5 + 3 * 2.5 * 1.5 - 3 * 2 * 1.5))


@pytest.mark.parametrize(
    ("turn", "heading", "flipped"),
    [
        (0.3, 0.3, False),
        (-0.3, 0.3, False),
        (np.pi - 0.3, 0.3, True),
        (np.pi, 0, True),
        (-2, np.pi - 2, True),
        (6, 2 * np.pi - 6, False),
    ],
)
def test_a_flip_is_no_large_turn(turn: float, heading: float, flipped: bool) -> None:
    errors = BoxErrors.between(box(10, 0, yaw=0.5), box(10, 0, yaw=0.5 + turn))
    assert errors.heading[0] == pytest.approx(heading, abs=1e-12)
    assert errors.flipped[0] == flipped


def correspondence(truth: list[list[Boxes3D]], found: list[list[Boxes3D]]) -> Correspondence:
    tables = (BoxTable.join([Boxes3D.concatenate([*f, Boxes3D.empty()]) for f in frames]) for frames in (truth, found))
    return Correspondence.of_boxes(*tables)


def test_bands_hold_the_objects_of_their_distance() -> None:
    truth = [[box(10, 0), box(20, 0), box(25, 3)], [box(40, 0)], []]
    found = [[box(10.5, 0), box(21, 0)], [box(43, 0, score=0.5), box(60, 0, score=0.4)], [box(5, 0)]]
    near, middle, far, beyond, everything = by_band(correspondence(truth, found))
    assert [band.objects for band in (near, middle, far, beyond, everything)] == [1, 2, 1, 0, 4]
    assert [band.detections for band in (near, middle, far, beyond, everything)] == [2, 1, 1, 1, 5]
    assert near.recall == 1
    assert near.precision == 0.5
    assert middle.recall == 0.5
    assert middle.errors["longitudinal"].bias == pytest.approx(1)
    # 3 m off: near enough to take an error from, too far to be right.
    assert (far.seen, far.recall, far.precision) == (1, 0, 0)
    assert far.errors["distance"].mean_abs == pytest.approx(3)
    assert np.isnan(beyond.recall)
    assert beyond.as_json()["recall"] is None
    assert everything.errors["longitudinal"].median_abs == pytest.approx(1)


def test_the_best_score_chooses_first_and_an_object_is_found_once() -> None:
    pairs = correspondence([[box(10, 0)]], [[box(10, 0.1, score=0.3), box(10, 0.5, score=0.9)]])
    assert pairs.placed.tolist() == [[0, 1]]
    assert pairs.hits().tolist() == [False, True]


def test_objects_of_other_frames_are_never_matched() -> None:
    assert len(correspondence([[box(10, 0)], []], [[], [box(10, 0)]]).placed) == 0


def kitti(truth: list, found: list, min_score: float = -np.inf) -> Correspondence:  # type: ignore[type-arg]
    return Correspondence.of_labels(LabelTable.join([rows(*truth)]), LabelTable.join([rows(*found)]), "Car", None, min_score)


def test_errors_are_taken_from_boxes_seen_on_the_image_however_far_off() -> None:
    pairs = kitti([row(z=40)], [row(z=47)])
    assert len(pairs.placed) == 0
    everything = by_band(pairs)[-1]
    assert (everything.seen, everything.recall) == (1, 0)
    assert everything.errors["longitudinal"].bias == pytest.approx(7)


def test_nobody_is_blamed_for_what_kitti_ignores() -> None:
    found = [row(), row(left=300, x=6), row(left=500, x=9), row(left=700, x=12), row(left=900, x=15, height=20)]
    truth = [row(), row("Van", left=300, x=6), row(left=500, x=9, occluded=3), region(690, 90, 120, 70)]
    pairs = kitti(truth, found)
    assert pairs.asked.tolist() == [True, False, False]
    assert pairs.charged.tolist() == [True, False, False, False, False]
    assert by_band(pairs)[-1].precision == 1


def test_scores_below_the_least_are_left_out() -> None:
    assert len(kitti([row()], [row(score=0.2), row(left=500, score=0.6)], min_score=0.5).found.boxes) == 1
