"""Cameras of every kind, as examples and as hypothesis strategies."""

from __future__ import annotations

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from mono3d_kd_core.geometry.camera import CameraModel

settings.register_profile("geometry", max_examples=40, deadline=None, derandomize=True)
settings.load_profile("geometry")

WIDTH, HEIGHT = 640, 400
K = np.array([[520.0, 0, 312.0], [0, 515.0, 205.0], [0, 0, 1]])
LENSES: dict[str, tuple[str, list[float]]] = {
    "none": ("none", []),
    "plumb_bob_4": ("plumb_bob", [-0.28, 0.07, 0.001, -0.0005]),
    "plumb_bob_5": ("plumb_bob", [-0.37, 0.2, 0.0009, 0.0008, -0.07]),
    "rational_8": ("rational_polynomial", [0.7, -0.3, 0.0006, -0.0004, 0.02, 1.05, -0.2, 0.01]),
    "prism_12": (
        "rational_polynomial",
        [-0.2, 0.05, 0.001, -0.002, 0.01, 0.03, 0.01, 0.002, 0.002, -0.001, 0.001, 0.0005],
    ),
    "tilt_14": (
        "rational_polynomial",
        [-0.2, 0.05, 0.001, -0.002, 0.01, 0.03, 0.01, 0.002, 0.002, -0.001, 0.001, 0.0005, 0.03, -0.05],
    ),
    "equidistant": ("equidistant", [-0.02, 0.01, -0.003, 0.001]),
}


def camera(lens: str) -> CameraModel:
    """A raw camera with one of `LENSES`."""
    model, D = LENSES[lens]
    return CameraModel(WIDTH, HEIGHT, K, model, np.array(D))  # type: ignore[arg-type]


def rotation(rx: float, ry: float, rz: float) -> np.ndarray:
    """A rotation from Euler angles, written out without the code under test."""
    cx, sx, cy, sy, cz, sz = np.cos(rx), np.sin(rx), np.cos(ry), np.sin(ry), np.cos(rz), np.sin(rz)
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


@st.composite
def any_camera(draw: st.DrawFn) -> CameraModel:
    """Raw or rectified, any lens, with skew, a rectification and an offset."""
    lens = draw(st.sampled_from(sorted(LENSES)))
    model, D = LENSES[lens]
    scale = draw(st.floats(0.2, 1.2))
    fx, fy = draw(st.floats(300, 1500)), draw(st.floats(300, 1500))
    cx, cy = draw(st.floats(250, 400)), draw(st.floats(150, 250))
    intrinsics = np.array([[fx, draw(st.floats(-3, 3)), cx], [0, fy, cy], [0, 0, 1]])
    small = st.floats(-0.05, 0.05)
    R = rotation(draw(small), draw(small), draw(small))
    P = np.column_stack([intrinsics, [draw(st.floats(-400, 50)), draw(st.floats(-2, 2)), 0.003]])
    P[0, 1] = 0
    return CameraModel(
        WIDTH, HEIGHT, intrinsics, model, scale * np.array(D), R=R, P=P, rectified=draw(st.booleans())  # type: ignore[arg-type]
    )  # fmt: skip


def pixels(camera: CameraModel, seed: int, count: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Random pixels (N,2) inside the image and depths (N,)."""
    rng = np.random.default_rng(seed)
    return rng.uniform([0, 0], [camera.width - 1, camera.height - 1], (count, 2)), rng.uniform(0.5, 80, count)
