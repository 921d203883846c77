"""Keypoints and neighbours, against the plainest definition."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mono3d_kd_core.teachers.point_gnn.graph import choose_keypoints, radius_graph
from mono3d_kd_core.teachers.point_gnn.view import view_of
from tests.teachers.point_gnn.reference import FRAMES, sensor_frame


def street(seed: int, count: int = 600) -> NDArray[np.float32]:
    """Points on a ground and a wall, some of them twice."""
    random = np.random.default_rng(seed)
    ground = np.column_stack(
        [random.uniform(-6, 6, count), random.normal(1.6, 0.02, count), random.uniform(2, 14, count)]
    )
    wall = np.column_stack([random.normal(4, 0.02, count // 3), *random.uniform((-2, 2), (2, 14), (count // 3, 2)).T])
    return np.concatenate([ground, wall, wall[:20]]).astype(np.float32)


def naive_keypoints(points: NDArray[np.float32], cell: float) -> list[int]:
    exact = points.astype(np.float64)
    cells = np.floor((exact - (exact.min(0) - cell / 2)) / cell).astype(int)
    chosen = []
    for one in sorted(set(map(tuple, cells))):
        mean = exact[(cells == one).all(1)].mean(0)
        chosen.append(int(((exact - mean) ** 2).sum(1).argmin()))
    return chosen


@pytest.mark.parametrize("seed", range(5))
def test_keypoints_are_the_points_nearest_to_the_cells_means(seed: int) -> None:
    points = street(seed)
    found = choose_keypoints(points, 0.4)
    expected = naive_keypoints(points, 0.4)
    distance = np.linalg.norm(points[found] - points[expected], axis=1)
    assert len(found) == len(expected)
    assert (found == expected).mean() > 0.98  # the naive mean rounds otherwise, which decides a tie here and there
    assert distance[found != expected].max(initial=0) < 0.7


def test_of_two_points_in_a_cell_the_first_is_taken() -> None:
    points = np.array([[0, 0, 5], [0.1, 0.1, 5.1], [3, 0, 5], [3.1, 0, 5]], np.float32)
    assert choose_keypoints(points, 0.4).tolist() == [0, 2]
    assert choose_keypoints(points[::-1].copy(), 0.4).tolist() == [2, 0]


def test_a_keypoint_may_lie_in_a_neighbouring_cell() -> None:
    # Two points at the ends of the first cell have their mean nearer to the point beyond its border.
    points = np.array([[0.0, 0, 0], [0.19, 0.39, 0], [0.19, 0.0, 0], [0.0, 0.39, 0], [0.1, 0.19, 0.21]], np.float32)
    assert choose_keypoints(points, 0.4).tolist() == naive_keypoints(points, 0.4)


@pytest.mark.parametrize("radius", [0.3, 1.0, 4.0])
def test_neighbours_are_all_pairs_within_the_radius(radius: float) -> None:
    points = street(7)
    centres = points[::9]
    graph = radius_graph(points, centres, radius)
    difference = points.astype(np.float64)[None] - centres.astype(np.float64)[:, None]
    expected = {(j, k) for k, j in np.argwhere((difference**2).sum(-1) <= radius * radius)}
    found = list(zip(graph.sources, graph.destinations()))
    assert set(found) == expected
    assert len(found) == len(expected)


def test_the_radius_itself_is_within() -> None:
    points = np.array([[0, 0, 0], [1, 0, 0], [np.nextafter(np.float32(1), np.float32(2)), 0, 0]], np.float32)
    assert sorted(radius_graph(points, points[:1], 1.0).sources.tolist()) == [0, 1]


def test_far_outliers_cost_nothing() -> None:
    points = np.concatenate([street(3), [[1e7, -1e7, 1e7]]]).astype(np.float32)
    assert radius_graph(points, points[-1:], 4.0).sources.tolist() == [len(points) - 1]
    assert choose_keypoints(points, 0.4)[-1] == len(points) - 1


def test_no_points_no_edges() -> None:
    nothing = np.empty((0, 3), np.float32)
    assert len(choose_keypoints(nothing, 0.4)) == 0
    assert radius_graph(nothing, nothing, 1.0).num_edges == 0
    assert radius_graph(nothing, street(0)[:5], 1.0).offsets.tolist() == [0] * 6


@pytest.mark.parametrize("name", FRAMES)
def test_real_sweeps_give_the_published_graphs(shared_data: Path, name: str) -> None:
    reference = np.load(shared_data / "point_gnn/T1/raw" / f"{name}.npz")
    points = view_of(sensor_frame(shared_data, name), 0.1).points
    keypoints = choose_keypoints(points, 0.4)
    assert len(points) == reference["num_points"]
    # Without all digits of the original's float32 arithmetic one keypoint in a thousand may be another.
    assert len(keypoints) == len(reference["keypoint_index"])
    assert (keypoints != reference["keypoint_index"]).mean() < 1e-3
    exact = reference["keypoint_xyz"]
    edges = [radius_graph(points, points[keypoints], 1.0).num_edges, radius_graph(exact, exact, 4.0).num_edges]
    assert np.allclose(edges, reference["num_edges"], rtol=1e-4, atol=0)
