"""Depth cut into bins whose width grows linearly with distance (LID; Tang et al. 2020, Reading et al., CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix


@dataclass(frozen=True)
class DepthBins:
    """`count` bins from `near` to `far` metres; bin i starts at near + step i (i + 1) / 2."""

    count: int
    near: float
    far: float

    @property
    def step(self) -> float:
        """Width of the first bin, and by how much each is wider than the one before, metres."""
        return 2 * (self.far - self.near) / (self.count * (self.count + 1))

    def index(self, depth: NDArray[np.floating]) -> Matrix:
        """Return continuous bin indices: i at the near edge of bin i; NaN far before the first bin, where none exists."""
        with np.errstate(invalid="ignore"):
            return np.asarray(-0.5 + 0.5 * np.sqrt(1 + 8 * (np.asarray(depth, np.float64) - self.near) / self.step))

    def depth(self, index: NDArray[np.floating]) -> Matrix:
        """Return the depth in metres at continuous bin indices; the inverse of `index`."""
        at = np.asarray(index, np.float64)
        return self.near + self.step * at * (at + 1) / 2

    def label(self, depth: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the bin of each depth; `count` for what is nearer, farther or not finite."""
        index = self.index(depth)
        inside = (index >= 0) & (index < self.count)
        return np.where(inside, np.floor(np.where(inside, index, 0)), self.count).astype(np.int64)


class UniformDepthBins(DepthBins):
    """Bins of equal width, as BEVDepth and HVDistill cut depth."""

    @property
    def step(self) -> float:
        """Width of a bin, metres."""
        return (self.far - self.near) / self.count

    def index(self, depth: NDArray[np.floating]) -> Matrix:
        """Return continuous bin indices: i at the near edge of bin i."""
        return np.asarray((np.asarray(depth, np.float64) - self.near) / self.step)

    def depth(self, index: NDArray[np.floating]) -> Matrix:
        """Return the depth in metres at continuous bin indices; the inverse of `index`."""
        return np.asarray(self.near + self.step * np.asarray(index, np.float64))
