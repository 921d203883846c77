"""Merge suppression: overlapping boxes become their median, and their scores add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.overlap import iou_3d
from mono3d_kd_core.geometry.rigid import Matrix

Rows = NDArray[np.float32]
"""Boxes (N,7): x, y, z of the bottom centre (y down), length, height, width, rotation about y."""


@dataclass(frozen=True)
class Merged:
    """The boxes (M,7) that are left, their scores (M,), and the candidates (M,) that they grew from."""

    rows: Rows
    score: Matrix
    seed: NDArray[np.int64]


def overlap(a: Rows, b: Rows) -> Matrix:
    """Return the 3D intersection over union (N,M)."""
    return iou_3d(_z_up(a), _z_up(b))


def merge(rows: Rows, score: NDArray[np.float32], threshold: float) -> Merged:
    """Merge candidates that overlap (Shi & Rajkumar, CVPR 2020, algorithm 1, as published with the weights).

    The best candidate left absorbs those that overlap it by more than `threshold`. It becomes the median of all, number by
    number, the angle too; its score is its own plus those of the absorbed, each weighted by its overlap with the median
    box. The result is in falling order of the seeds' own scores; equal ones keep their order.
    """
    order = np.argsort(-score, kind="stable")
    between = overlap(rows, rows)
    alive = np.ones(len(rows), np.bool_)
    merged, total, seeds = [], [], []
    for seed in order:
        if not alive[seed]:
            continue
        alive[seed] = False
        absorbed = np.flatnonzero(alive & (between[seed] > threshold))
        alive[absorbed] = False
        median = np.median(rows[np.append(absorbed, seed)], axis=0).astype(np.float32)
        weights = overlap(median[None], rows[absorbed])[0]
        merged.append(median)
        total.append(float(score[seed]) + float(weights @ score[absorbed].astype(np.float64)))
        seeds.append(seed)
    return Merged(np.array(merged, np.float32).reshape(-1, 7), np.array(total), np.array(seeds, np.int64))


def _z_up(rows: Rows) -> Matrix:
    """Return x, y, z of the middle, length, width, height, yaw in a z-up frame."""
    x, y, z, length, height, width, yaw = rows.astype(np.float64).T
    return np.column_stack([z, -x, height / 2 - y, length, width, height, -yaw - np.pi / 2])
