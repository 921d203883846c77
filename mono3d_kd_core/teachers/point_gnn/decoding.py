"""From the network's responses to boxes: the box code, the rules of acceptance, and the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.teachers.point_gnn.merging import Merged, Rows

MEDIAN_SIZE = np.array([3.88, 1.5, 1.63], np.float32)
"""Length, height, width in metres of the median car, in which box codes are expressed."""
CAR_CLASSES = (1, 2)
"""Cars along the camera's x axis, and cars along its z axis; 0 is background and 3 anything else that was labelled."""
MIN_PROBABILITY = 0.25
ORIGINAL_IMAGE = (1242, 375)
"""The size that the original clips every box to."""


@dataclass(frozen=True)
class Candidates:
    """Boxes (N,7) as `merging.Rows`, their probability (N,), and the keypoint (N,3) that proposed each."""

    rows: Rows
    probability: NDArray[np.float32]
    keypoint: NDArray[np.float32]


def candidates(keypoints: NDArray[np.float32], logits: NDArray[np.float32], codes: NDArray[np.float32]) -> Candidates:
    """Return the boxes of keypoints (K,3) that are probably cars, from logits (K,4) and codes (K,4,7); float32 throughout.

    The offset is along the camera's axes, in units of length, height, width; sizes are logarithms; the angle is in units
    of 45 degrees from the class's own axis. So the heading is known modulo 180 degrees only.
    """
    exponential = np.exp(logits - logits.max(1, keepdims=True))
    probability = exponential / exponential.sum(1, keepdims=True)
    node, kind = np.nonzero(probability[:, CAR_CLASSES] > MIN_PROBABILITY)
    kind = np.asarray(CAR_CLASSES)[kind]
    code = codes[node, kind]
    axis = np.where(kind == 1, np.float32(0), np.float32(np.pi / 2))
    rows = np.column_stack(
        [
            keypoints[node] + code[:, :3] * MEDIAN_SIZE,
            MEDIAN_SIZE * np.exp(code[:, 3:6]),
            code[:, 6] * np.float32(np.pi / 4) + axis,
        ]
    )
    return Candidates(rows.astype(np.float32), probability[node, kind], keypoints[node])


def confidence(merged: Merged, found: Candidates) -> Matrix:
    """Return the final scores (M,): the merged ones times 1 + how much of the box its points span. Not bounded by 1."""
    return np.asarray(merged.score * [1 + _spanned(row, found.keypoint) for row in merged.rows.astype(np.float64)])


def _spanned(row: Matrix, points: NDArray[np.float32]) -> float:
    """Return the share of a box's volume that the points inside it span along its sides."""
    relative = points.astype(np.float64) - row[:3]
    cos, sin = np.cos(row[6]), np.sin(row[6])
    along = cos * relative[:, 0] - sin * relative[:, 2]
    across = sin * relative[:, 0] + cos * relative[:, 2]
    local = np.column_stack([along, relative[:, 1] + row[4] / 2, across])
    inside = local[(np.abs(local) < row[3:6] / 2).all(1)]
    return float(np.prod(np.ptp(inside, axis=0) / row[3:6])) if len(inside) else 0.0


def original_truncation(rows: Rows, intrinsics: Matrix) -> Matrix:
    """Return the share (M,) of each box's 2D box that lies outside the picture, as the original computes it.

    It projects the eight corners with K alone and takes every picture to have the size `ORIGINAL_IMAGE`.
    """
    x, y, z, length, height, width, yaw = rows.astype(np.float64).T[..., None]
    along = np.array([1, 1, -1, -1] * 2) * length / 2
    across = np.array([1, -1, -1, 1] * 2) * width / 2
    cos, sin = np.cos(yaw), np.sin(yaw)
    corners = [cos * along + sin * across + x, y - np.array([0] * 4 + [1] * 4) * height, cos * across - sin * along + z]
    projected = np.stack(corners, -1) @ intrinsics.T
    with np.errstate(divide="ignore", invalid="ignore"):
        uv = projected[..., :2] / projected[..., 2:]
        low, high = uv.min(1), uv.max(1)
        clipped = np.clip(high, 0, ORIGINAL_IMAGE) - np.clip(low, 0, ORIGINAL_IMAGE)
        return np.asarray(1 - clipped.prod(1) / (high - low).prod(1))
