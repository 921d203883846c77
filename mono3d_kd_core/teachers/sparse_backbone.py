"""SECOND's 3D backbone: voxels, eight times coarser step by step, onto the ground (Yan et al. 2018, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.sparse import SparseConv3d, SubmanifoldConv3d
from mono3d_kd_core.teachers.sparse_layers import ResidualBlock, SparseSequential, unit
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels, stack

STRIDE = 8
"""Voxels along a side of a cell of the bird's-eye map."""
_PADDINGS = ((1, 1, 1), (1, 1, 1), (0, 1, 1))


class SparseBackbone(nn.Module):
    """Submanifold convolutions at four resolutions, with a strided one before each but the first; then height into channels.

    widths are the channels at the four resolutions, out those of the last convolution. Plain, it is OpenPCDet's
    VoxelBackBone8x: (16, 32, 64, 64), 128. residual, it is VoxelResBackBone8x, (16, 32, 64, 128), 128, of CenterPoint, or
    CMKD's VoxelResBackBone8x_c64, (16, 32, 64, 64), 64. Parameter names are theirs.
    """

    def __init__(self, channels: int, widths: tuple[int, ...], out: int, residual: bool) -> None:
        super().__init__()
        first, *coarser = widths
        self.conv_input = unit(SubmanifoldConv3d(channels, first, 3, "level1"))
        self.conv1 = SparseSequential(*_refinement(first, "level1", residual, 2 if residual else 1))
        for number, (before, width, padding) in enumerate(zip(widths[:-1], coarser, _PADDINGS, strict=True), 2):
            down = unit(SparseConv3d(before, width, 3, 2, padding, f"down{number}"))
            stage = SparseSequential(down, *_refinement(width, f"level{number}", residual, 2))
            self.add_module(f"conv{number}", stage)
        self.conv_out = unit(SparseConv3d(widths[-1], out, (3, 1, 1), (2, 1, 1), 0, "out"))

    def forward(self, x: SparseTensor) -> SparseTensor:
        """Return the voxels of the last resolution: an eighth along x and y, about a sixteenth along z."""
        for stage in self.children():
            x = stage(x)
        return x

    def ground_map(self, clouds: Sequence[Voxels], grid: VoxelGrid) -> Tensor:
        """Return the bird's-eye map (B,C,rows,columns) of voxelised clouds, a voxel being the mean of its points."""
        voxels, sample = stack(clouds)
        device = next(self.parameters()).device
        coordinates = np.column_stack([sample, voxels.coordinates])
        # Voxels in lexical order: neighbours in space are neighbours in memory.
        order = np.lexsort(coordinates.T[::-1])
        columns, rows, levels = grid.shape
        features, cells = (torch.from_numpy(array[order]).to(device) for array in (voxels.means(), coordinates))
        return height_to_channels(self(occupied(features, cells, (levels, rows, columns), len(clouds))))


def _refinement(width: int, key: str, residual: bool, count: int) -> list[nn.Module]:
    if residual:
        return [ResidualBlock(width, key) for _ in range(count)]
    return [unit(SubmanifoldConv3d(width, width, 3, key)) for _ in range(count)]


def levels_left(levels: int) -> int:
    """Return how many layers of height the backbone leaves of so many layers of voxels."""
    for padding in _PADDINGS:
        levels = (levels + 2 * padding[0] - 3) // 2 + 1
    return (levels - 3) // 2 + 1


def height_to_channels(x: SparseTensor) -> Tensor:
    """Return the bird's-eye map (batch, C*z, rows, columns): the layers of height side by side in the channels, C outer."""
    z, rows, columns = x.shape
    b, level, row, column = x.coordinates.long().unbind(1)
    cells = x.features.new_zeros(x.batch * rows * columns, x.features.shape[1], z)
    cells[(b * rows + row) * columns + column, :, level] = x.features
    return cells.view(x.batch, rows, columns, -1).permute(0, 3, 1, 2)


def occupied(features: Tensor, coordinates: Tensor, shape: tuple[int, int, int], batch: int) -> SparseTensor:
    """Return voxels for the backbone; shape is z, y, x of the grid, to which one layer is added on top, as in SECOND."""
    return SparseTensor(features, coordinates.to(torch.int32), (shape[0] + 1, *shape[1:]), batch)
