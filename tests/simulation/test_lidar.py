"""The LiDAR agrees with a ray tracer for every beam layout, standing and moving."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.simulation.lidar.beams import MODELS, with_columns
from mono3d_kd_core.simulation.lidar.scanner import azimuths, returns, trace
from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from tests.simulation.scenes import first_hits, random_triangles, street

STILL = np.eye(4, dtype=np.float32)[None, None, :3]


def directions(model: str, columns: int) -> np.ndarray:
    """Unit directions (beams, columns, 3) of a layout, row by row from the top."""
    beams = with_columns(MODELS[model], columns)
    e, a = np.meshgrid(beams.elevation, azimuths(beams), indexing="ij")
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], -1)


@pytest.mark.parametrize("model", MODELS)
def test_every_beam_meets_what_embree_says(model: str) -> None:
    corners = random_triangles(np.random.default_rng(11), 900)
    beams = with_columns(MODELS[model], 360)

    distance, triangle = trace(corners, np.zeros(len(corners), np.int32), STILL, beams)

    expected, hit = first_hits(corners, np.zeros(3), directions(model, 360).reshape(-1, 3))
    same = triangle.ravel() == hit
    assert same.mean() > 0.999
    both = same & (hit >= 0)
    assert both.mean() > 0.3
    np.testing.assert_allclose(distance.ravel()[both], expected[both], rtol=2e-4)


@pytest.mark.parametrize("index", range(3))
def test_the_beams_on_a_street_meet_what_embree_says(index: int) -> None:
    corners = street(index) - np.array([0, 0, 1.73], np.float32)
    beams = with_columns(MODELS["hdl64"], 720)

    distance, triangle = trace(corners, np.zeros(len(corners), np.int32), STILL, beams)

    expected, hit = first_hits(corners, np.zeros(3), directions("hdl64", 720).reshape(-1, 3))
    hit = np.where(expected < beams.farthest, hit, -1)
    same = triangle.ravel() == hit
    near = np.isclose(distance.ravel(), np.where(hit >= 0, expected, np.inf), rtol=1e-3)
    assert (hit >= 0).mean() > 0.5
    assert same.mean() > 0.999
    assert near.mean() > 0.999


def test_the_layouts_are_those_of_the_data_sheets() -> None:
    counts = {name: len(beams.elevation) for name, beams in MODELS.items()}
    assert counts == {"hdl64": 64, "hdl32": 32, "vlp16": 16, "os1-128": 128}
    upper, lower = np.diff(np.degrees(MODELS["hdl64"].elevation))[[5, 50]]
    assert upper == pytest.approx(-1 / 3, abs=1e-3)
    assert lower == pytest.approx(-0.5, abs=1e-3)
    np.testing.assert_allclose(np.degrees(MODELS["vlp16"].elevation), np.arange(15, -16, -2))


def test_a_moving_sensor_sees_the_ground_from_where_each_column_is() -> None:
    beams = with_columns(MODELS["vlp16"], 180)
    wall = np.array([[[20, -90, -9], [20, 90, -9], [20, 0, 500]]], np.float32)
    forward = np.linspace(-1, 1, 180)
    poses = np.tile(np.eye(4, dtype=np.float32)[:3], (1, 180, 1, 1))
    poses[0, :, 0, 3] = -forward

    distance, triangle = trace(wall, np.zeros(1, np.int32), poses, beams)

    x = distance * np.cos(beams.elevation)[:, None] * np.cos(azimuths(beams))
    hit = (triangle == 0) & (np.abs(azimuths(beams)) < 1.2)
    assert hit.sum() > 500
    np.testing.assert_allclose(x[hit], np.broadcast_to(20 - forward, x.shape)[hit], atol=1e-3)


def test_glass_and_black_rubber_return_less_than_a_sign() -> None:
    beams = with_columns(MODELS["hdl64"], 720)
    share = {}
    for material in (Material.GLASS, Material.RUBBER, Material.SIGN):
        wall = Mesh.from_corners([[[15, -200, -50], [15, 200, -50], [15, 0, 400]]], (0.02, 0.02, 0.02), material)
        distance, triangle = trace(wall.corners, np.zeros(1, np.int32), STILL, beams)
        sweep = returns(distance, triangle, wall, np.eye(4), beams, np.zeros(720), np.random.default_rng(0))
        share[material] = len(sweep.points) / (triangle >= 0).sum()
    assert share[Material.GLASS] < 0.35 < share[Material.RUBBER] < share[Material.SIGN]
    assert share[Material.SIGN] > 0.9


def test_range_noise_is_that_of_the_data_sheet() -> None:
    beams = with_columns(MODELS["hdl64"], 720)
    wall = Mesh.from_corners([[[15, -200, -50], [15, 200, -50], [15, 0, 400]]], (0.5, 0.5, 0.5), Material.FACADE)
    distance, triangle = trace(wall.corners, np.zeros(1, np.int32), STILL, beams)
    sweep = returns(distance, triangle, wall, np.eye(4), beams, np.zeros(720), np.random.default_rng(0))
    near = np.linalg.norm(sweep.points[:, :3], axis=1) < 30
    direction = sweep.points[near, :3] / np.linalg.norm(sweep.points[near, :3], axis=1, keepdims=True)
    error = np.linalg.norm(sweep.points[near, :3], axis=1) - 15 / direction[:, 0]
    assert abs(error.mean()) < 2e-3
    assert error.std() == pytest.approx(beams.range_noise, rel=0.05)
