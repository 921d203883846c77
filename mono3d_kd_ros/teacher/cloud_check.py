"""Whether the LiDAR is like the one that a teacher was trained with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from mono3d_kd_core.deploy.trained_lidar import TrainedLidar

CLOUDS = 3
"""As many are looked at, as `mono3d-kd targets` does: one may show no ground."""


class CloudCheck:
    """Compares the first clouds with the sweeps of the training, `trained`; `tell` hears each difference once, in words.

    `remarks` are the differences found: height of the ground, beams, reach, intensities.
    """

    def __init__(self, trained: TrainedLidar | None, tell: Callable[[str], None]) -> None:
        self._trained, self._tell = trained, tell
        self._clouds: list[NDArray[np.float32]] = []
        self.remarks: list[str] = []

    def look(self, points: NDArray[np.float32] | None) -> None:
        """Take the points (N,4) of a frame; it costs nothing once enough were seen."""
        if self._trained is None or points is None:
            return
        self._clouds.append(points)
        if len(self._clouds) < CLOUDS:
            return
        self.remarks = self._trained.remarks(self._clouds)
        self._trained, self._clouds = None, []
        for remark in self.remarks:
            self._tell(remark)
