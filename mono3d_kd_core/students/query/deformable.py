"""Multi-scale deformable attention (Zhu et al., "Deformable DETR", ICLR 2021) by bilinear sampling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mono3d_kd_core.students.query.sampling import Shape, sample_levels


class DeformableAttention(nn.Module):
    """Each query reads a few places near its reference point on each level, which it chooses itself (Zhu et al., eq. 3)."""

    def __init__(self, channels: int, levels: int, heads: int, points: int) -> None:
        super().__init__()
        self.shape = (heads, levels, points)
        self.offsets = nn.Linear(channels, heads * levels * points * 2)
        self.weights = nn.Linear(channels, heads * levels * points)
        self.value = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def reset(self) -> None:
        """Start with equal weights and with each head looking into a direction of its own, point by point farther."""
        heads, levels, points = self.shape
        for layer in (self.offsets, self.weights, self.value, self.output):
            nn.init.zeros_(layer.bias)
        for layer in (self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.offsets, self.weights):
            nn.init.zeros_(layer.weight)
        angle = torch.arange(heads) * (2 * math.pi / heads)
        direction = torch.stack([angle.cos(), angle.sin()], -1)
        direction = direction / direction.abs().amax(-1, keepdim=True)
        reach = torch.arange(1, points + 1)
        bias = direction[:, None, None] * reach[None, None, :, None]
        with torch.no_grad():
            self.offsets.bias.copy_(bias.expand(heads, levels, points, 2).flatten())

    def forward(self, query: Tensor, reference: Tensor, memory: Tensor, shapes: Sequence[Shape]) -> Tensor:
        """Map queries (B,N,C) to what they read of the memory (B,L,C), (B,N,C).

        reference (B,N,2) is x and y from 0 to 1, and offsets then count cells of each level; or (B,N,6) adds the distances
        to the left, right, top and bottom edges of a box, and offsets count half its sides, over the number of points.
        """
        heads, _, points = self.shape
        batch, count = query.shape[:2]
        value = self.value(memory).view(batch, -1, heads, memory.shape[-1] // heads)
        offsets = self.offsets(query).view(batch, count, *self.shape, 2)
        weights = self.weights(query).view(batch, count, heads, -1).softmax(-1).view(batch, count, *self.shape)
        if reference.shape[-1] == 2:
            unit = reference.new_tensor([[1 / columns, 1 / rows] for rows, columns in shapes])[None, None, None, :, None]
        else:
            sides = reference[..., 2::2] + reference[..., 3::2]
            unit = (sides / 2 / points)[:, :, None, None, None]
        locations = reference[:, :, None, None, None, :2] + offsets * unit
        # Places are too coarse in half precision.
        with torch.autocast(query.device.type, enabled=False):
            read = sample_levels(value.float(), shapes, locations.float(), weights.float())
        return torch.as_tensor(self.output(read))
