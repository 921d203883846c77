"""What a LiDAR sweep is like as a whole: where the ground is, how many beams it has, how far it reaches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BEAM_GAP = np.radians(0.07)
"""Returns of one beam lie closer in elevation than this, neighbouring beams of common sensors do not."""
_NEAREST = 2.0


def ground_height(points: NDArray[np.floating]) -> float:
    """Return the height, metres, at which most points (N,3+) of 3 to 25 m below the sensor lie; NaN where none do."""
    distance = np.hypot(points[:, 0], points[:, 1])
    z = points[(distance > 3) & (distance < 25) & (points[:, 2] < -0.3), 2]
    counts, edges = np.histogram(z, np.arange(-6, 0, 0.1))
    return float(edges[counts.argmax()] + 0.05) if counts.any() else float("nan")


def beam_count(points: NDArray[np.floating]) -> int:
    """Estimate the beams of a spinning LiDAR from its points (N,3+): distinct elevations in a degree of azimuth.

    The 90th percentile over all degrees that hold points. Sensors of 128 beams and more look like less.
    """
    points = points[np.hypot(points[:, 0], points[:, 1]) > _NEAREST]
    if len(points) == 0:
        return 0
    elevation = np.arctan2(points[:, 2], np.hypot(points[:, 0], points[:, 1]))
    degree = np.floor(np.degrees(np.arctan2(points[:, 1], points[:, 0]))).astype(np.intp) + 180
    order = np.lexsort((elevation, degree))
    elevation, degree = elevation[order], degree[order]
    new = np.append(True, (np.diff(degree) > 0) | (np.diff(elevation) > BEAM_GAP))
    beams = np.bincount(degree, weights=new)
    return round(float(np.percentile(beams[beams > 0], 90)))


def reach(points: NDArray[np.floating]) -> float:
    """Return the horizontal distance, metres, within which 99 of 100 points (N,3+) lie; 0 without points."""
    return float(np.percentile(np.hypot(points[:, 0], points[:, 1]), 99)) if len(points) else 0.0
