from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel
from tests.geometry.cameras import HEIGHT, LENSES, WIDTH, K, any_camera, camera, pixels, rotation

seeds = st.integers(0, 10**6)


@given(any_camera(), seeds)
def test_project_inverts_unproject(camera: CameraModel, seed: int) -> None:
    uv, depth = pixels(camera, seed)
    points = camera.unproject(uv, depth)
    seen = np.isfinite(points).all(-1)  # a strong lens may not reach the corners
    again, valid = camera.project(points[seen])
    assert valid.all()
    np.testing.assert_allclose(again, uv[seen], atol=1e-6, rtol=0)


@pytest.mark.parametrize("lens", [name for name in LENSES if name != "equidistant"])
def test_project_equals_opencv(lens: str) -> None:
    points = np.random.default_rng(0).uniform([-2, -1.5, 4], [2, 1.5, 30], (200, 3))
    D = np.array(LENSES[lens][1]) if LENSES[lens][1] else None
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), K, D)
    np.testing.assert_allclose(camera(lens).project(points)[0], expected.reshape(-1, 2), atol=1e-9)


def test_a_rectified_camera_follows_p_and_r() -> None:
    R = rotation(0.02, -0.03, 0.01)
    P = np.array([[700, 0, 300, -350], [0, 700, 200, 1.5], [0, 0, 1, 0.003]], np.float64)
    points = np.random.default_rng(1).uniform([-3, -2, 4], [3, 2, 40], (100, 3))
    homogeneous = P @ np.vstack([R @ points.T, np.ones(100)])
    uv, _ = CameraModel(WIDTH, HEIGHT, K, "plumb_bob", np.full(5, 0.1), R, P, rectified=True).project(points)
    np.testing.assert_allclose(uv, (homogeneous[:2] / homogeneous[2]).T, atol=1e-9)


def test_kitti_projects_as_the_direct_matrix_product(shared_data: Path) -> None:
    rows = (shared_data / "kitti/object/training/calib/000007.txt").read_text().splitlines()
    values = {row.split(":")[0]: np.array(row.split(":")[1].split(), np.float64) for row in rows if ":" in row}
    P2, R0, Tr = values["P2"].reshape(3, 4), np.eye(4), np.eye(4)
    R0[:3, :3], Tr[:3] = values["R0_rect"].reshape(3, 3), values["Tr_velo_to_cam"].reshape(3, 4)
    points = np.random.default_rng(2).uniform([5, -8, -2], [60, 8, 1], (500, 3))
    expected = P2 @ R0 @ Tr @ np.vstack([points.T, np.ones(500)])
    in_camera = (R0 @ Tr @ np.vstack([points.T, np.ones(500)]))[:3].T
    uv, _ = CameraModel.from_projection(1242, 375, P2).project(in_camera)
    np.testing.assert_allclose(uv, (expected[:2] / expected[2]).T, atol=1e-9)


def test_what_is_behind_or_outside_is_not_valid() -> None:
    ideal = CameraModel.pinhole(640, 480, 500, 500, 320, 240)
    uv, valid = ideal.project(np.array([[0, 0, 5.0], [0, 0, -5.0], [0, 0, 0], [9, 0, 5.0]]))
    assert valid.tolist() == [True, False, False, False]
    assert uv[0] == pytest.approx([320, 240])
    assert np.isnan(uv[1:3]).all()
    assert uv[3] == pytest.approx([1220, 240])


def test_the_image_reaches_half_a_pixel_beyond_the_outer_centres() -> None:
    ideal = CameraModel.pinhole(4, 3, 1, 1, 0, 0)
    inside = ideal.contains(np.array([[-0.5, 0], [-0.51, 0], [3.49, 2.49], [3.5, 0], [0, 2.5], [np.nan, 0]]))
    assert inside.tolist() == [True, False, True, False, False, False]


def test_folded_points_are_not_drawn_into_the_picture() -> None:
    strong = CameraModel(WIDTH, HEIGHT, K, "plumb_bob", np.array([-0.3, 0, 0, 0]))
    uv, valid = strong.project(np.array([[1.8, 0, 1.0]]))  # without the bound at u = 339
    assert np.isnan(uv).all()
    assert not valid.any()


@given(any_camera(), seeds)
def test_rays_start_at_the_optical_centre(camera: CameraModel, seed: int) -> None:
    uv, _ = pixels(camera, seed, 8)
    uv = uv[np.isfinite(camera.rays(uv)).all(-1)]
    near, far = (camera.unproject(uv, np.full(len(uv), depth)) for depth in (2.0, 9.0))
    np.testing.assert_allclose(far - near, 7 * camera.rays(uv), atol=1e-9)
    np.testing.assert_allclose(near - 2 * camera.rays(uv), np.tile(camera.optical_centre, (len(uv), 1)), atol=1e-9)


# Crops, sizes and mirrors are compared with what the operation does to a picture of dots.


def dots(camera: CameraModel, points: np.ndarray) -> np.ndarray:
    """Draw a Gaussian dot of 3 px at the projection of each point, each in a picture of its own (N,H,W)."""
    uv, _ = camera.project(points)
    v, u = np.mgrid[: camera.height, : camera.width]
    return np.exp(-((u - uv[:, 0, None, None]) ** 2 + (v - uv[:, 1, None, None]) ** 2) / 18).astype(np.float32)


def centroids(pictures: np.ndarray) -> np.ndarray:
    v, u = np.mgrid[: pictures.shape[1], : pictures.shape[2]]
    mass = pictures.sum((1, 2))
    return np.column_stack([(pictures * u).sum((1, 2)) / mass, (pictures * v).sum((1, 2)) / mass])


