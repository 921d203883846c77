"""From the plain values of a sensor_msgs/CameraInfo to a camera, by the rules of ROS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel, Distortion
from mono3d_kd_core.geometry.distortion import COEFFICIENTS
from mono3d_kd_core.geometry.rigid import Matrix

_ALIASES = {"fisheye": "equidistant"}


@dataclass(frozen=True)
class Window:
    """A region of interest in pixels of the full, unbinned image; zero width or height means all of it."""

    x: int = 0
    y: int = 0
    width: int = 0
    height: int = 0


def from_camera_info(
    width: int,
    height: int,
    distortion_model: str,
    D: ArrayLike,
    K: ArrayLike,
    R: ArrayLike = (),
    P: ArrayLike = (),
    *,
    binning: tuple[int, int] = (0, 0),
    roi: Window | None = None,
    rectified: bool,
    name: str = "camera_info",
) -> CameraModel:
    """Return the camera of the image as it is sent: window and binning are applied to the full-resolution calibration.

    `rectified` tells which image goes with it (image_rect: P and R; image_raw, image_color: K and D). A binning of 0
    means 1. Coefficients that are all zero, or absent from plumb_bob and rational_polynomial, mean no distortion.
    `name` is the topic or file, for messages. Raises CalibrationError for an uncalibrated camera (K[0] = 0), an unknown
    distortion model, D of a wrong length, and a raw image without any distortion model.
    """
    try:
        camera = _full(width, height, distortion_model, D, K, R, P, rectified)
        if roi is not None and roi.width > 0 and roi.height > 0:
            camera = camera.cropped(roi.x, roi.y, roi.width, roi.height)
        bx, by = (max(1, count) for count in binning)
        return camera.binned(bx, by) if (bx, by) != (1, 1) else camera
    except CalibrationError as error:
        raise CalibrationError(f"{name}: {error}") from None


def _full(
    width: int, height: int, model: str, D: ArrayLike, K: ArrayLike, R: ArrayLike, P: ArrayLike, rectified: bool
) -> CameraModel:
    intrinsics, projection = _matrix(K, (3, 3), "K"), _matrix(P, (3, 4), "P")
    rotation = _matrix(R, (3, 3), "R")
    if rectified and projection[0, 0] == 0:
        raise CalibrationError("P is empty, so the rectified image has no calibration; calibrate, or use the raw image")
    if not rectified and intrinsics[0, 0] == 0:
        raise CalibrationError("K[0] is zero: the camera is not calibrated (run camera_calibration)")
    rotation = rotation if rotation.any() else np.eye(3)
    lens, coefficients = _distortion(model.strip(), np.asarray(D, np.float64).ravel(), rectified)
    return CameraModel(width, height, intrinsics, lens, coefficients, rotation, projection, rectified)


def _matrix(values: ArrayLike, shape: tuple[int, int], name: str) -> Matrix:
    """Return the (rows, columns) matrix of row-major numbers; zeros where there are none."""
    numbers = np.asarray(values, np.float64).ravel()
    if numbers.size == 0:
        return np.zeros(shape)
    if numbers.size != shape[0] * shape[1]:
        raise CalibrationError(f"{name} has {numbers.size} numbers, expected {shape[0] * shape[1]}")
    return numbers.reshape(shape)


def _distortion(model: str, D: Matrix, rectified: bool) -> tuple[Distortion, Matrix]:
    nothing: tuple[Distortion, Matrix] = ("none", np.zeros(0))
    model = _ALIASES.get(model, model)
    if model == "":
        if rectified:
            return nothing
        raise CalibrationError(
            "distortion_model is empty, so the lens of the raw image is unknown and it cannot be rectified; "
            "publish the model (plumb_bob with zeros for an ideal camera), or use the rectified image"
        )
    if model not in COEFFICIENTS:
        raise CalibrationError(f'unknown distortion model "{model}"; known are {", ".join(list(COEFFICIENTS)[1:])}')
    if model in ("plumb_bob", "rational_polynomial") and D.size == 0:
        return nothing
    if len(D) not in COEFFICIENTS[model]:
        expected = " or ".join(map(str, COEFFICIENTS[model]))
        raise CalibrationError(f"distortion model {model}: D has {len(D)} numbers, expected {expected}")
    # A fisheye lens without coefficients still bends: only the polynomial models vanish with them.
    if model != "equidistant" and not D.any():
        return nothing
    return model, D  # type: ignore[return-value]
