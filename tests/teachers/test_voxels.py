"""Voxelisation against a plain dictionary."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.teachers.voxels import VoxelGrid, assign_voxels, voxelise

GRID = VoxelGrid((0.0, -8.0, -3.0), (16.0, 8.0, 1.0), (0.5, 0.5, 1.0))


def cloud(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-2, -10, -4, 0], [18, 10, 2, 1], (n, 4)).astype(np.float32)


def by_dictionary(points: np.ndarray, grid: VoxelGrid) -> dict[tuple[int, ...], list[int]]:
    cells: dict[tuple[int, ...], list[int]] = {}
    for i, point in enumerate(points):
        cell = np.floor((point[:3] - np.float32(grid.low)) / np.float32(grid.size))
        if np.isfinite(cell).all() and (cell >= 0).all() and (cell < grid.shape).all():
            cells.setdefault(tuple(int(c) for c in cell[::-1]), []).append(i)
    return cells


@pytest.mark.parametrize("max_points", [1, 3, 32])
def test_hard_voxels_equal_a_dictionary_in_order_of_first_appearance(max_points: int) -> None:
    points = cloud(5000)
    voxels = voxelise(points, GRID, max_points, 100_000)
    expected = by_dictionary(points, GRID)
    assert [tuple(c) for c in voxels.coordinates.tolist()] == list(expected)
    for v, rows in enumerate(expected.values()):
        kept = rows[:max_points]
        assert voxels.counts[v] == len(kept)
        np.testing.assert_array_equal(voxels.points[v, : len(kept)], points[kept])
        assert not voxels.points[v, len(kept) :].any()


def test_means_ignore_the_empty_places() -> None:
    points = cloud(3000)
    voxels = voxelise(points, GRID, 5, 100_000)
    expected = [points[rows[:5]].mean(0) for rows in by_dictionary(points, GRID).values()]
    np.testing.assert_allclose(voxels.means(), expected, rtol=1e-5)


def test_no_more_than_max_voxels_and_the_first_are_kept() -> None:
    points = cloud(5000)
    few, many = voxelise(points, GRID, 4, 50), voxelise(points, GRID, 4, 100_000)
    np.testing.assert_array_equal(few.coordinates, many.coordinates[:50])
    np.testing.assert_array_equal(few.points, many.points[:50])


def test_dynamic_voxels_keep_every_point_inside() -> None:
    points = cloud(5000)
    index, coordinates = assign_voxels(points, GRID)
    expected = by_dictionary(points, GRID)
    assert [tuple(c) for c in coordinates.tolist()] == list(expected)
    for v, rows in enumerate(expected.values()):
        assert np.flatnonzero(index == v).tolist() == rows
    assert (index == -1).sum() == len(points) - sum(map(len, expected.values()))


@pytest.mark.parametrize(
    "points",
    [np.empty((0, 4)), np.full((3, 4), np.nan), np.array([[100.0, 0, 0, 0]]), np.array([[16.0, 0, 0, 0]])],
    ids=["empty", "nan", "outside", "on the far border"],
)
def test_nothing_inside_gives_nothing(points: np.ndarray) -> None:
    assert len(voxelise(points.astype(np.float32), GRID, 5, 100).counts) == 0
    assert len(assign_voxels(points.astype(np.float32), GRID)[1]) == 0