LENS_NAMES = ["none", "plumb_bob_5", "tilt_14", "equidistant"]


@pytest.fixture(params=LENS_NAMES)
def full(request: pytest.FixtureRequest) -> CameraModel:
    return camera(request.param)


@pytest.fixture
def points(full: CameraModel) -> np.ndarray:
    rng = np.random.default_rng(3)
    return full.unproject(rng.uniform([240, 140], [400, 260], (12, 2)), rng.uniform(2, 30, 12))


@pytest.mark.parametrize("size", [(320, 200), (480, 300), (900, 410)])
def test_resized_follows_cv2_resize(full: CameraModel, points: np.ndarray, size: tuple[int, int]) -> None:
    method = cv2.INTER_AREA if size[0] < WIDTH else cv2.INTER_LINEAR
    pictures = np.stack([cv2.resize(picture, size, interpolation=method) for picture in dots(full, points)])
    np.testing.assert_allclose(full.resized(*size).project(points)[0], centroids(pictures), atol=0.02)


def test_binned_follows_the_mean_of_blocks(full: CameraModel, points: np.ndarray) -> None:
    blocks = dots(full, points)[:, : 400 // 3 * 3, : 640 // 2 * 2].reshape(12, 133, 3, 320, 2)
    binned = full.binned(2, 3)
    assert (binned.width, binned.height) == (320, 133)
    np.testing.assert_allclose(binned.project(points)[0], centroids(blocks.mean((2, 4))), atol=0.01)


def test_cropped_follows_a_slice(full: CameraModel, points: np.ndarray) -> None:
    window = full.cropped(200, 100, 300, 220)
    pictures = dots(full, points)[:, 100:320, 200:500]
    np.testing.assert_allclose(window.project(points)[0], centroids(pictures), atol=0.01)
    assert window.project(full.unproject(np.array([[100.0, 50.0]]), np.array([5.0])))[1].tolist() == [False]


def test_flipped_follows_a_reversed_picture(full: CameraModel, points: np.ndarray) -> None:
    pictures = dots(full, points)[:, :, ::-1]
    np.testing.assert_allclose(full.flipped().project(points * [-1, 1, 1])[0], centroids(pictures), atol=0.01)


@given(any_camera(), seeds)
def test_flipping_mirrors_every_part_of_the_model(camera: CameraModel, seed: int) -> None:
    uv, depth = pixels(camera, seed)
    points = camera.unproject(uv, depth)
    points, uv = points[np.isfinite(points).all(-1)], uv[np.isfinite(points).all(-1)]
    mirrored, _ = camera.flipped().project(points * [-1, 1, 1])
    np.testing.assert_allclose(mirrored, np.column_stack([camera.width - 1 - uv[:, 0], uv[:, 1]]), atol=1e-6)
    assert camera.flipped().intrinsics[0, 0] > 0


@given(any_camera())
def test_flipping_twice_changes_nothing(camera: CameraModel) -> None:
    twice = camera.flipped().flipped()
    for name in ("K", "D", "R", "P"):
        np.testing.assert_allclose(getattr(twice, name), getattr(camera, name), atol=1e-9)


@given(any_camera(), seeds)
def test_crop_then_resize_equals_resize_then_crop(camera: CameraModel, seed: int) -> None:
    points = camera.unproject(*pixels(camera, seed))
    one = camera.cropped(100, 50, 400, 200).resized(800, 400)
    other = camera.resized(2 * WIDTH, 2 * HEIGHT).cropped(200, 100, 800, 400)
    np.testing.assert_allclose(one.project(points)[0], other.project(points)[0], atol=1e-6)


@pytest.mark.parametrize("lens", ["plumb_bob_5", "rational_8"])
def test_undistort_maps_equal_opencv(lens: str) -> None:
    raw = dataclasses.replace(camera(lens), R=rotation(0.01, -0.02, 0.015), P=np.column_stack([0.9 * K, np.zeros(3)]))
    raw.P[2, 2] = 1
    expected = cv2.initUndistortRectifyMap(raw.K, raw.D, raw.R, raw.P[:, :3], (WIDTH, HEIGHT), cv2.CV_32FC1)
    for ours, theirs in zip(raw.undistort_maps(), expected):
        seen = ours >= 0
        assert seen.mean() > 0.9
        np.testing.assert_allclose(ours[seen], theirs[seen], atol=1e-3)


def test_the_remapped_picture_is_that_of_the_rectified_camera() -> None:
    raw = camera("plumb_bob_5")
    points = raw.unproject(np.array([[150.0, 90], [320, 200], [500, 330]]), np.array([5.0, 9, 20]))
    pictures = np.stack([cv2.remap(p, *raw.undistort_maps(), cv2.INTER_LINEAR) for p in dots(raw, points)])
    view = raw.rectify()
    assert view.distortion == "none"
    np.testing.assert_allclose(view.project(points)[0], centroids(pictures), atol=0.1)


@pytest.mark.parametrize(
    ("K", "message"),
    [
        (np.zeros((3, 3)), "not calibrated: fx is 0"),
        (np.array([[500, 0, 320], [0, np.nan, 240], [0, 0, 1]]), "not calibrated"),
        (np.array([[500, 0, 320], [0, 500, 240], [0, 0, 0.5]]), "not of the form"),
    ],
)
def test_numbers_that_are_no_calibration_are_refused(K: np.ndarray, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        CameraModel(640, 480, K)


def test_a_camera_without_pixels_is_refused() -> None:
    with pytest.raises(CalibrationError, match="0x480"):
        CameraModel.pinhole(0, 480, 1, 1, 0, 0)
