"""The student of HVDistill: a LiDAR detector's 3D backbone, with two heads that only its training needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.teachers.sparse_backbone import STRIDE, SparseBackbone, height_to_channels, occupied
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.volumes import VoxelConfig
from mono3d_kd_core.teachers.voxels import assign_voxels, stack, voxelise

LEVELS = ("conv1", "conv2", "conv3", "conv4")
Cloud = NDArray[np.float32]


@dataclass(frozen=True)
class PointFeatures:
    """What the student says of a batch of clouds, in vectors of length 1.

    points (P,C) are those of the points that have a voxel: number `index` (P,) of the cloud `sample` (P,). ground (M,C)
    are those of the cells of the bird's-eye map with points, `cells` (M,3) sample, row, column.
    """

    points: Tensor
    sample: Tensor
    index: Tensor
    ground: Tensor
    cells: Tensor


class PointStudent(nn.Module):
    """Points (N,4) -> voxels -> 3D backbone -> a vector for each point, and one for each cell of the ground.

    A point's vector is a linear map of its voxel's features at the backbone's four resolutions, side by side; a cell's is
    one of the detector's own bird's-eye map. So everything that is taught is taught to the backbone.
    """

    def __init__(self, config: VoxelConfig, channels: int) -> None:
        super().__init__()
        self.config = config
        self.backbone_3d = SparseBackbone(4, config.widths, config.out_width, config.residual)
        self.point_head = nn.Linear(sum(config.widths), channels)
        self.ground_head = nn.Linear(config.bev_channels, channels)

    def forward(self, clouds: Sequence[Cloud]) -> PointFeatures:
        """Look at a batch; points outside the volume, or beyond the voxels' number, get no vector."""
        x, voxel, sample, index = self._voxels(clouds)
        start = x.coordinates.long()
        levels: list[Tensor] = []
        for name, stage in self.backbone_3d.named_children():
            x = stage(x)
            if name in LEVELS:
                levels.append(_at(x, start, len(levels)))
        cells = torch.unique(torch.stack([start[:, 0], start[:, 2] // STRIDE, start[:, 3] // STRIDE], 1), dim=0)
        b, row, column = cells.unbind(1)
        ground = self.ground_head(height_to_channels(x).permute(0, 2, 3, 1)[b, row, column])
        points = self.point_head(torch.cat(levels, 1))
        return PointFeatures(_unit(points)[voxel], sample, index, _unit(ground), cells)

    def _voxels(self, clouds: Sequence[Cloud]) -> tuple[SparseTensor, Tensor, Tensor, Tensor]:
        """Return the voxels, and for each point that has one: its voxel's row, its cloud and its number there."""
        c = self.config
        cut = [voxelise(points, c.grid, c.max_points, c.capacity(self.training)) for points in clouds]
        voxels, of = stack(cut)
        coordinates = np.column_stack([of, voxels.coordinates])
        # Voxels in lexical order, as the detector has them: neighbours in space are neighbours in memory.
        order = np.lexsort(coordinates.T[::-1])
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        columns, rows, levels = c.grid.shape
        device = self.point_head.weight.device
        features, cells = (torch.from_numpy(array[order]).to(device) for array in (voxels.means(), coordinates))

        places, first = [], 0
        for number, (points, own) in enumerate(zip(clouds, cut)):
            # Both count voxels by first appearance; those beyond the last that was kept have no features.
            found, _ = assign_voxels(points, c.grid)
            index = np.flatnonzero((found >= 0) & (found < len(own.counts)))
            places.append(np.stack([rank[first + found[index]], np.full(len(index), number), index]))
            first += len(own.counts)
        voxel, sample, index = torch.from_numpy(np.concatenate(places, 1)).to(device)
        return occupied(features, cells, (levels, rows, columns), len(clouds)), voxel, sample, index


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=1)


def _at(x: SparseTensor, start: Tensor, halvings: int) -> Tensor:
    """Return the features (V,C) of the voxels of `x` in which finer ones, `start` (V,4), lie, so many halvings below."""
    levels, rows, columns = x.shape

    def key(cells: Tensor) -> Tensor:
        b, z, y, column = cells.unbind(1)
        return ((b * levels + z) * rows + y) * columns + column

    parents = start.clone()
    parents[:, 1:] >>= halvings
    # The topmost layer of an even number ends in the one below (no padding upwards in the last halving).
    parents[:, 1].clamp_(max=levels - 1)
    known, order = key(x.coordinates.long()).sort()
    wanted = key(parents)
    place = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
    features = x.features[order[place]]
    return torch.where((known[place] == wanted)[:, None], features, 0.0)
