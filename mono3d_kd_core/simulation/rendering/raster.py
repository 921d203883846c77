"""Which triangle each ray of a camera meets first, and how far away."""

from __future__ import annotations

import math
from functools import cached_property

import numba
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel

Floats = NDArray[np.float32]
NEAR = 0.1
"""Metres: nothing nearer is drawn."""
CELLS = 96
STEEPEST = 12.0
"""Largest slope x/z or y/z of a ray that can be drawn: 85 degrees off the axis."""


class Lens:
    """The rays of a camera's pixels, and for any patch of directions the pixels that may look into it."""

    def __init__(self, camera: CameraModel) -> None:
        self.camera = camera
        v, u = np.mgrid[: camera.height, : camera.width]
        rays = camera.rays(np.column_stack([u.ravel(), v.ravel()]).astype(np.float64))
        with np.errstate(invalid="ignore"):
            slopes = rays[:, :2] / rays[:, 2:]
            bad = ~(np.isfinite(slopes).all(1) & (rays[:, 2] > 0) & (np.abs(slopes) < STEEPEST).all(1))
        if bad.mean() > 0.5:
            raise CalibrationError(
                f"the camera sees more than {2 * np.degrees(np.arctan(STEEPEST)):.0f} degrees, or nothing at all: "
                f"most of its {camera.width}x{camera.height} pixels have no ray; check the focal length and the distortion"
            )
        slopes[bad] = np.nan
        self.slopes: Floats = slopes.reshape(camera.height, camera.width, 2).astype(np.float32)
        """(H,W,2) x/z and y/z of each pixel's ray; NaN where the lens shows nothing."""

    @cached_property
    def intrinsics(self) -> NDArray[np.float64]:
        """fx, fy, cx, cy of a lens without distortion or skew, else empty."""
        M = self.camera.intrinsics
        straight = self.camera.rectified or not self.camera.D.any()
        plain = straight and M[0, 1] == 0 and np.allclose(self.camera.R, np.eye(3))
        return np.array([M[0, 0], M[1, 1], M[0, 2], M[1, 2]]) if plain else np.empty(0)

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """For each cell of a grid of slopes, the rectangle of pixels whose rays lie in it."""
        x, y = self.slopes[..., 0].astype(np.float64), self.slopes[..., 1].astype(np.float64)
        seen = np.isfinite(x)
        low = np.array([x[seen].min(), y[seen].min()])
        step = np.maximum(np.array([x[seen].max(), y[seen].max()]) - low, 1e-6) / CELLS
        v, u = np.nonzero(seen)
        i = np.clip(((x[seen] - low[0]) / step[0]).astype(int), 0, CELLS - 1)
        j = np.clip(((y[seen] - low[1]) / step[1]).astype(int), 0, CELLS - 1)
        table = np.empty((CELLS, CELLS, 4), np.int32)
        table[...] = (2**30, -1, 2**30, -1)
        np.minimum.at(table[..., 0], (i, j), u)
        np.maximum.at(table[..., 1], (i, j), u)
        np.minimum.at(table[..., 2], (i, j), v)
        np.maximum.at(table[..., 3], (i, j), v)
        return np.array([*low, *step]), table

    def bounds(self, corners: Floats) -> NDArray[np.int32]:
        """Return for each triangle (F,3,3) of the camera's frame a rectangle (F,4) of pixels u0, u1, v0, v1 around it."""
        if len(self.intrinsics):
            return np.asarray(_pinhole_bounds(corners, self.intrinsics, self.camera.width, self.camera.height))
        grid, table = self._table
        return np.asarray(_lens_bounds(corners, grid, table))

    def draw(self, corners: Floats) -> tuple[Floats, NDArray[np.int32]]:
        """Return the depth along z (H,W), inf where there is nothing, and the triangle (H,W), -1 there.

        corners (F,3,3) are in the frame of the camera: x right, y down, z forward, origin in the optical centre.
        """
        shape = (self.camera.height, self.camera.width)
        depth, face = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int32)
        _fill(corners, self.bounds(corners), self.slopes, depth, face)
        return depth, face


