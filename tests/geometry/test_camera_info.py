from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera_info import Window, from_camera_info

K = [500.0, 0, 319.5, 0, 500, 239.5, 0, 0, 1]
P = [450.0, 0, 310, -45, 0, 450, 230, 0, 0, 0, 1, 0]
R = np.eye(3).ravel()


def camera(**changes: Any) -> Any:
    values: dict[str, Any] = {
        "width": 640, "height": 480, "distortion_model": "plumb_bob", "D": [-0.2, 0.1, 0, 0, 0], "K": K, "R": R, "P": P,
        "rectified": False,
    }  # fmt: skip
    return from_camera_info(**{**values, **changes})


def test_a_raw_image_goes_with_k_and_d() -> None:
    raw = camera()
    assert (raw.distortion, raw.rectified) == ("plumb_bob", False)
    np.testing.assert_array_equal(raw.intrinsics.ravel(), K)


def test_a_rectified_image_goes_with_p() -> None:
    rectified = camera(rectified=True)
    np.testing.assert_array_equal(rectified.intrinsics, np.reshape(P, (3, 4))[:, :3])
    assert rectified.offset == pytest.approx([-0.1, 0, 0])


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial"])
@pytest.mark.parametrize("D", [[], [0.0] * 8])
def test_coefficients_that_do_nothing_are_no_distortion(model: str, D: list[float]) -> None:
    assert camera(distortion_model=model, D=D[:5] if model == "plumb_bob" else D).distortion == "none"


def test_a_fisheye_without_coefficients_still_bends() -> None:
    assert camera(distortion_model="equidistant", D=[0.0] * 4).distortion == "equidistant"


def test_unset_r_and_p_are_the_raw_ones() -> None:
    plain = camera(R=np.zeros(9), P=np.zeros(12))
    np.testing.assert_array_equal(plain.R, np.eye(3))
    np.testing.assert_array_equal(plain.P[:, :3].ravel(), K)


@pytest.mark.parametrize("binning", [(0, 0), (1, 1), (0, 1)])
def test_no_binning_may_be_written_as_zero(binning: tuple[int, int]) -> None:
    assert (camera(binning=binning).width, camera(binning=binning).height) == (640, 480)


def test_window_and_binning_describe_the_image_as_sent() -> None:
    # Pixel (100, 60) of the full image starts the window; blocks of 2x4 put the full pixel 100.5, 61.5 at 0, 0.
    sent = camera(D=[], binning=(2, 4), roi=Window(100, 60, 400, 320))
    assert (sent.width, sent.height) == (200, 80)
    ray = np.array([[(100.5 - 319.5) / 500, (61.5 - 239.5) / 500, 1.0]])
    assert sent.project(ray)[0][0] == pytest.approx([0, 0])
    assert (sent.K[0, 0], sent.K[1, 1]) == (250, 125)


def test_an_empty_window_is_the_whole_image() -> None:
    assert camera(roi=Window(10, 10, 0, 0)).width == 640


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"K": np.zeros(9)}, r"/front: K\[0\] is zero"),
        ({"P": np.zeros(12), "rectified": True}, "P is empty"),
        ({"distortion_model": "", "D": []}, "distortion_model is empty"),
        ({"distortion_model": "double_sphere"}, 'unknown distortion model "double_sphere"'),
        ({"D": [0.1, 0.2, 0.3]}, "D has 3 numbers, expected 4 or 5"),
        ({"distortion_model": "equidistant", "D": []}, "D has 0 numbers, expected 4"),
        ({"K": [1.0, 2, 3]}, "K has 3 numbers, expected 9"),
        ({"width": 0}, "resolution is 0x480"),
    ],
)
def test_refuses_in_words(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        camera(name="/front", **changes)


def test_a_rectified_image_needs_no_lens() -> None:
    assert camera(distortion_model="", D=[], rectified=True).distortion == "none"
