"""A spinning LiDAR: which triangle each beam meets, and what comes back of it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.lidar.beams import Beams
from mono3d_kd_core.simulation.meshes.materials import LASER
from mono3d_kd_core.simulation.meshes.mesh import Mesh

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Sweep:
    """The returns of one turn: points (N,4) float32 x y z intensity in the LiDAR frame, seconds (N,) from the stamp, beam
    (N,) counted from the top, triangle (N,) that was hit."""

    points: Floats
    seconds: Floats
    beam: NDArray[np.int32]
    triangle: NDArray[np.int32]


def azimuths(beams: Beams) -> NDArray[np.float64]:
    """Return the azimuth of each column in radians: clockwise from behind, as these sensors turn."""
    return np.pi - 2 * np.pi * (np.arange(beams.columns) + 0.5) / beams.columns


def trace(corners: Floats, group: NDArray[np.int32], poses: Floats, beams: Beams) -> tuple[Floats, NDArray[np.int32]]:
    """Return the range (beams, columns), inf where nothing is hit, and the triangle, -1 there.

    corners (F,3,3) are in any frame; group (F,) names the pose each triangle follows; poses (groups, K, 3, 4) map that frame
    into the LiDAR's at the time of each column, or of all columns when K is 1.
    """
    shape = (len(beams.elevation), beams.columns)
    distance, triangle = np.full(shape, np.inf, np.float32), np.full(shape, -1, np.int32)
    order = np.argsort(beams.elevation)
    tangents = np.tan(beams.elevation[order]).astype(np.float64)
    _trace(corners, group, poses, azimuths(beams), tangents, order.astype(np.int64), beams.farthest, distance, triangle)
    return distance, triangle


def returns(
    distance: Floats, triangle: NDArray[np.int32], mesh: Mesh, T_lidar_mesh: NDArray[np.float64], beams: Beams,
    seconds: NDArray[np.float64], rng: np.random.Generator,
) -> Sweep:  # fmt: skip
    """Decide which shots come back, with which range and intensity.

    T_lidar_mesh (4,4) turns the mesh's frame into the LiDAR's; seconds (columns,) are the times of the columns. The echo's
    strength follows the lidar equation for a diffuse target: reflectance * cos(incidence) / range^2, with a floor for
    retro-reflectors; a shot is lost the more likely, the nearer its echo is to what the receiver can detect.
    """
    row, column = np.nonzero(triangle >= 0)
    hit = triangle[row, column]
    luck = rng.random(len(hit), np.float32)
    noise = rng.standard_normal((len(hit), 2), np.float32)
    points = np.empty((len(hit), 4), np.float32)
    kept = np.empty(len(hit), np.bool_)
    settings = np.array([beams.range_noise, beams.reach, beams.loss, beams.nearest, beams.intensity_levels])
    _echo(
        distance[row, column], hit, row, column, azimuths(beams), beams.elevation, mesh.corners, mesh.colour, mesh.material,
        np.ascontiguousarray(T_lidar_mesh), LASER, settings, luck, noise, points, kept,
    )  # fmt: skip
    return Sweep(points[kept], seconds[column[kept]].astype(np.float32), row[kept].astype(np.int32), hit[kept])


@numba.njit(cache=True, nogil=True)
def _echo(  # type: ignore[no-untyped-def]
    distance,
    hit,
    row,
    column,
    azimuth,
    elevation,
    corners,
    colour,
    material,
    T,
    laser,
    settings,
    luck,
    noise,
    points,
    kept,
):
    spread, reach, loss, nearest, levels = settings
    for k in range(len(hit)):
        f, r = hit[k], distance[k]
        a, e = azimuth[column[k]], elevation[row[k]]
        dx, dy, dz = math.cos(e) * math.cos(a), math.cos(e) * math.sin(a), math.sin(e)
        # The beam's direction in the mesh's frame, against the triangle's normal there.
        mx = T[0, 0] * dx + T[1, 0] * dy + T[2, 0] * dz
        my = T[0, 1] * dx + T[1, 1] * dy + T[2, 1] * dz
        mz = T[0, 2] * dx + T[1, 2] * dy + T[2, 2] * dz
        ax, ay, az = corners[f, 0, 0], corners[f, 0, 1], corners[f, 0, 2]
        ux, uy, uz = corners[f, 1, 0] - ax, corners[f, 1, 1] - ay, corners[f, 1, 2] - az
        vx, vy, vz = corners[f, 2, 0] - ax, corners[f, 2, 1] - ay, corners[f, 2, 2] - az
        nx, ny, nz = uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx
        cosine = abs(nx * mx + ny * my + nz * mz) / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
        m = material[f]
        reflectance, retro, lost = laser[m, 0], laser[m, 1], laser[m, 2]
        if reflectance < 0:
            # Infrared hardly sees colour: dark cloth and paint are lighter, light ones darker than to the eye.
            reflectance = 0.08 + 0.62 * ((colour[f, 0] + colour[f, 1] + colour[f, 2]) / 3) ** 0.8
        answer = reflectance * (retro + (1 - retro) * cosine)
        strength = answer * (reach / max(r, 1.0)) ** 2
        kept[k] = luck[k] < (1 - lost) * (1 - loss) * min(strength / 0.1, 1.0) ** 0.7 and r > nearest
        far = r + spread * noise[k, 0]
        points[k, 0], points[k, 1], points[k, 2] = dx * far, dy * far, dz * far
        intensity = min(max(answer * (1 + 0.12 * noise[k, 1]) * 0.85, 0.0), 0.99)
        points[k, 3] = round(intensity * levels) / levels if levels > 0 else intensity


@numba.njit(cache=True, nogil=True)
def _trace(corners, group, poses, azimuth, tangents, order, farthest, distance, triangle):  # type: ignore[no-untyped-def]
    """In the half plane of one column a triangle is a segment; the beams between its ends hit it."""
    columns = len(azimuth)
    count = len(tangents)
    per_column = poses.shape[1] > 1
    cosines, sines = np.cos(azimuth), np.sin(azimuth)
    p = np.empty((3, 3))
    rz = np.empty((3, 2))
    for f in range(len(corners)):
        g = group[f]
        # Where the triangle is about, from the pose in the middle of the sweep and a margin for the motion.
        middle = poses[g, poses.shape[1] // 2]
        reach2 = 1e30
        left, right = 0.0, 0.0
        first = 0.0
        around = False
        for k in range(3):
            x = (
                middle[0, 0] * corners[f, k, 0]
                + middle[0, 1] * corners[f, k, 1]
                + middle[0, 2] * corners[f, k, 2]
                + middle[0, 3]
            )
            y = (
                middle[1, 0] * corners[f, k, 0]
                + middle[1, 1] * corners[f, k, 1]
                + middle[1, 2] * corners[f, k, 2]
                + middle[1, 3]
            )
            p[k, 0], p[k, 1] = x, y
        # Angles are measured against the first corner's, so that a triangle across the seam needs no special care.
        first = math.atan2(p[0, 1], p[0, 0])
        for k in range(1, 3):
            a = math.atan2(p[k, 1], p[k, 0]) - first
            a -= 2 * math.pi * math.floor(a / (2 * math.pi) + 0.5)
            left, right = max(left, a), min(right, a)
        s0 = p[0, 0] * p[1, 1] - p[0, 1] * p[1, 0]
        s1 = p[1, 0] * p[2, 1] - p[1, 1] * p[2, 0]
        s2 = p[2, 0] * p[0, 1] - p[2, 1] * p[0, 0]
        around = (s0 >= 0 and s1 >= 0 and s2 >= 0) or (s0 <= 0 and s1 <= 0 and s2 <= 0)
        for k in range(3):
            j = (k + 1) % 3
            ex, ey = p[j, 0] - p[k, 0], p[j, 1] - p[k, 1]
            l2 = ex * ex + ey * ey
            t = 0.0 if l2 < 1e-12 else min(max(-(p[k, 0] * ex + p[k, 1] * ey) / l2, 0.0), 1.0)
            qx, qy = p[k, 0] + t * ex, p[k, 1] + t * ey
            reach2 = min(reach2, qx * qx + qy * qy)
        if reach2 > (farthest + 5.0) ** 2 and not around:
            continue
        if around or left - right > math.pi * 0.9 or reach2 < 4.0:
            c0, c1 = 0, columns - 1
        else:
            margin = 1e-5 + (3.5 / math.sqrt(reach2) if per_column else 0.0)
            c0 = math.ceil((math.pi - (first + left + margin)) / (2 * math.pi) * columns - 0.5)
            c1 = math.floor((math.pi - (first + right - margin)) / (2 * math.pi) * columns - 0.5)
            if c1 - c0 >= columns:
                c0, c1 = 0, columns - 1
        for c in range(c0, c1 + 1):
            column = c % columns
            T = poses[g, column if per_column else 0]
            ca, sa = cosines[column], sines[column]
            for k in range(3):
                x0, y0, z0 = corners[f, k, 0], corners[f, k, 1], corners[f, k, 2]
                x = T[0, 0] * x0 + T[0, 1] * y0 + T[0, 2] * z0 + T[0, 3]
                y = T[1, 0] * x0 + T[1, 1] * y0 + T[1, 2] * z0 + T[1, 3]
                p[k, 0] = x * ca + y * sa
                p[k, 1] = y * ca - x * sa
                p[k, 2] = T[2, 0] * x0 + T[2, 1] * y0 + T[2, 2] * z0 + T[2, 3]
            found = 0
            for k in range(3):
                j = (k + 1) % 3
                if (p[k, 1] < 0) != (p[j, 1] < 0):
                    t = p[k, 1] / (p[k, 1] - p[j, 1])
                    if found < 2:
                        rz[found, 0] = p[k, 0] + t * (p[j, 0] - p[k, 0])
                        rz[found, 1] = p[k, 2] + t * (p[j, 2] - p[k, 2])
                    found += 1
            if found < 2:
                continue
            r0, z0, r1, z1 = rz[0, 0], rz[0, 1], rz[1, 0], rz[1, 1]
            if r0 < 1e-3 and r1 < 1e-3:
                continue
            # The part of the segment on the forward side of the axis.
            if r0 < 1e-3:
                z0 += (1e-3 - r0) / (r1 - r0) * (z1 - z0)
                r0 = 1e-3
            elif r1 < 1e-3:
                z1 += (1e-3 - r1) / (r0 - r1) * (z0 - z1)
                r1 = 1e-3
            t0, t1 = z0 / r0, z1 / r1
            low, high = min(t0, t1), max(t0, t1)
            b = np.searchsorted(tangents, low)
            while b < count and tangents[b] <= high:
                # r such that (r, r * tangent) lies on the segment.
                slope = tangents[b]
                dr, dz = r1 - r0, z1 - z0
                bottom = dz - slope * dr
                if abs(bottom) > 1e-12:
                    r = r0 + (slope * r0 - z0) / bottom * dr
                else:
                    r = min(r0, r1)
                along = r * math.sqrt(1 + slope * slope)
                row = order[b]
                if 0 < along < distance[row, column] and along < farthest:
                    distance[row, column] = along
                    triangle[row, column] = f
                b += 1
