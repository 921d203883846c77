"""What keeps the sun and the sky away: height maps seen along a direction."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class HeightMap:
    """The greatest height (rows, columns) that something has along each line in a direction, in metres.

    A line is known by where it meets z = 0: cell (i, j) is at x = corner[0] + j * cell, y = corner[1] + i * cell; the line
    runs on to (x + slant[0] z, y + slant[1] z, z).
    """

    height: Floats
    corner: tuple[float, float]
    cell: float
    slant: tuple[float, float]

    @classmethod
    def draw(
        cls,
        corners: Floats,
        direction: NDArray[np.float64],
        x: tuple[float, float],
        y: tuple[float, float],
        cell: float,
    ) -> HeightMap:
        """Draw triangles (F,3,3), z up, along a direction that points upwards, over a rectangle of the ground."""
        slant = (float(direction[0] / direction[2]), float(direction[1] / direction[2]))
        shape = (int((y[1] - y[0]) / cell) + 1, int((x[1] - x[0]) / cell) + 1)
        height = np.full(shape, -np.inf, np.float32)
        _draw(corners, slant[0], slant[1], x[0], y[0], cell, height)
        return cls(height, (x[0], y[0]), cell, slant)


@numba.njit(cache=True, nogil=True)
def _draw(corners, kx, ky, x0, y0, cell, height):  # type: ignore[no-untyped-def]
    rows, columns = height.shape
    for f in range(len(corners)):
        az, bz, cz = float(corners[f, 0, 2]), float(corners[f, 1, 2]), float(corners[f, 2, 2])
        ax, ay = (corners[f, 0, 0] - kx * az - x0) / cell, (corners[f, 0, 1] - ky * az - y0) / cell
        bx, by = (corners[f, 1, 0] - kx * bz - x0) / cell, (corners[f, 1, 1] - ky * bz - y0) / cell
        cx, cy = (corners[f, 2, 0] - kx * cz - x0) / cell, (corners[f, 2, 1] - ky * cz - y0) / cell
        j0, j1 = max(min(ax, bx, cx), 0.0), min(max(ax, bx, cx), columns - 1.0)
        i0, i1 = max(min(ay, by, cy), 0.0), min(max(ay, by, cy), rows - 1.0)
        if j0 > j1 or i0 > i1:
            continue
        area = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy)
        if abs(area) < 1e-9:
            continue
        ux, uy, wx, wy = (by - cy) / area, (cx - bx) / area, (cy - ay) / area, (ax - cx) / area
        for i in range(math.ceil(i0), math.floor(i1) + 1):
            for j in range(math.ceil(j0), math.floor(j1) + 1):
                u = ux * (j - cx) + uy * (i - cy)
                w = wx * (j - cx) + wy * (i - cy)
                if u >= 0 and w >= 0 and u + w <= 1:
                    z = u * az + w * bz + (1 - u - w) * cz
                    if z > height[i, j]:
                        height[i, j] = z


@numba.njit(cache=True, nogil=True, inline="always")
def light_share(height, x0, y0, cell, kx, ky, x, y, z, bias):  # type: ignore[no-untyped-def]
    """Share 0..1 of the light along the map's direction that reaches (x, y, z); percentage-closer, bilinear."""
    j = (x - kx * z - x0) / cell
    i = (y - ky * z - y0) / cell
    j0, i0 = math.floor(j), math.floor(i)
    if i0 < 1 or j0 < 1 or i0 >= height.shape[0] - 2 or j0 >= height.shape[1] - 2:
        return 1.0
    fj, fi = j - j0, i - i0
    lit = 0.0
    for a in range(-1, 3):
        wi = (1 - fi if a == -1 else fi if a == 2 else 1.0) / 3
        for b in range(-1, 3):
            wj = (1 - fj if b == -1 else fj if b == 2 else 1.0) / 3
            if height[i0 + a, j0 + b] <= z + bias:
                lit += wi * wj
    return lit