@numba.njit(cache=True, nogil=True)
def _slopes(corners, f, out):  # type: ignore[no-untyped-def]
    """Bounds of x/z and y/z of what of a triangle lies beyond NEAR; False where nothing does."""
    out[0], out[1], out[2], out[3] = math.inf, -math.inf, math.inf, -math.inf
    for i in range(3):
        z0 = corners[f, i, 2]
        j = (i + 1) % 3
        z1 = corners[f, j, 2]
        if z0 >= NEAR:
            out[0], out[1] = min(out[0], corners[f, i, 0] / z0), max(out[1], corners[f, i, 0] / z0)
            out[2], out[3] = min(out[2], corners[f, i, 1] / z0), max(out[3], corners[f, i, 1] / z0)
        if (z0 < NEAR) != (z1 < NEAR):
            k = (NEAR - z0) / (z1 - z0)
            x = (corners[f, i, 0] + k * (corners[f, j, 0] - corners[f, i, 0])) / NEAR
            y = (corners[f, i, 1] + k * (corners[f, j, 1] - corners[f, i, 1])) / NEAR
            out[0], out[1], out[2], out[3] = min(out[0], x), max(out[1], x), min(out[2], y), max(out[3], y)
    return out[0] <= out[1]


@numba.njit(cache=True, nogil=True)
def _pinhole_bounds(corners, intrinsics, width, height):  # type: ignore[no-untyped-def]
    fx, fy, cx, cy = intrinsics
    found = np.empty((len(corners), 4), np.int32)
    b = np.empty(4)
    for f in range(len(corners)):
        if not _slopes(corners, f, b):
            found[f] = (1, 0, 1, 0)
            continue
        slack = 1e-3
        found[f, 0] = math.ceil(max(fx * b[0] + cx - slack, 0.0))
        found[f, 1] = math.floor(min(fx * b[1] + cx + slack, width - 1.0))
        found[f, 2] = math.ceil(max(fy * b[2] + cy - slack, 0.0))
        found[f, 3] = math.floor(min(fy * b[3] + cy + slack, height - 1.0))
    return found


@numba.njit(cache=True, nogil=True)
def _lens_bounds(corners, grid, table):  # type: ignore[no-untyped-def]
    found = np.empty((len(corners), 4), np.int32)
    b = np.empty(4)
    n = len(table)
    for f in range(len(corners)):
        found[f] = (2**30, -1, 2**30, -1)
        if not _slopes(corners, f, b):
            continue
        i0 = math.floor(min(max((b[0] - grid[0]) / grid[2] - 1e-3, -1.0), n + 1.0))
        i1 = math.floor(min(max((b[1] - grid[0]) / grid[2] + 1e-3, -1.0), n + 1.0))
        j0 = math.floor(min(max((b[2] - grid[1]) / grid[3] - 1e-3, -1.0), n + 1.0))
        j1 = math.floor(min(max((b[3] - grid[1]) / grid[3] + 1e-3, -1.0), n + 1.0))
        for i in range(max(i0, 0), min(i1, n - 1) + 1):
            for j in range(max(j0, 0), min(j1, n - 1) + 1):
                found[f, 0], found[f, 1] = min(found[f, 0], table[i, j, 0]), max(found[f, 1], table[i, j, 1])
                found[f, 2], found[f, 3] = min(found[f, 2], table[i, j, 2]), max(found[f, 3], table[i, j, 3])
    return found


