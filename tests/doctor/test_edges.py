from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.doctor.edges import depth_edges, edge_fields
from tests.doctor.boards import HEIGHT, sweep

BOARD = np.array([[15.0, 2.0, 3.0, -HEIGHT, 2.0, 0]])  # y from -1 to 2, top at 0.3


def on_plane(position: np.ndarray, distance: float) -> np.ndarray:
    """Where rays to points meet the plane at a distance ahead: y and z."""
    return position[:, 1:] * (distance / position[:, :1])


@pytest.mark.parametrize("elevation_step", [0.4, 2.0], ids=["64 beams", "16 beams"])
def test_a_board_ends_at_its_sides(elevation_step: float) -> None:
    upright, _ = depth_edges(sweep(BOARD, elevation_step))
    y = on_plane(upright.position, 15)[:, 0]
    beam = 15 * np.radians(0.2)
    assert len(y) >= 4
    assert np.abs(np.abs(y - 0.5) - 1.5).max() < beam
    assert abs(int((y > 0.5).sum()) - int((y < 0.5).sum())) <= 1
    np.testing.assert_allclose(np.linalg.norm(upright.position, axis=1), 15, atol=0.3)


def test_a_board_ends_at_its_top_and_the_road_nowhere() -> None:
    _, level = depth_edges(sweep(BOARD))
    y, z = on_plane(level.position, 15).T
    assert len(z) > 40
    assert np.abs(z - 0.3).max() < 15 * np.radians(0.4)
    assert (np.abs(y - 0.5) < 1.6).all()


def test_an_empty_road_has_no_edges() -> None:
    assert [len(edges.position) for edges in depth_edges(sweep(np.empty((0, 6))))] == [0, 0]


def test_leaves_are_not_outlines() -> None:
    points = sweep(np.empty((0, 6)))
    rng = np.random.default_rng(0)
    leaves = rng.random(len(points)) < 0.05
    points[leaves, :3] *= (rng.uniform(5, 12, leaves.sum()) / np.linalg.norm(points[leaves, :3], axis=1))[:, None]
    found = sum(len(edges.position) for edges in depth_edges(points))
    assert found < 0.05 * leaves.sum()


def test_no_points_have_no_edges() -> None:
    assert [len(edges.position) for edges in depth_edges(np.empty((0, 4), np.float32))] == [0, 0]


def test_fields_are_high_on_edges_of_their_direction() -> None:
    image = np.full((120, 160, 3), 60, np.uint8)
    image[40:90, 50:110] = 200
    upright, level = edge_fields(image, blur=2)
    assert upright[65, 50] > 5 > 1 > upright[40, 80]
    assert level[40, 80] > 5 > 1 > level[65, 50]
    assert [float(f.mean()) for f in (upright, level)] == pytest.approx([1, 1], rel=1e-4)


def test_a_blank_image_has_no_edges() -> None:
    assert not edge_fields(np.full((60, 80, 3), 128, np.uint8), blur=2)[0].any()
