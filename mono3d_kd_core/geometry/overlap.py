"""How much boxes overlap, on the image, from above and in space, and non-maximum suppression.

Rows of boxes are arrays: (N,4) x1, y1, x2, y2 on the image; (N,5) x, y, length, width, yaw from above (`Boxes3D.bev`);
(N,7) x, y, z, length, width, height, yaw in space (`rows_3d`), z in the middle of the box. Boxes without area, or with a
NaN, overlap nothing. The compiled kernels are cached beside this file.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix

Indices = NDArray[np.int64]
Footprint = tuple[float, float, float, float, float]
"""x, y, length, width, yaw."""

# What `_measure` measures. Plain numbers: numba caches no kernel that takes a function.
_FOOTPRINT, _BEV, _VOLUME, _IMAGE, _NEARNESS = range(5)


def rows_3d(boxes: Boxes3D) -> Matrix:
    """Return (N,7) x, y, z, length, width, height, yaw."""
    return np.column_stack([boxes.centre, boxes.size, boxes.yaw])


def bev_intersection(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the areas (N,M), m², that footprints a (N,5) and b (M,5) share."""
    return _matrix(_rows(a, 5), _rows(b, 5), _FOOTPRINT)


def bev_intersection_aligned(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the area (N,), m², that each footprint a[i] (N,5) shares with b[i]."""
    return _aligned(*_same_length(_rows(a, 5), _rows(b, 5)), _FOOTPRINT)


def bev_iou(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,M) of footprints a (N,5) and b (M,5)."""
    return _matrix(_rows(a, 5), _rows(b, 5), _BEV)


def bev_iou_aligned(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,) of each footprint a[i] (N,5) with b[i]."""
    return _aligned(*_same_length(_rows(a, 5), _rows(b, 5)), _BEV)


def iou_3d(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,M) of the volumes a (N,7) and b (M,7)."""
    return _matrix(_rows(a, 7), _rows(b, 7), _VOLUME)


def iou_3d_aligned(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,) of each volume a[i] (N,7) with b[i]."""
    return _aligned(*_same_length(_rows(a, 7), _rows(b, 7)), _VOLUME)


def iou_2d(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,M) of the image boxes a (N,4) and b (M,4)."""
    return _matrix(_rows(a, 4), _rows(b, 4), _IMAGE)


def iou_2d_aligned(a: ArrayLike, b: ArrayLike) -> Matrix:
    """Return the intersection over union (N,) of each image box a[i] (N,4) with b[i]."""
    return _aligned(*_same_length(_rows(a, 4), _rows(b, 4)), _IMAGE)


def nms_bev(
    boxes: ArrayLike, score: ArrayLike, threshold: float, group: ArrayLike | None = None, limit: int | None = None
) -> Indices:
    """Keep the best of footprints (N,5) that overlap; return the indices kept (K,), best score first.

    A box falls when its BEV IoU with a kept one is above `threshold`. Equal scores keep their order. Boxes of different
    `group` (N,), such as class names, do not see each other. At most `limit` boxes are kept.
    """
    return _suppress(_rows(boxes, 5), score, threshold, group, limit, _BEV)


def nms_3d(
    boxes: ArrayLike, score: ArrayLike, threshold: float, group: ArrayLike | None = None, limit: int | None = None
) -> Indices:
    """Like `nms_bev`, for volumes (N,7) and their 3D IoU."""
    return _suppress(_rows(boxes, 7), score, threshold, group, limit, _VOLUME)


def nms_distance(
    centres: ArrayLike, score: ArrayLike, radius: float, group: ArrayLike | None = None, limit: int | None = None
) -> Indices:
    """Like `nms_bev`, for points (N,2): one falls when it is nearer than `radius` metres to a kept one.

    This is the circle NMS of CenterPoint (Yin et al., CVPR 2021): cheap, for objects that cannot stand in each other.
    """
    return _suppress(_rows(centres, 2), score, -radius, group, limit, _NEARNESS)


def _rows(boxes: ArrayLike, columns: int) -> Matrix:
    rows = np.ascontiguousarray(boxes, np.float64)
    if rows.size == 0:
        return np.empty((0, columns))
    if rows.ndim != 2 or rows.shape[1] != columns:
        raise ValueError(f"boxes have the shape {rows.shape}, expected (N,{columns})")
    return rows


def _same_length(a: Matrix, b: Matrix) -> tuple[Matrix, Matrix]:
    if len(a) != len(b):
        raise ValueError(f"{len(a)} boxes against {len(b)}: an aligned overlap needs as many of each")
    return a, b


def _suppress(
    rows: Matrix, score: ArrayLike, threshold: float, group: ArrayLike | None, limit: int | None, measure: int
) -> Indices:
    score = np.asarray(score, np.float64).reshape(-1)
    if len(score) != len(rows):
        raise ValueError(f"{len(rows)} boxes with {len(score)} scores")
    order = np.argsort(-score, kind="stable")
    codes = np.zeros(len(rows), np.int64)
    if group is not None:
        codes = np.unique(np.asarray(group).reshape(len(rows)), return_inverse=True)[1].reshape(-1).astype(np.int64)
    kept = _suppress_ordered(rows[order], codes[order], threshold, len(rows) if limit is None else limit, measure)
    return np.asarray(order[kept], np.int64)


@njit(cache=True, nogil=True)
def shared_area(a: Footprint, b: Footprint) -> float:
    """Return the area that two footprints share. For compiled callers.

    Sutherland-Hodgman: the corners of `a`, in the frame of `b`, are clipped by the four sides of `b`. Nothing is divided by
    but the difference of two distances of opposite sign, so coincident, touching and parallel edges need no special case.
    """
    if not (a[2] > 0 and a[3] > 0 and b[2] > 0 and b[3] > 0):
        return 0.0
    dx, dy = a[0] - b[0], a[1] - b[1]
    reach = 0.5 * (math.hypot(a[2], a[3]) + math.hypot(b[2], b[3]))
    if not dx * dx + dy * dy <= reach * reach:  # also where a coordinate is NaN
        return 0.0
    cos_b, sin_b = math.cos(b[4]), math.sin(b[4])
    centre_x, centre_y = dx * cos_b + dy * sin_b, dy * cos_b - dx * sin_b
    cos_ab, sin_ab = math.cos(a[4] - b[4]), math.sin(a[4] - b[4])
    # Eight corners at most; were rounding to bend the outline, each cut would still add at most half as many again.
    x, y, clipped_x, clipped_y = np.empty(20), np.empty(20), np.empty(20), np.empty(20)
    for k in range(4):
        along = 0.5 * a[2] if k == 0 or k == 3 else -0.5 * a[2]
        across = 0.5 * a[3] if k < 2 else -0.5 * a[3]
        x[k] = along * cos_ab - across * sin_ab + centre_x
        y[k] = along * sin_ab + across * cos_ab + centre_y
    corners = 4
    for side in range(4):
        limit = 0.5 * b[2] if side < 2 else 0.5 * b[3]
        sign = 1.0 if side % 2 == 0 else -1.0
        kept = 0
        for k in range(corners):
            following = k + 1 if k + 1 < corners else 0
            here = limit - sign * (x[k] if side < 2 else y[k])
            there = limit - sign * (x[following] if side < 2 else y[following])
            if here >= 0:
                clipped_x[kept], clipped_y[kept] = x[k], y[k]
                kept += 1
            if (here >= 0) != (there >= 0):
                t = here / (here - there)
                clipped_x[kept], clipped_y[kept] = x[k] + t * (x[following] - x[k]), y[k] + t * (y[following] - y[k])
                kept += 1
        corners = kept
        if corners < 3:
            return 0.0
        x, y, clipped_x, clipped_y = clipped_x, clipped_y, x, y
    doubled = 0.0
    for k in range(corners):
        following = k + 1 if k + 1 < corners else 0
        doubled += x[k] * y[following] - x[following] * y[k]
    return max(0.0, min(0.5 * doubled, a[2] * a[3], b[2] * b[3]))


@njit(cache=True, nogil=True)
def _image_iou(a: Matrix, b: Matrix) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if not (width > 0 and height > 0):
        return 0.0
    shared = width * height
    return float(shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))


