"""Rigid transforms as 4x4 float64 matrices. `T_a_b` maps points of frame b into frame a."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Matrix = NDArray[np.float64]

T_CAMERA_BODY: Matrix = np.array(
    [[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
"""Maps the z-up body frame of a camera (x forward, y left, z up) into its optical frame (REP-103)."""


def transform(rotation: ArrayLike, translation: ArrayLike) -> Matrix:
    """Build a (4,4) transform from a (3,3) rotation and a (3,) translation in metres."""
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = translation
    return result


def inverse(T: Matrix) -> Matrix:
    """Invert a (4,4) rigid transform in closed form."""
    rotation = T[:3, :3].T
    return transform(rotation, -rotation @ T[:3, 3])


def apply(T: Matrix, points: NDArray[np.floating]) -> Matrix:
    """Map points (..., 3) by T; float64 out."""
    return np.asarray(points, np.float64) @ T[:3, :3].T + T[:3, 3]


def rotation_z(yaw: float) -> Matrix:
    """Return the (3,3) rotation about +z by `yaw` radians, counter-clockwise."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def wrap_angle(angle: ArrayLike) -> Matrix:
    """Wrap radians into [-pi, pi)."""
    return (np.asarray(angle, np.float64) + np.pi) % (2 * np.pi) - np.pi
