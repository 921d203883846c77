"""Merge suppression, against shapely, by hand, and against the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from shapely import affinity
from shapely.geometry import box as rectangle

from mono3d_kd_core.teachers.point_gnn.merging import Rows, merge, overlap


def candidates(seed: int, count: int = 40) -> tuple[Rows, NDArray[np.float32]]:
    random = np.random.default_rng(seed)
    cars = random.uniform([-8, 1, 5], [8, 2, 30], (4, 3))
    rows = np.column_stack(
        [
            cars[random.integers(4, size=count)] + random.normal(0, 0.4, (count, 3)),
            random.normal([3.9, 1.5, 1.6], 0.1, (count, 3)),
            random.uniform(-0.8, 2.4, count),
        ]
    )
    return rows.astype(np.float32), random.uniform(0.25, 1, count).astype(np.float32)


def shapely_iou(a: Rows, b: Rows) -> float:
    def footprint(row: Rows):  # type: ignore[no-untyped-def]
        flat = rectangle(-row[3] / 2, -row[5] / 2, row[3] / 2, row[5] / 2)
        # rotation_y turns from +x towards -z: clockwise in the plane of x and z.
        return affinity.translate(affinity.rotate(flat, -row[6], use_radians=True, origin=(0, 0)), row[0], row[2])

    vertical = min(a[1], b[1]) - max(a[1] - a[4], b[1] - b[4])
    shared = footprint(a).intersection(footprint(b)).area * max(vertical, 0)
    return float(shared / (np.prod(a[3:6]) + np.prod(b[3:6]) - shared))


def naive_merge(rows: Rows, score: NDArray[np.float32], threshold: float) -> list[tuple[Rows, float]]:
    left = sorted(range(len(rows)), key=lambda i: -score[i])
    result = []
    while left:
        seed = left.pop(0)
        taken = [j for j in left if shapely_iou(rows[seed], rows[j]) > threshold]
        left = [j for j in left if j not in taken]
        median = np.median(rows[[*taken, seed]], axis=0)
        result.append((median, score[seed] + sum(score[j] * shapely_iou(median, rows[j]) for j in taken)))
    return result


def test_overlap_equals_shapely() -> None:
    rows, _ = candidates(0)
    expected = [[shapely_iou(a, b) for b in rows.astype(np.float64)] for a in rows.astype(np.float64)]
    assert np.abs(overlap(rows, rows) - expected).max() < 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_equals_a_plain_merge_with_shapely(seed: int) -> None:
    rows, score = candidates(seed)
    merged, expected = merge(rows, score, 0.01), naive_merge(rows, score, 0.01)
    assert len(merged.rows) == len(expected)
    assert np.abs(merged.rows - [row for row, _ in expected]).max() < 1e-6
    assert np.allclose(merged.score, [total for _, total in expected], rtol=1e-6)


def test_agreeing_candidates_add_up_and_keep_their_box() -> None:
    row = np.array([[1, 1.5, 10, 4, 1.5, 1.6, 0.3]], np.float32)
    merged = merge(np.repeat(row, 3, 0), np.array([0.5, 0.9, 0.6], np.float32), 0.01)
    assert np.array_equal(merged.rows, row)
    assert merged.score == pytest.approx([2.0])
    assert merged.seed.tolist() == [1]


def test_equal_scores_keep_their_order_and_distant_boxes_stay() -> None:
    rows = np.array([[x, 1.5, 10, 4, 1.5, 1.6, 0] for x in (0, 20, 40)], np.float32)
    merged = merge(rows, np.array([0.5, 0.9, 0.5], np.float32), 0.01)
    assert merged.seed.tolist() == [1, 0, 2]
    assert np.array_equal(merged.rows, rows[[1, 0, 2]])


def test_nothing_merges_to_nothing() -> None:
    merged = merge(np.empty((0, 7), np.float32), np.empty(0, np.float32), 0.01)
    assert (merged.rows.shape, merged.score.shape, merged.seed.shape) == ((0, 7), (0,), (0,))


@pytest.mark.parametrize("case", range(4))
def test_equals_the_original(shared_data: Path, case: int) -> None:
    cases = np.load(shared_data / "point_gnn/nms_cases.npz")
    merged = merge(cases[f"case{case}_boxes"], cases[f"case{case}_scores"], 0.01)
    assert merged.seed.tolist() == cases[f"case{case}_out_index"].tolist()
    assert np.array_equal(merged.rows, cases[f"case{case}_out_boxes"])
    assert np.allclose(merged.score, cases[f"case{case}_out_scores"], rtol=1e-5)
