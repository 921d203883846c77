"""Rigid transforms as 4x4 float64 matrices. `T_a_b` maps points of frame b into frame a.

Quaternions are x y z w, as in geometry_msgs, of unit length and with w >= 0 where this module makes them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.errors import CalibrationError

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


def is_rotation(rotation: Matrix, tolerance: float = 1e-3) -> bool:
    """Tell whether a (3,3) matrix is orthonormal and right-handed, each entry of R R^T within `tolerance`."""
    return bool(np.abs(rotation @ rotation.T - np.eye(3)).max() <= tolerance and np.linalg.det(rotation) > 0)


def angle_between(T_a: Matrix, T_b: Matrix) -> float:
    """Return the angle in radians, in [0, pi], by which the rotations of two transforms (or (3,3) rotations) differ."""
    relative = T_a[:3, :3].T @ T_b[:3, :3]
    axis = [relative[2, 1] - relative[1, 2], relative[0, 2] - relative[2, 0], relative[1, 0] - relative[0, 1]]
    return float(np.arctan2(np.linalg.norm(axis), np.trace(relative) - 1))


def quaternion_from_rotation(rotation: Matrix) -> Matrix:
    """Return the quaternion (4,) of a (3,3) rotation (Bar-Itzhack 2000: the eigenvector is stable at any angle)."""
    m = rotation
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m[0, 0] + m[1, 1] + m[2, 2]],
        ]
    )
    q: Matrix = np.linalg.eigh(k)[1][:, -1]
    return q if q[3] >= 0 else -q


def rotation_from_quaternion(quaternion: ArrayLike) -> Matrix:
    """Return the (3,3) rotation of a quaternion (4,) of any length but zero (CalibrationError)."""
    q = np.asarray(quaternion, np.float64).reshape(4)
    norm = float(np.linalg.norm(q))
    if not np.isfinite(norm) or norm < 1e-6:
        raise CalibrationError(f"the quaternion x y z w = {q.tolist()} is no rotation; was the message left unset?")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def multiply_quaternions(a: Matrix, b: Matrix) -> Matrix:
    """Return the Hamilton products (...,4) of quaternions (...,4): the rotation b, then a."""
    ax, ay, az, aw = np.moveaxis(np.asarray(a, np.float64), -1, 0)
    bx, by, bz, bw = np.moveaxis(np.asarray(b, np.float64), -1, 0)
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        -1,
    )


def slerp(a: Matrix, b: Matrix, fraction: float) -> Matrix:
    """Turn from the quaternion a (4,) towards b at constant rate, the short way round (Shoemake 1985)."""
    cosine = float(a @ b)
    a, cosine = (-a, -cosine) if cosine < 0 else (a, cosine)
    angle = float(np.arccos(min(1.0, cosine)))
    if angle < 1e-6:  # the chord equals the arc, and sin(angle) would lose its digits
        mixed = (1 - fraction) * a + fraction * b
    else:
        mixed = (np.sin((1 - fraction) * angle) * a + np.sin(fraction * angle) * b) / np.sin(angle)
    mixed = mixed / np.linalg.norm(mixed)
    return np.asarray(mixed if mixed[3] >= 0 else -mixed)


def from_pose(position: ArrayLike, quaternion: ArrayLike) -> Matrix:
    """Build the (4,4) transform of a pose: position (3,) in metres and quaternion (4,), which maps the child's points."""
    return transform(rotation_from_quaternion(quaternion), position)


def to_pose(T: Matrix) -> tuple[Matrix, Matrix]:
    """Return the position (3,) and the quaternion (4,) of a transform."""
    return T[:3, 3].copy(), quaternion_from_rotation(T[:3, :3])


def interpolate(T_a: Matrix, T_b: Matrix, fraction: float) -> Matrix:
    """Go from T_a (fraction 0) to T_b (1): the position along the line, the rotation by `slerp`, as tf2 does."""
    (position_a, a), (position_b, b) = to_pose(T_a), to_pose(T_b)
    return from_pose((1 - fraction) * position_a + fraction * position_b, slerp(a, b, fraction))


def wrap_angle(angle: ArrayLike) -> Matrix:
    """Wrap radians into [-pi, pi)."""
    return (np.asarray(angle, np.float64) + np.pi) % (2 * np.pi) - np.pi
