"""Where an object may be, judged by a depth map inside its 2D box: a hint to begin with, no label.

After the frustum reasoning of weakly supervised detectors; all of it is our choice (see docs/methods/skd_wm3d.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mono3d_kd_core.distillation.boxes2d import Boxes2D
from mono3d_kd_core.distillation.densify import DepthMap
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix

CENTRAL = np.sqrt(0.5)
"""Share of a box's width and height whose area is half of the box's."""
PERCENTILES = (20, 60)
"""Of the depths there: nearer ones may be another object's, farther ones are the background's."""
FEWEST = 8
ORIENTED = 2.5
"""Metres; the depth of classes that are shorter on average shows no heading."""
ELONGATED = 2.0
PLAUSIBLE = (0.7, 1.4)
"""Depth as a share of what the box's height suggests. Else the map shows another object, or the background."""
BODY = (0.1, 0.8)
"""Share of a box's height, from above, in which neither roof's edge nor road is looked at for the heading."""


class Pseudo(NamedTuple):
    """Of K objects: depth (K,) metres of the centre before the image plane; alpha (K,) radians, right up to a half turn;
    NaN where the map does not tell."""

    depth: Matrix
    alpha: Matrix


def pseudo_objects(
    seen: Boxes2D, depth: DepthMap, camera: CameraModel, sizes: Mapping[str, tuple[float, float, float]]
) -> Pseudo:
    """Look at a depth map (H,W) inside the boxes; sizes are the classes' mean length, width, height."""
    rows = [
        _one(box, depth, camera, sizes[str(name)], bool(cut[[1, 3]].any()))
        for box, cut, name in zip(seen.box, seen.cut, seen.label)
    ]
    table = np.array(rows, np.float64).reshape(-1, 2)
    return Pseudo(table[:, 0], table[:, 1])


def _one(
    box: Matrix, depth: DepthMap, camera: CameraModel, size: tuple[float, float, float], cut: bool
) -> tuple[float, float]:
    length, width, height = size
    surface = _surface(box, depth)
    # As far as something of this class is that looks so tall; what is much nearer stands before it.
    usual = camera.intrinsics[1, 1] * height / (box[3] - box[1])
    if not cut and not PLAUSIBLE[0] < surface / usual < PLAUSIBLE[1]:
        return np.nan, np.nan
    middle = (box[:2] + box[2:]) / 2
    ray = camera.rays(middle[None])[0, [0, 2]]
    bearing = float(np.arctan2(*ray))
    if not np.isfinite(surface):
        return np.nan, np.nan
    turn = _axis(box, depth, camera, surface, length, width) if length >= ORIENTED else np.nan
    if np.isfinite(turn):
        # rotation_y points along (cos, -sin) of (x, z); the ray, along (sin, cos) of the bearing.
        along, across = abs(np.sin(bearing - turn)), abs(np.cos(bearing - turn))
        reach = min(length / 2 / max(along, 1e-6), width / 2 / max(across, 1e-6))
    else:
        reach = (length + width) / 4
    return surface + reach * np.cos(bearing), turn - bearing


def _surface(box: Matrix, depth: DepthMap) -> float:
    """Return the mean depth of what the middle of a box shows; NaN where hardly anything is known."""
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * CENTRAL
    known = _window(depth, np.concatenate([middle - half, middle + half]))[2]
    known = known[known > 0]
    if len(known) < FEWEST:
        return float("nan")
    low, high = np.percentile(known, PERCENTILES)
    return float(known[(known >= low) & (known <= high)].mean())


def _axis(box: Matrix, depth: DepthMap, camera: CameraModel, surface: float, length: float, width: float) -> float:
    """Return rotation_y of the axis along which the surface extends, seen from above; NaN where none stands out."""
    top, bottom = box[1] + np.array(BODY) * (box[3] - box[1])
    rows, columns, known = _window(depth, np.array([box[0], top, box[2], bottom]))
    chosen = (known > surface - width) & (known < surface + length)
    if chosen.sum() < FEWEST:
        return float("nan")
    points = camera.unproject(np.column_stack([columns[chosen], rows[chosen]]), known[chosen])[:, [0, 2]]
    centred = points - points.mean(0)
    spread, axes = np.linalg.eigh(centred.T @ centred)
    if spread[1] < ELONGATED**2 * spread[0]:
        return float("nan")
    x, z = axes[:, 1]
    extent = np.ptp(np.percentile(centred @ axes[:, 1], [2.5, 97.5]))
    # What is shorter than a side must be the front or the rear.
    return float(np.arctan2(-z, x) if extent > (length + width) / 2 else np.arctan2(x, z))


def _window(depth: DepthMap, region: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Return rows, columns and depths of the pixels in a region, each flat."""
    left, top, right, bottom = np.rint(region).astype(int)
    left, top = max(left, 0), max(top, 0)
    inside = depth[top : max(bottom + 1, top), left : max(right + 1, left)]
    rows, columns = np.indices(inside.shape)
    return (rows + top).ravel().astype(float), (columns + left).ravel().astype(float), inside.ravel().astype(float)
