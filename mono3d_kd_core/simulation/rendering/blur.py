"""Motion blur: every pixel is smeared along the way its point takes over the image while the shutter is open."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix, inverse

LONGEST = 40.0
"""Pixels: longer streaks are cut."""


def twist(before: Matrix, after: Matrix, seconds: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the velocity and the turning rate (3,), in its own frame, of what moves between two T_world_frame (4,4)."""
    step = inverse(before) @ after
    R = step[:3, :3]
    turn = np.array([R[2, 1] - R[1, 2], R[0, 2] - R[2, 0], R[1, 0] - R[0, 1]]) / 2
    return step[:3, 3] / seconds, turn / seconds


def smear(
    radiance: NDArray[np.float32],
    depth: NDArray[np.float32],
    slopes: NDArray[np.float32],
    owner: NDArray[np.int32],
    velocity: NDArray[np.float64],
    camera_twist: tuple[NDArray[np.float64], NDArray[np.float64]],
    focal: float,
    exposure_seconds: float,
) -> NDArray[np.float32]:
    """Return the radiance (H,W,3) of an exposure that lasts.

    depth (H,W) along z, slopes (H,W,2) of the rays; owner (H,W) is the row of `velocity` (objects, 3), m/s in the camera's
    frame, or -1 for what stands still; camera_twist as `twist` gives it; focal length in pixels.
    """
    result = np.empty_like(radiance)
    linear, angular = camera_twist
    _smear(radiance, depth, slopes, owner, velocity, linear, angular, focal, exposure_seconds, result)
    return result


@numba.njit(cache=True, nogil=True)
def _smear(image, depth, slopes, owner, velocity, linear, angular, focal, exposure, result):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    for i in range(height):
        for j in range(width):
            x, y = slopes[i, j, 0], slopes[i, j, 1]
            z = depth[i, j]
            result[i, j] = image[i, j]
            if math.isnan(x):
                continue
            far = not math.isfinite(z)
            # The velocity of the point over its depth, as the camera sees it.
            vx = -(angular[1] - angular[2] * y)
            vy = -(angular[2] * x - angular[0])
            vz = -(angular[0] * y - angular[1] * x)
            if not far:
                vx, vy, vz = vx - linear[0] / z, vy - linear[1] / z, vz - linear[2] / z
                o = owner[i, j]
                if o >= 0:
                    vx, vy, vz = vx + velocity[o, 0] / z, vy + velocity[o, 1] / z, vz + velocity[o, 2] / z
            du, dv = focal * (vx - x * vz) * exposure, focal * (vy - y * vz) * exposure
            length = math.hypot(du, dv)
            if length < 0.7:
                continue
            if length > LONGEST:
                du, dv, length = du * LONGEST / length, dv * LONGEST / length, LONGEST
            taps = math.ceil(length)
            r, g, b = 0.0, 0.0, 0.0
            for k in range(taps + 1):
                share = k / taps - 0.5
                u = min(max(round(j + share * du), 0), width - 1)
                v = min(max(round(i + share * dv), 0), height - 1)
                r, g, b = r + image[v, u, 0], g + image[v, u, 1], b + image[v, u, 2]
            result[i, j, 0], result[i, j, 1], result[i, j, 2] = r / (taps + 1), g / (taps + 1), b / (taps + 1)
