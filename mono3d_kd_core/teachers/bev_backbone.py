"""The 2D backbone over a bird's-eye map that SECOND, PointPillars and CMKD's student share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.sparse import convolve_flat
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor

BAND_CELLS = 8192
"""Cells that are joined at a time where nothing is learned: their channels stay in the cache."""


def conv_bn_relu(layer: nn.Module, channels: int) -> list[nn.Module]:
    """Return a layer followed by batch normalisation as everywhere in OpenPCDet (eps 1e-3, momentum 0.01) and ReLU."""
    return [layer, nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU()]


class BevBackbone(nn.Module):
    """Levels of 3x3 convolutions, each brought back to one resolution and concatenated.

    (B, channels, rows, columns) -> (B, sum(up_filters), rows*, columns*). Level i: one convolution of stride strides[i],
    then layers[i] more; its result is upsampled by up_strides[i]. Parameter names equal OpenPCDet's BaseBEVBackbone
    (`blocks.i.j`, `deblocks.i.j`).
    """

    def __init__(
        self, channels: int, layers: Sequence[int], strides: Sequence[int], filters: Sequence[int],
        up_strides: Sequence[int], up_filters: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__()
        self.blocks, self.deblocks = nn.ModuleList(), nn.ModuleList()
        widths = [channels, *filters[:-1]]
        for before, depth, stride, width, up, up_width in zip(
            widths, layers, strides, filters, up_strides, up_filters, strict=True
        ):
            # OpenPCDet pads in a layer of its own. To pad in the convolution is the same, without a copy of the map.
            block: list[nn.Module] = [nn.Identity()]
            block += conv_bn_relu(nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False), width)
            for _ in range(depth):
                block += conv_bn_relu(nn.Conv2d(width, width, 3, padding=1, bias=False), width)
            self.blocks.append(nn.Sequential(*block))
            upsample = nn.ConvTranspose2d(width, up_width, up, stride=up, bias=False)
            self.deblocks.append(nn.Sequential(*conv_bn_relu(upsample, up_width)))
        self.channels, self._up_strides = sum(up_filters), tuple(up_strides)

    def forward(self, bev: Tensor | SparseTensor) -> Tensor:
        """Return the concatenated levels."""
        return self._join(self.levels(bev))

    def levels(self, bev: Tensor | SparseTensor) -> list[Tensor]:
        """Return the levels, each in its own resolution, of a map or of its occupied cells (one layer of voxels)."""
        levels = []
        for block in self.blocks:
            bev = _from_cells(block, bev) if isinstance(bev, SparseTensor) else block(bev)
            levels.append(bev)
        return levels

    def bands(self, bev: Tensor | SparseTensor) -> Iterator[Tensor]:
        """Yield the concatenated levels piece by piece along the rows: no more memory than a piece is written and read."""
        levels = self.levels(bev)
        parts = math.gcd(*(level.shape[2] for level in levels))
        cells = levels[0].shape[2] * levels[0].shape[3] * self._up_strides[0] ** 2
        step = max(1, round(parts * BAND_CELLS / cells))
        for start in range(0, parts, step):
            rows = [level.shape[2] // parts for level in levels]
            yield self._join([level[:, :, start * n : (start + step) * n] for level, n in zip(levels, rows, strict=True)])

    def _join(self, levels: Sequence[Tensor]) -> Tensor:
        return torch.cat([deblock(level) for deblock, level in zip(self.deblocks, levels, strict=True)], 1)


def _from_cells(block: nn.Module, cells: SparseTensor) -> Tensor:
    _, convolution, *others = block.children()
    if not isinstance(convolution, nn.Conv2d):
        raise TypeError(f"a level starts with a convolution, not with a {type(convolution).__name__}")
    bev = convolve_flat(cells, convolution)
    for layer in others:
        bev = layer(bev)
    return bev
