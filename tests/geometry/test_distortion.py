from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.distortion import Lens
from tests.geometry.cameras import LENSES

FOCAL = 1000.0  # px: turns normalised errors into pixels


def lens(name: str, scale: float = 1.0) -> Lens:
    model, D = LENSES[name]
    return Lens(model, scale * np.array(D))  # type: ignore[arg-type]


def grid(reach: float) -> np.ndarray:
    steps = np.linspace(-reach, reach, 21)
    return np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)


@pytest.mark.parametrize("name", [name for name in LENSES if name != "equidistant"])
def test_distort_equals_opencv(name: str) -> None:
    xy = grid(0.5)
    points = np.column_stack([xy, np.ones(len(xy))])
    D = np.array(LENSES[name][1]) if LENSES[name][1] else None
    expected, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), np.eye(3), D)
    np.testing.assert_allclose(lens(name).distort(xy), expected.reshape(-1, 2), atol=1e-12)


def test_distort_equals_opencv_for_fisheye() -> None:
    xy = grid(2.0)
    points = np.column_stack([xy, np.ones(len(xy))])
    D = np.array(LENSES["equidistant"][1])
    expected, _ = cv2.fisheye.projectPoints(points[:, None], np.zeros(3), np.zeros(3), np.eye(3), D)
    np.testing.assert_allclose(lens("equidistant").distort(xy), expected.reshape(-1, 2), atol=1e-12)


@pytest.mark.parametrize("name", ["plumb_bob_5", "rational_8", "prism_12", "tilt_14"])
def test_undistort_equals_opencv(name: str) -> None:
    distorted = grid(0.3)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 200, 1e-14)
    undistort = getattr(cv2, "undistortPointsIter", cv2.undistortPoints)  # OpenCV 5 has one name for both
    expected = undistort(
        distorted[:, None], np.eye(3), np.array(LENSES[name][1]), R=np.eye(3), P=np.eye(3), criteria=criteria
    )
    np.testing.assert_allclose(lens(name).undistort(distorted), expected.reshape(-1, 2), atol=1e-9)


def test_undistort_equals_opencv_for_fisheye() -> None:
    distorted = grid(0.7)
    expected = cv2.fisheye.undistortPoints(distorted[:, None], np.eye(3), np.array(LENSES["equidistant"][1]))
    np.testing.assert_allclose(lens("equidistant").undistort(distorted), expected.reshape(-1, 2), atol=1e-6)


@given(name=st.sampled_from(sorted(LENSES)), scale=st.floats(0.1, 1.3), seed=st.integers(0, 10**6))
def test_undistort_inverts_distort_to_a_millionth_of_a_pixel(name: str, scale: float, seed: int) -> None:
    model = lens(name, scale)
    radius = min(0.95 * model.max_radius, 1.2 if name == "equidistant" else 0.6)
    rng = np.random.default_rng(seed)
    r, phi = radius * np.sqrt(rng.random(200)), rng.uniform(0, 2 * np.pi, 200)
    xy = np.column_stack([r * np.cos(phi), r * np.sin(phi)])
    assert FOCAL * np.abs(model.undistort(model.distort(xy)) - xy).max() <= 1e-6


def test_points_far_off_axis_do_not_fold_back() -> None:
    # r (1 - 0.3 r^2) grows up to r = sqrt(1 / 0.9) and then falls: 1.6 would land where 0.6 does.
    model = Lens("plumb_bob", np.array([-0.3, 0, 0, 0]))
    assert model.max_radius == pytest.approx(np.sqrt(1 / 0.9))
    inside, outside = model.distort(np.array([[1.0, 0.0], [1.6, 0.0]]))
    assert inside == pytest.approx([0.7, 0])
    assert np.isnan(outside).all()


def test_what_the_lens_cannot_produce_has_no_inverse() -> None:
    model = Lens("plumb_bob", np.array([-0.3, 0, 0, 0]))
    highest = model.distort(np.array([[0.9999 * model.max_radius, 0]]))[0, 0]
    assert np.isfinite(model.undistort(np.array([[0.99 * highest, 0]]))).all()
    assert np.isnan(model.undistort(np.array([[1.1 * highest, 0]]))).all()


def test_a_pole_of_the_rational_model_bounds_the_field() -> None:
    # 1 / (1 - r^2) has its pole at r = 1.
    assert Lens("rational_polynomial", np.array([0, 0, 0, 0, 0, -1.0, 0, 0])).max_radius == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(LENSES))
def test_the_mirrored_lens_bends_the_mirrored_point(name: str) -> None:
    mirror = np.array([-1.0, 1.0])
    xy = grid(0.4)
    np.testing.assert_allclose(lens(name).mirrored().distort(xy * mirror), lens(name).distort(xy) * mirror, atol=1e-15)


@pytest.mark.parametrize("name", sorted(LENSES))
def test_no_points_are_no_trouble(name: str) -> None:
    nothing = np.empty((0, 2))
    assert lens(name).undistort(lens(name).distort(nothing)).shape == (0, 2)


def test_refuses_what_it_does_not_know() -> None:
    with pytest.raises(CalibrationError, match="unknown distortion model"):
        Lens("kannala", np.zeros(4))  # type: ignore[arg-type]
    with pytest.raises(CalibrationError, match="D has 6 numbers, expected 8 or 12 or 14"):
        Lens("rational_polynomial", np.zeros(6))
    with pytest.raises(CalibrationError, match="finite"):
        Lens("plumb_bob", np.array([np.nan, 0, 0, 0]))
