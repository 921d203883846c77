"""Features at the occupied voxels of a grid."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from mono3d_kd_core.teachers.rulebook import Triple


@dataclass(frozen=True)
class SparseTensor:
    """Features at occupied voxels.

    features (N,C); coordinates (N,4) int32 batch, z, y, x, each voxel once; shape (z, y, x) of the grid; rules holds the
    rulebooks made so far, by the key of the layer, with the voxels they started from (or what spconv keeps of its own).
    """

    features: Tensor
    coordinates: Tensor
    shape: Triple
    batch: int
    rules: dict[str, Any] = field(default_factory=dict)

    def dense(self) -> Tensor:
        """Return the full grid (batch, C, z, y, x), zero where there is no voxel."""
        b, z, y, x = self.coordinates.long().unbind(1)
        grid = self.features.new_zeros(self.batch, *self.shape, self.features.shape[1])
        grid[b, z, y, x] = self.features
        return grid.permute(0, 4, 1, 2, 3)

    def with_features(self, features: Tensor) -> SparseTensor:
        """Return the same voxels with other features."""
        return replace(self, features=features)
