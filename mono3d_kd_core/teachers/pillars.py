"""PointPillars' pillar features: a small PointNet over each column of points, scattered onto the ground."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.sparse import convolve_flat
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels, stack


class _PointLayer(nn.Module):
    """Linear, batch normalisation, ReLU: named as OpenPCDet's PFNLayer."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, width, bias=False)
        self.norm = nn.BatchNorm1d(width, eps=1e-3, momentum=0.01)


class PillarFeatures(nn.Module):
    """Pillar feature network (Lang et al., CVPR 2019, section 2.1), equal to OpenPCDet's PillarVFE with one layer.

    Each point is described by x, y, z, intensity, its offset from the pillar's mean and from the pillar's centre: 10
    numbers. Places of a pillar that hold no point take part as zero vectors in the maximum and in the batch statistics,
    as in the reference; nothing is computed for them.
    """

    def __init__(self, grid: VoxelGrid, width: int = 64) -> None:
        super().__init__()
        self.grid, self.width = grid, width
        self.pfn_layers = nn.ModuleList([_PointLayer(10, width)])

    def forward(self, voxels: Voxels) -> Tensor:
        """Return the features (V, width) of V pillars."""
        layer = self._layer
        device = next(self.parameters()).device
        points = torch.from_numpy(voxels.points).to(device)
        counts = torch.from_numpy(voxels.counts).to(device)
        described = self._describe(points, counts, torch.from_numpy(voxels.coordinates).to(device))
        occupied = torch.arange(points.shape[1], device=device)[None] < counts[:, None]
        if len(described) == 0:
            return described.new_zeros(0, self.width)
        hidden = layer.linear(described[occupied])
        scale, shift = self._normalisation(layer.norm, hidden, counts.numel() * points.shape[1])
        best = torch.segment_reduce((hidden * scale + shift).relu(), "max", lengths=counts.long())
        return torch.where((counts < points.shape[1])[:, None], torch.maximum(best, shift.relu()), best)

    def _normalisation(self, norm: nn.BatchNorm1d, hidden: Tensor, places: int) -> tuple[Tensor, Tensor]:
        """Return what batch normalisation multiplies by and adds, for real points whose fellows up to `places` are zero.

        Linear layers give zero for zero, so the statistics over all places need the real points' sums alone.
        """
        mean, variance, seen = norm.running_mean, norm.running_var, norm.num_batches_tracked
        if mean is None or variance is None or seen is None or norm.momentum is None:
            raise TypeError("the normalisation of pillars keeps running statistics")
        if self.training:
            running = mean, variance
            mean = hidden.sum(0) / places
            variance = ((hidden - mean).square().sum(0) + (places - len(hidden)) * mean.square()) / places
            with torch.no_grad():
                for kept, value in zip(running, (mean, variance * places / max(places - 1, 1)), strict=True):
                    kept.lerp_(value, norm.momentum)
                seen.add_(1)
        scale = norm.weight * torch.rsqrt(variance + norm.eps)
        return scale, norm.bias - mean * scale

    @property
    def _layer(self) -> _PointLayer:
        layer = self.pfn_layers[0]
        if not isinstance(layer, _PointLayer):
            raise TypeError(f"a pillar network has no place for a {type(layer).__name__}")
        return layer

    def _describe(self, points: Tensor, counts: Tensor, coordinates: Tensor) -> Tensor:
        mean = points[..., :3].sum(1, keepdim=True) / counts.clamp_min(1).view(-1, 1, 1)
        size, low = points.new_tensor(self.grid.size), points.new_tensor(self.grid.low)
        centre = (coordinates.flip(1) + 0.5) * size + low
        return torch.cat([points, points[..., :3] - mean, points[..., :3] - centre[:, None]], -1)


class _MapLayer(nn.Module):
    """Convolution, batch normalisation, ReLU: named as OpenPCDet's BasicBlock2D."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, width, 3, stride, 1), nn.BatchNorm2d(width)

    def forward(self, bev: Tensor | SparseTensor) -> Tensor:
        convolved = convolve_flat(bev, self.conv) if isinstance(bev, SparseTensor) else self.conv(bev)
        return torch.relu(self.bn(convolved))


class PillarMap(nn.Module):
    """Pillar features at their cells of the ground, and convolutions over them where there are any.

    The first of `layers` convolutions halves the resolution (CMKD's PointPillarScatter; none in the published network).
    """

    def __init__(self, grid: VoxelGrid, width: int, layers: int = 0) -> None:
        super().__init__()
        self.columns, self.rows, _ = grid.shape
        self.conv_layers = nn.ModuleList(_MapLayer(width, 1 if i else 2) for i in range(layers))

    def forward(self, vfe: PillarFeatures, clouds: Sequence[Voxels]) -> Tensor | SparseTensor:
        """Return the map (B, C, rows, columns) of pillared clouds, or its occupied cells where no convolution is over it.

        On CUDA always the map: there a dense convolution is faster than one cell by cell.
        """
        pillars, sample = stack(clouds)
        coordinates = np.column_stack([sample, pillars.coordinates])
        # Cells in lexical order: neighbours on the ground are neighbours in memory.
        order = np.lexsort((coordinates[:, 3], coordinates[:, 2], coordinates[:, 0]))
        features = vfe(Voxels(pillars.points[order], pillars.coordinates[order], pillars.counts[order]))
        cells = torch.from_numpy(coordinates[order]).to(features.device)
        bev: Tensor | SparseTensor = SparseTensor(features, cells, (1, self.rows, self.columns), len(clouds))
        for layer in self.conv_layers:
            bev = layer(bev)
        return map_of(bev) if features.is_cuda else bev


def map_of(bev: Tensor | SparseTensor) -> Tensor:
    """Return the map (B, C, rows, columns) of what may be its occupied cells alone; other cells hold zeros.

    Channels lie innermost in memory: nothing is transposed, and convolutions on the CPU are a sixth faster.
    """
    return bev.dense().squeeze(2) if isinstance(bev, SparseTensor) else bev
