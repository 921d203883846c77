"""PointPillars' pillar features: a small PointNet over each column of points, scattered onto the ground."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

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
    as in the reference.
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
        if self.training:
            described = described * occupied[..., None]
            hidden: Tensor = layer.norm(layer.linear(described).flatten(0, 1)).relu()
            return hidden.view(*described.shape[:2], -1).amax(1)
        return self._sparse_maximum(layer, described, occupied, counts)

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

    def _sparse_maximum(self, layer: _PointLayer, described: Tensor, occupied: Tensor, counts: Tensor) -> Tensor:
        """The same maximum over real points only, with what a zero vector gives put in where a pillar is not full."""
        if len(described) == 0:
            return described.new_zeros(0, self.width)
        hidden = layer.norm(layer.linear(described[occupied])).relu()
        lengths = counts.long()
        best = torch.segment_reduce(hidden, "max", lengths=lengths)
        nothing = layer.norm(hidden.new_zeros(1, self.width)).relu()
        return torch.where((lengths < described.shape[1])[:, None], torch.maximum(best, nothing), best)


class _MapLayer(nn.Module):
    """Convolution, batch normalisation, ReLU: named as OpenPCDet's BasicBlock2D."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(width, width, 3, stride, 1), nn.BatchNorm2d(width)

    def forward(self, bev: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(bev)))


class PillarMap(nn.Module):
    """Pillar features at their cells of the ground, zero elsewhere, and convolutions over them where there are any.

    The first of `layers` convolutions halves the resolution (CMKD's PointPillarScatter; none in the published network).
    """

    def __init__(self, grid: VoxelGrid, width: int, layers: int = 0) -> None:
        super().__init__()
        self.columns, self.rows, _ = grid.shape
        self.conv_layers = nn.ModuleList(_MapLayer(width, 1 if i else 2) for i in range(layers))

    def of_clouds(self, vfe: PillarFeatures, clouds: Sequence[Voxels]) -> Tensor:
        """Return the map (B, C, rows, columns) of pillared clouds."""
        pillars, sample = stack(clouds)
        features = vfe(pillars)
        cells, cloud = (torch.from_numpy(array).to(features.device) for array in (pillars.coordinates, sample))
        bev: Tensor = self(features, cells, cloud, len(clouds))
        return bev

    def forward(self, features: Tensor, coordinates: Tensor, sample: Tensor, batch: int) -> Tensor:
        """Return the map (batch, C, rows, columns) of features (V, C).

        coordinates (V, 3) as z, y, x; sample (V,) says which of the batch each pillar belongs to.
        """
        cells = features.new_zeros(batch, self.rows * self.columns, features.shape[1])
        cells[sample.long(), coordinates[:, 1].long() * self.columns + coordinates[:, 2].long()] = features
        # Channels lie innermost in memory: nothing is transposed, and convolutions on the CPU are a sixth faster.
        bev = cells.view(batch, self.rows, self.columns, -1).permute(0, 3, 1, 2)
        for layer in self.conv_layers:
            bev = layer(bev)
        return bev
