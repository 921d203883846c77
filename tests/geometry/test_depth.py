from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth import depth_map, points_in_view, project_points
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, transform
from tests.geometry.cameras import any_camera, rotation

IDEAL = CameraModel.pinhole(64, 48, 50, 50, 32, 24)


def sweep(seed: int, count: int = 3000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-30, -30, -2, 0], [60, 30, 3, 1], (count, 4)).astype(np.float32)


def test_the_nearest_point_of_a_pixel_counts() -> None:
    points = np.array([[10, 0, 0, 0], [5, 0, 0, 0], [20, 0, 0, 0], [-3, 0, 0, 0], [10, 2, 0, 0]], np.float32)
    expected = np.zeros((48, 64), np.float32)
    expected[24, 32] = 5
    expected[24, 22] = 10
    np.testing.assert_array_equal(depth_map(points, IDEAL, T_CAMERA_BODY), expected)


@given(any_camera(), st.integers(0, 10**6))
def test_points_come_back_from_their_pixels_and_depths(camera: CameraModel, seed: int) -> None:
    points = sweep(seed, 500)
    T = T_CAMERA_BODY @ transform(rotation(0.02, 0.01, -0.05), [0.3, 0.1, -0.2])
    uv, depth, index = project_points(points, camera, T)
    np.testing.assert_allclose(apply(inverse(T), camera.unproject(uv, depth)), points[index, :3], atol=1e-6)
    np.testing.assert_array_equal(points_in_view(points, camera, T), camera.project(apply(T, points[:, :3]))[1])


@given(any_camera(), st.integers(0, 10**6))
def test_the_map_equals_a_plain_loop(camera: CameraModel, seed: int) -> None:
    points = sweep(seed)
    expected = np.full((camera.height, camera.width), np.inf, np.float32)
    for (u, v), depth in zip(*project_points(points, camera, T_CAMERA_BODY)[:2]):
        pixel = round(v), round(u)
        expected[pixel] = min(expected[pixel], depth)
    expected[np.isinf(expected)] = 0
    np.testing.assert_array_equal(depth_map(points, camera, T_CAMERA_BODY), expected)


def test_a_real_sweep_equals_the_direct_matrix_product(shared_data: Path) -> None:
    folder = shared_data / "kitti/object/training"
    rows = (folder / "calib/000002.txt").read_text().splitlines()
    values = {row.split(":")[0]: np.array(row.split(":")[1].split(), np.float64) for row in rows if ":" in row}
    P2, R0, Tr = values["P2"].reshape(3, 4), np.eye(4), np.eye(4)
    R0[:3, :3], Tr[:3] = values["R0_rect"].reshape(3, 3), values["Tr_velo_to_cam"].reshape(3, 4)
    points = np.fromfile(folder / "velodyne/000002.bin", np.float32).reshape(-1, 4)
    homogeneous = P2 @ R0 @ Tr @ np.column_stack([points[:, :3], np.ones(len(points))]).T
    u, v = np.rint(homogeneous[:2] / homogeneous[2])
    inside = (homogeneous[2] > 0) & (u >= 0) & (u < 1242) & (v >= 0) & (v < 375)
    camera = CameraModel.from_projection(1242, 375, P2)
    uv, depth, index = project_points(points, camera, R0 @ Tr)
    np.testing.assert_array_equal(index, np.flatnonzero(inside))
    np.testing.assert_allclose(uv, (homogeneous[:2] / homogeneous[2])[:, inside].T, atol=1e-9)
    np.testing.assert_allclose(depth, homogeneous[2, inside], atol=1e-9)


@pytest.mark.parametrize("points", [np.empty((0, 4), np.float32), np.array([[-5, 0, 0, 0]], np.float32)])
def test_an_empty_view_is_an_empty_map(points: np.ndarray) -> None:
    assert not depth_map(points, IDEAL, T_CAMERA_BODY).any()
