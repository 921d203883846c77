"""Overlaps agree with shapely, also where edges coincide; suppression keeps what a plain loop keeps."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import (
    bev_intersection,
    bev_iou,
    bev_iou_aligned,
    iou_2d,
    iou_3d,
    iou_3d_aligned,
    nms_3d,
    nms_bev,
    nms_distance,
    rows_3d,
)
from mono3d_kd_core.geometry.rigid import Matrix

AWKWARD = np.array(
    [
        [0, 0, 4, 2, 0],  # the reference
        [0, 0, 4, 2, 0],  # coincident
        [0, 0, 4, 2, np.pi],  # coincident, turned half
        [0, 0, 4, 2, np.pi / 2],  # crossed
        [0, 0, 2, 4, np.pi / 2],  # coincident with length and width exchanged
        [0, 0, 2, 1, 0],  # contained
        [1, 0.5, 2, 1, 0],  # contained, sharing a corner
        [4, 0, 4, 2, 0],  # touching along an edge
        [4, 2, 4, 2, 0],  # touching in a corner
        [1, 0, 4, 2, 0],  # shifted along its edges
        [0, 0, 4, 2, 1e-9],  # all but coincident
        [1e-9, -1e-9, 4, 2, -1e-12],
        [0, 0, 4, 2, np.pi / 4],  # an octagon with the reference
        [0, 0, 20, 0.01, 0.3],  # a needle
        [100, 50, 4, 2, 0.7],  # far away
    ]
)


def polygons(boxes: Matrix) -> np.ndarray:
    c, s = np.cos(boxes[:, 4:5]), np.sin(boxes[:, 4:5])
    along = boxes[:, 2:3] * np.array([0.5, 0.5, -0.5, -0.5])
    across = boxes[:, 3:4] * np.array([0.5, -0.5, -0.5, 0.5])
    return shapely.polygons(np.stack([boxes[:, :1] + c * along - s * across, boxes[:, 1:2] + s * along + c * across], -1))


def shapely_intersection(a: Matrix, b: Matrix) -> Matrix:
    return shapely.area(shapely.intersection(polygons(a)[:, None], polygons(b)[None]))


def random_footprints(count: int, seed: int, extent: float = 15) -> Matrix:
    rng = np.random.default_rng(seed)
    low, high = [-extent, -extent, 0.3, 0.3, -np.pi], [extent, extent, 8, 4, np.pi]
    return rng.uniform(low, high, (count, 5))


def random_volumes(count: int, seed: int) -> Matrix:
    footprints, rng = random_footprints(count, seed, extent=5), np.random.default_rng(seed + 1)
    z, height = rng.uniform(-1, 1, count), rng.uniform(1, 3, count)
    return np.column_stack([footprints[:, :2], z, footprints[:, 2:4], height, footprints[:, 4]])


def test_intersection_agrees_with_shapely_on_random_boxes() -> None:
    a, b = random_footprints(150, 0), random_footprints(170, 1)
    expected = shapely_intersection(a, b)
    assert (expected > 0).sum() > 500
    np.testing.assert_allclose(bev_intersection(a, b), expected, atol=1e-9)


def test_intersection_agrees_with_shapely_on_awkward_boxes() -> None:
    # Shapely itself is off by some 1e-9 where edges nearly coincide.
    np.testing.assert_allclose(bev_intersection(AWKWARD, AWKWARD), shapely_intersection(AWKWARD, AWKWARD), atol=1e-7)


@pytest.mark.parametrize("turn", [0.0, 0.3, 1.1, np.pi / 2, 3.0])
@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_awkward_boxes_stay_right_when_turned_and_moved_together(turn: float, shift: float) -> None:
    c, s = np.cos(turn), np.sin(turn)
    moved = AWKWARD.copy()
    moved[:, :2] = AWKWARD[:, :2] @ np.array([[c, s], [-s, c]]) + shift
    moved[:, 4] += turn
    np.testing.assert_allclose(bev_iou(moved, moved), bev_iou(AWKWARD, AWKWARD), atol=1e-9)


def test_a_box_overlaps_itself_wholly() -> None:
    footprints, volumes = random_footprints(300, 2), random_volumes(300, 3)
    np.testing.assert_allclose(bev_iou_aligned(footprints, footprints), 1, atol=1e-12)
    np.testing.assert_allclose(iou_3d_aligned(volumes, volumes), 1, atol=1e-12)
    assert bev_iou(AWKWARD, AWKWARD).max() <= 1


coordinate = st.floats(-6, 6).map(lambda value: round(value, 1))
extent = st.sampled_from([0.5, 1.0, 2.0, 4.0]) | st.floats(0.05, 10)
angle = st.sampled_from([k * np.pi / 4 for k in range(-4, 5)]) | st.floats(-np.pi, np.pi)
footprint = st.tuples(coordinate, coordinate, extent, extent, angle)


@settings(max_examples=300, deadline=None)
@given(footprint, footprint)
def test_any_two_footprints(a: tuple[float, ...], b: tuple[float, ...]) -> None:
    one, other = np.array([a]), np.array([b])
    shared = bev_intersection(one, other)[0, 0]
    assert shared == pytest.approx(shapely_intersection(one, other)[0, 0], abs=1e-7)
    assert shared == pytest.approx(bev_intersection(other, one)[0, 0], abs=1e-9)
    assert 0 <= shared <= min(a[2] * a[3], b[2] * b[3])


def test_volume_is_footprint_times_height_shared() -> None:
    a, b = random_volumes(80, 5), random_volumes(90, 6)
    columns = [0, 1, 3, 4, 6]
    top = np.minimum.outer(a[:, 2] + a[:, 5] / 2, b[:, 2] + b[:, 5] / 2)
    bottom = np.maximum.outer(a[:, 2] - a[:, 5] / 2, b[:, 2] - b[:, 5] / 2)
    shared = shapely_intersection(a[:, columns], b[:, columns]) * np.maximum(top - bottom, 0)
    expected = shared / (np.add.outer(np.prod(a[:, 3:6], 1), np.prod(b[:, 3:6], 1)) - shared)
    np.testing.assert_allclose(iou_3d(a, b), expected, atol=1e-9)


def test_image_boxes_agree_with_shapely() -> None:
    rng = np.random.default_rng(7)
    corner, size = rng.uniform(0, 500, (60, 2)), rng.uniform(5, 300, (60, 2))
    rows = np.hstack([corner, corner + size])
    shapes = shapely.box(*rows.T)
    shared = shapely.area(shapely.intersection(shapes[:, None], shapes[None]))
    area = shapely.area(shapes)
    np.testing.assert_allclose(iou_2d(rows, rows), shared / (area[:, None] + area[None] - shared), atol=1e-12)


def test_aligned_is_the_diagonal_of_the_matrix() -> None:
    a, b = random_footprints(40, 8, 4), random_footprints(40, 9, 4)
    np.testing.assert_array_equal(bev_iou_aligned(a, b), np.diag(bev_iou(a, b)))
    with pytest.raises(ValueError, match="40 boxes against 39"):
        bev_iou_aligned(a, b[1:])


@pytest.mark.parametrize(
    "row", [[0, 0, 0, 2, 0], [0, 0, 4, -1, 0], [0, 0, -4, -2, 0], [np.nan, 0, 4, 2, 0], [0, 0, 4, 2, np.nan]]
)
def test_boxes_without_area_or_with_nan_overlap_nothing(row: list[float]) -> None:
    rows = np.array([row, [0, 0, 4, 2, 0]])
    np.testing.assert_array_equal(bev_iou(rows, rows), [[0, 0], [0, 1]])


def test_no_boxes() -> None:
    assert bev_iou(np.empty((0, 5)), AWKWARD).shape == (0, len(AWKWARD))
    assert iou_3d([], []).shape == (0, 0)
    assert nms_bev(np.empty((0, 5)), [], 0.5).tolist() == []


def test_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\), expected \(N,5\)"):
        bev_iou(np.zeros((3, 4)), AWKWARD)


def test_rows_of_boxes() -> None:
    boxes = Boxes3D(np.array([[1, 2, 3]]), np.array([[4, 2, 1.5]]), np.array([0.5]), np.array(["Car"]))
    np.testing.assert_array_equal(rows_3d(boxes), [[1, 2, 3, 4, 2, 1.5, 0.5]])


def plain_nms(overlap: Matrix, score: Matrix, threshold: float) -> list[int]:
    kept: list[int] = []
    for candidate in sorted(range(len(score)), key=lambda i: -score[i]):
        if all(overlap[candidate, other] <= threshold for other in kept):
            kept.append(candidate)
    return kept


@pytest.mark.parametrize("threshold", [0.0, 0.1, 0.5])
def test_suppression_is_the_plain_loop(threshold: float) -> None:
    boxes, score = random_footprints(200, 10), np.random.default_rng(11).random(200).round(1)  # with ties
    kept = nms_bev(boxes, score, threshold)
    assert kept.tolist() == plain_nms(bev_iou(boxes, boxes), score, threshold)
    assert 1 < len(kept) < 200
    assert nms_bev(boxes, score, threshold, limit=5).tolist() == kept[:5].tolist()


def test_suppression_in_space_and_by_distance() -> None:
    volumes, score = random_volumes(150, 12), np.random.default_rng(13).random(150)
    assert nms_3d(volumes, score, 0.1).tolist() == plain_nms(iou_3d(volumes, volumes), score, 0.1)
    distance = np.linalg.norm(volumes[:, None, :2] - volumes[None, :, :2], axis=-1)
    assert nms_distance(volumes[:, :2], score, 2.0).tolist() == plain_nms(-distance, score, -2.0)


def test_other_groups_are_not_suppressed() -> None:
    boxes = np.repeat(AWKWARD[:1], 3, axis=0)
    assert nms_bev(boxes, [0.5, 0.9, 0.7], 0.1).tolist() == [1]
    assert nms_bev(boxes, [0.5, 0.9, 0.7], 0.1, group=["Car", "Car", "Cyclist"]).tolist() == [1, 2]
