"""Where depth jumps in a sweep and where brightness jumps in an image.

Edges of things are seen by both sensors, so they tell whether the calibration between them is right: Levinson & Thrun,
"Automatic Online Calibration of Cameras and Lasers", RSS 2013. Here edges to the side and on top of things are told apart,
the sweep needs no ring numbers, and clutter such as leaves is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix

AZIMUTH_CELL = np.radians(0.25)
RANGE = (3.0, 60.0)
"""Metres between which edges are looked for: nearer is the car itself, farther the beams lie too far apart."""


@dataclass(frozen=True)
class EdgePoints:
    """Points (N,3) in the LiDAR's frame at which something ends before a background, and their weights (N,)."""

    position: Matrix
    weight: Matrix


def depth_edges(points: NDArray[np.floating], jump: float = 0.5) -> tuple[EdgePoints, EdgePoints]:
    """Return where things of a sweep (N,3+) end to the side (upright edges) and on top (level edges).

    The background is at least `jump` metres, and a twentieth of the range, farther. An edge lies between two beams, so its
    point has the range of the thing and the direction midway.
    """
    xyz = np.asarray(points[:, :3], np.float64)
    distance = np.linalg.norm(xyz, axis=1)
    kept = (distance > RANGE[0]) & (distance < RANGE[1])
    distance, direction = distance[kept], xyz[kept] / distance[kept, None]
    index = _range_image(direction, distance)
    ranges = np.append(distance, np.nan)[index]
    right, left = (
        _edges(index, ranges, direction, distance, axis=1, sign=sign, reach=2, jump=jump) for sign in (-1, 1)
    )
    top = _edges(index, ranges, direction, distance, axis=0, sign=1, reach=3, jump=jump)
    upright = np.concatenate([right.position, left.position]), np.concatenate([right.weight, left.weight])
    return EdgePoints(*upright), top


def edge_fields(image: NDArray[np.uint8], blur: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return how near each pixel (H,W) is to an upright and to a level edge of the image; the mean of each field is 1.

    `blur` in pixels is how far from an edge counts as near. Edges are measured against their surroundings, so that leaves
    and gravel do not outweigh the outlines of things.
    """
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.2)
    along_x, along_y = (np.abs(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0))
    size = np.hypot(along_x, along_y)
    surroundings = 2 * cv2.GaussianBlur(size, (0, 0), 8 * blur) + 0.1 * size.max() + 1e-6
    fields = (cv2.GaussianBlur(np.minimum(g / surroundings, 1), (0, 0), blur) for g in (along_x, along_y))
    upright, level = (np.asarray(field / max(float(field.mean()), 1e-9), np.float32) for field in fields)
    return upright, level


def _range_image(direction: Matrix, distance: Matrix) -> NDArray[np.intp]:
    """Return the index of the nearest point in each cell of elevation (rows, upwards) and azimuth; -1 where none is."""
    azimuth = np.arctan2(direction[:, 1], direction[:, 0]) + np.pi
    elevation = np.arcsin(np.clip(direction[:, 2], -1, 1)) + np.pi / 2
    row, column = (elevation / _beam_spacing(elevation)).astype(np.intp), (azimuth / AZIMUTH_CELL).astype(np.intp)
    shape = int(row.max(initial=0)) + 4, int(2 * np.pi / AZIMUTH_CELL) + 2
    index = np.full(shape, -1, np.intp)
    order = np.argsort(-distance)
    index[row[order], column[order]] = order
    return index


def _beam_spacing(elevation: Matrix) -> float:
    """Estimate the angle between neighbouring beams: narrow bins of elevation are the emptier, the fewer beams there are."""
    bin_width = np.radians(0.2)
    if len(elevation) < 100:
        return float(2 * bin_width)
    low, high = np.percentile(elevation, (2, 98))
    counts, _ = np.histogram(elevation, bins=max(1, int((high - low) / bin_width)), range=(low, high))
    filled = (counts > 0.2 * counts.mean()).mean()
    return float(np.clip(bin_width / filled, 2 * bin_width, np.radians(2.5)))


def _edges(
    index: NDArray[np.intp], ranges: Matrix, direction: Matrix, distance: Matrix, *, axis: int, sign: int, reach: int,
    jump: float,
) -> EdgePoints:  # fmt: skip
    """Find cells whose next filled neighbour, at most `reach` cells on along `axis`, lies much farther away."""
    beyond, before = _neighbours(index, axis, sign, reach), _neighbours(index, axis, -sign, reach)
    angle = np.arcsin(np.clip(direction[:, 2], -1, 1)) if axis == 0 else np.arctan2(direction[:, 1], direction[:, 0])
    expected = _continuation(index, before, beyond, np.append(angle, np.nan), np.append(distance, np.nan))
    farther = np.append(distance, np.nan)[beyond] - expected
    with np.errstate(invalid="ignore"):
        edge = farther > np.maximum(jump, 0.05 * ranges)
    edge[edge] = _continued(edge, ranges, axis) >= 2
    near, far, gap = index[edge], beyond[edge], farther[edge]
    midway = direction[near] + direction[far]
    midway /= np.linalg.norm(midway, axis=1, keepdims=True)
    return EdgePoints(midway * distance[near, None], np.minimum(np.sqrt(gap), 2.0))


def _continuation(
    index: NDArray[np.intp], before: NDArray[np.intp], beyond: NDArray[np.intp], angle: Matrix, distance: Matrix
) -> Matrix:
    """Return the range at which the beam of `beyond` would meet the surface through the points before and at each cell.

    Along a plane the inverse range is linear in the angle, nearly; so a road or a wall seen at a grazing angle has no
    edges, however fast its range grows from beam to beam. Infinite beyond its horizon.
    """
    near = 1 / distance[index]
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (near - 1 / distance[before]) / (angle[index] - angle[before])
        inverse = near + slope * (angle[beyond] - angle[index])
        # Noise must not bring the surface nearer than it is.
        return np.where(
            inverse > 0, np.maximum(1 / inverse, distance[index]), np.where(np.isnan(inverse), np.nan, np.inf)
        )


def _neighbours(index: NDArray[np.intp], axis: int, sign: int, reach: int) -> NDArray[np.intp]:
    """Return for each cell the point of the next filled one, at most `reach` cells on; -1 where none is."""
    found = np.full_like(index, -1)
    for step in range(1, reach + 1):
        found = np.where(found < 0, np.roll(index, -sign * step, axis), found)
    return found


def _continued(edge: NDArray[np.bool_], ranges: Matrix, axis: int) -> NDArray[np.intp]:
    """Count for each edge cell how many others go on with it along the edge, at its range: outlines do, leaves do not."""
    rows, columns = np.nonzero(edge)
    count = np.zeros(len(rows), np.intp)
    for along in (-3, -2, -1, 1, 2, 3):
        for across in (-1, 0, 1):
            down, right = (along, across) if axis == 1 else (across, along)
            there = (rows + down) % edge.shape[0], (columns + right) % edge.shape[1]
            alike = np.abs(ranges[there] - ranges[rows, columns]) < 0.05 * ranges[rows, columns]
            count += edge[there] & alike
    return count