@numba.njit(cache=True, nogil=True)
def _fill(corners, bounds, slopes, depth, face):  # type: ignore[no-untyped-def]
    """Homogeneous rasterisation (Olano and Greer 1997): inside where the ray is on one side of all three edges' planes.

    The edges are tested on the ray itself, so any lens is drawn exactly, and triangles that reach behind the camera need
    no clipping.
    """
    for f in range(len(corners)):
        if bounds[f, 1] < bounds[f, 0] or bounds[f, 3] < bounds[f, 2]:
            continue
        ax, ay, az = float(corners[f, 0, 0]), float(corners[f, 0, 1]), float(corners[f, 0, 2])
        bx, by, bz = float(corners[f, 1, 0]), float(corners[f, 1, 1]), float(corners[f, 1, 2])
        cx, cy, cz = float(corners[f, 2, 0]), float(corners[f, 2, 1]), float(corners[f, 2, 2])
        px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
        qx, qy, qz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
        rx, ry, rz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        det = ax * px + ay * py + az * pz
        if abs(det) < 1e-12:
            continue
        sign = 1.0 if det > 0 else -1.0
        det *= sign
        px, py, pz, qx, qy, qz, rx, ry, rz = (
            px * sign, py * sign, pz * sign, qx * sign, qy * sign, qz * sign, rx * sign, ry * sign, rz * sign
        )  # fmt: skip
        for v in range(bounds[f, 2], bounds[f, 3] + 1):
            for u in range(bounds[f, 0], bounds[f, 1] + 1):
                x, y = float(slopes[v, u, 0]), float(slopes[v, u, 1])
                e0 = px * x + py * y + pz
                e1 = qx * x + qy * y + qz
                e2 = rx * x + ry * y + rz
                if e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0:
                    total = e0 + e1 + e2
                    if total > 0.0:
                        z = det / total
                        if z >= NEAR and z < depth[v, u]:
                            depth[v, u] = z
                            face[v, u] = f


@numba.njit(cache=True, nogil=True)
def count_unoccluded(corners, bounds, slopes, owner, boxes):  # type: ignore[no-untyped-def]
    """Count the pixels that each object would cover if nothing stood before it.

    owner (F,) gives each triangle's object or -1; the triangles of one object follow each other. boxes (objects, 4) are
    rectangles of pixels u0, u1, v0, v1 around the objects. Returns (objects,).
    """
    counts = np.zeros(len(boxes), np.int64)
    f = 0
    while f < len(corners):
        o = owner[f]
        if o < 0:
            f += 1
            continue
        last = f
        while last < len(corners) and owner[last] == o:
            last += 1
        u0, u1, v0, v1 = boxes[o]
        if u1 < u0 or v1 < v0:
            f = last
            continue
        mask = np.zeros((v1 - v0 + 1, u1 - u0 + 1), np.bool_)
        while f < last:
            ax, ay, az = float(corners[f, 0, 0]), float(corners[f, 0, 1]), float(corners[f, 0, 2])
            bx, by, bz = float(corners[f, 1, 0]), float(corners[f, 1, 1]), float(corners[f, 1, 2])
            cx, cy, cz = float(corners[f, 2, 0]), float(corners[f, 2, 1]), float(corners[f, 2, 2])
            px, py, pz = by * cz - bz * cy, bz * cx - bx * cz, bx * cy - by * cx
            qx, qy, qz = cy * az - cz * ay, cz * ax - cx * az, cx * ay - cy * ax
            rx, ry, rz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
            det = ax * px + ay * py + az * pz
            sign = 1.0 if det > 0 else -1.0
            if abs(det) > 1e-12:
                for v in range(max(bounds[f, 2], v0), min(bounds[f, 3], v1) + 1):
                    for u in range(max(bounds[f, 0], u0), min(bounds[f, 1], u1) + 1):
                        if mask[v - v0, u - u0]:
                            continue
                        x, y = float(slopes[v, u, 0]), float(slopes[v, u, 1])
                        e0 = (px * x + py * y + pz) * sign
                        e1 = (qx * x + qy * y + qz) * sign
                        e2 = (rx * x + ry * y + rz) * sign
                        if e0 >= 0.0 and e1 >= 0.0 and e2 >= 0.0 and abs(det) >= NEAR * (e0 + e1 + e2):
                            mask[v - v0, u - u0] = True
            f += 1
        counts[o] = mask.sum()
    return counts
