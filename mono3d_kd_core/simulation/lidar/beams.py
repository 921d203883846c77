"""The beam layouts of common spinning LiDARs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Beams:
    """A spinning LiDAR.

    elevation (B,) radians from the top beam down; columns a turn; seconds a turn; nearest and farthest range in metres;
    range_noise its standard deviation in metres; reach: the range at which a perfect diffuse target would just not be lost,
    divided by about 3; loss: share of shots lost anyhow; intensity_levels: steps of the intensity (0: continuous).
    """

    elevation: NDArray[np.float64]
    columns: int
    turn: float
    nearest: float
    farthest: float
    range_noise: float
    reach: float
    loss: float
    intensity_levels: int = 100


def _degrees(*parts: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.radians(np.concatenate(parts))


MODELS: dict[str, Beams] = {
    # Velodyne HDL-64E: the upper block of 32 beams is spaced by 1/3 degree, the lower one by 1/2 degree (user's manual).
    "hdl64": Beams(
        _degrees(np.linspace(2.0, -8.33, 32), np.linspace(-8.83, -24.33, 32)), 2083, 0.1, 0.9, 120.0, 0.02, 55.0, 0.06
    ),
    # Velodyne HDL-32E: 4/3 degree from +10.67 to -30.67.
    "hdl32": Beams(_degrees(np.linspace(10.67, -30.67, 32)), 2169, 0.1, 1.0, 100.0, 0.02, 40.0, 0.05),
    # Velodyne VLP-16: 2 degrees from +15 to -15.
    "vlp16": Beams(_degrees(np.linspace(15.0, -15.0, 16)), 1800, 0.1, 0.5, 100.0, 0.02, 40.0, 0.05),
    # Ouster OS1-128: even over 45 degrees.
    "os1-128": Beams(_degrees(np.linspace(22.5, -22.5, 128)), 1024, 0.1, 0.5, 120.0, 0.015, 45.0, 0.04),
}
"""Known sensors."""


def with_columns(beams: Beams, columns: int) -> Beams:
    """Return the same sensor with another number of columns a turn."""
    return replace(beams, columns=columns)
