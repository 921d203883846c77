from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.doctor.calibration import (
    camera_findings,
    describe_camera,
    describe_extrinsics,
    extrinsics_findings,
    field_of_view,
)
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse, rotation_z, transform

CAMERA = CameraModel.pinhole(1000, 500, 500, 500, 499.5, 249.5)
BESIDE = T_CAMERA_BODY @ transform(np.eye(3), [-0.27, 0.06, 0.08])


def test_the_field_of_view_of_a_pinhole() -> None:
    assert field_of_view(CAMERA) == pytest.approx((90, np.degrees(2 * np.arctan(0.5))))


def test_the_field_of_view_of_a_fisheye_is_its_angle() -> None:
    fisheye = CameraModel(1000, 500, CAMERA.K, "equidistant", np.zeros(4))
    assert field_of_view(fisheye)[0] == pytest.approx(np.degrees(2.0))


def test_a_camera_in_words() -> None:
    words = " ".join(describe_camera(CAMERA))
    assert "1000 x 500" in words
    assert "90 x 53 degrees" in words


def test_a_calibration_of_two_images_says_both() -> None:
    P = np.column_stack([CAMERA.K * [[0.9], [0.9], [1]], np.zeros(3)])
    words = " ".join(describe_camera(CameraModel(1000, 500, CAMERA.K, P=P, rectified=True)))
    assert "K has focal length 500.0 x 500.0 and none, P has 450.0 x 450.0" in words
    assert "differ" not in " ".join(describe_camera(CAMERA))


def test_distortion_is_given_in_pixels() -> None:
    # At the left border r = 1: there r (1 + k1 r^2) moves by 500 k1 pixels, more in the corners.
    barrel = CameraModel(1000, 500, CAMERA.K, "plumb_bob", np.array([-0.02, 0, 0, 0]))
    assert describe_camera(barrel)[-1] in {f"distortion moves pixels by up to {n} px" for n in (14, 15, 16)}


def test_a_good_camera_raises_no_doubt() -> None:
    assert camera_findings(CAMERA) == []


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (CameraModel.pinhole(1000, 500, 500, 250, 499.5, 249.5), "resized along one axis"),
        (CameraModel.pinhole(1000, 500, 500, 500, 249.5, 124.5), "far from the middle"),
        (CameraModel.pinhole(200, 100, 1000, 1000, 99.5, 49.5), "field of view is only 11"),
        (CameraModel(1000, 500, CAMERA.K, "plumb_bob", np.array([-0.4, 0, 0, 0])), "does not reach the corners"),
    ],
)
def test_doubtful_numbers_are_named(camera: CameraModel, words: str) -> None:
    assert words in " ".join(finding.text for finding in camera_findings(camera))


def test_extrinsics_in_words() -> None:
    place, direction = describe_extrinsics(BESIDE)
    assert place == "the LiDAR is 0.27 m behind, 0.06 m left of and 0.08 m above the camera"
    assert direction.startswith("its x axis points 0.0 degrees")


def test_a_turned_lidar_in_words() -> None:
    words = describe_extrinsics(T_CAMERA_BODY @ transform(rotation_z(np.radians(-30)), [1, -2, -0.5]))
    assert words[0] == "the LiDAR is 1.00 m in front of, 2.00 m right of and 0.50 m below the camera"
    assert "30.0 degrees to the right of the camera's view" in words[1]


def test_good_extrinsics_are_fine() -> None:
    assert [f.severity for f in extrinsics_findings(BESIDE, 0.2, CAMERA)] == ["fine"]


@pytest.mark.parametrize(
    ("T", "in_view", "words"),
    [
        (BESIDE, 0.001, "only 0.1 % of the points"),
        (inverse(T_CAMERA_BODY), 0.2, "z axis leans 90 degrees"),
        (np.eye(4), 0.2, "z axis leans 90 degrees"),
        (T_CAMERA_BODY @ transform(np.eye(3), [-270, 60, 80]), 0.2, "are these metres?"),
    ],
)
def test_doubtful_extrinsics_are_named(T: np.ndarray, in_view: float, words: str) -> None:
    warnings = [f.text for f in extrinsics_findings(T, in_view, CAMERA) if f.severity == "warning"]
    assert words in " ".join(warnings)