@njit(cache=True, nogil=True)
def _volume_iou(a: Matrix, b: Matrix) -> float:
    height = min(a[2] + a[5] / 2, b[2] + b[5] / 2) - max(a[2] - a[5] / 2, b[2] - b[5] / 2)
    if not (a[5] > 0 and b[5] > 0 and height > 0):
        return 0.0
    shared = shared_area((a[0], a[1], a[3], a[4], a[6]), (b[0], b[1], b[3], b[4], b[6])) * min(height, a[5], b[5])
    return shared / (a[3] * a[4] * a[5] + b[3] * b[4] * b[5] - shared) if shared > 0 else 0.0


@njit(cache=True, nogil=True)
def _measure(a: Matrix, b: Matrix, measure: int) -> float:
    if measure == _VOLUME:
        return _volume_iou(a, b)
    if measure == _IMAGE:
        return _image_iou(a, b)
    if measure == _NEARNESS:
        return -math.hypot(a[0] - b[0], a[1] - b[1])
    shared = shared_area((a[0], a[1], a[2], a[3], a[4]), (b[0], b[1], b[2], b[3], b[4]))
    if measure == _FOOTPRINT or shared <= 0:
        return shared
    return float(shared / (a[2] * a[3] + b[2] * b[3] - shared))


@njit(cache=True, nogil=True)
def _matrix(a: Matrix, b: Matrix, measure: int) -> Matrix:
    result = np.empty((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            result[i, j] = _measure(a[i], b[j], measure)
    return result


@njit(cache=True, nogil=True)
def _aligned(a: Matrix, b: Matrix, measure: int) -> Matrix:
    result = np.empty(len(a))
    for i in range(len(a)):
        result[i] = _measure(a[i], b[i], measure)
    return result


@njit(cache=True, nogil=True)
def _suppress_ordered(rows: Matrix, group: Indices, threshold: float, limit: int, measure: int) -> Indices:
    """Greedy suppression of rows in falling order of score."""
    kept = np.empty(min(limit, len(rows)), np.int64)
    count = 0
    for i in range(len(rows)):
        if count >= limit:
            break
        alone = True
        for k in range(count):
            if group[kept[k]] == group[i] and _measure(rows[i], rows[kept[k]], measure) > threshold:
                alone = False
                break
        if alone:
            kept[count] = i
            count += 1
    return kept[:count]
