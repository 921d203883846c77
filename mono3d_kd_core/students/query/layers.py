"""Small parts that the query student's branches share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def group_norm(channels: int) -> nn.GroupNorm:
    """Return a normalisation over groups of eight channels: 32 groups of 256 as published."""
    return nn.GroupNorm(channels // 8, channels)


def tokens(features: Tensor) -> Tensor:
    """Lay the cells of a map (B,C,h,w) out as (B,h*w,C)."""
    return features.flatten(2).transpose(1, 2)


def sine_position(rows: int, columns: int, channels: int, device: torch.device) -> Tensor:
    """Return the sine encoding of the places of a map, (1,C,rows,columns): half the channels for y, half for x.

    (Vaswani et al., 2017; normalised to 2 pi over the map, as Carion et al., "DETR", ECCV 2020.)
    """
    half = channels // 2
    frequency = 10000 ** (torch.arange(half, device=device) // 2 * 2 / half)

    def along(count: int) -> Tensor:
        phase = (torch.arange(1, count + 1, device=device) / count * 2 * math.pi)[:, None] / frequency
        return torch.stack([phase[:, 0::2].sin(), phase[:, 1::2].cos()], -1).flatten(1)

    y = along(rows)[:, None].expand(-1, columns, -1)
    x = along(columns)[None].expand(rows, -1, -1)
    return torch.cat([y, x], -1).permute(2, 0, 1)[None]


class FeedForward(nn.Module):
    """Two linear layers beside a shortcut, then layer normalisation."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Dropout(dropout), nn.Linear(hidden, channels),
            nn.Dropout(dropout),
        )  # fmt: skip
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.norm(x + self.layers(x)))


def perceptron(inputs: int, outputs: int, layers: int) -> nn.Sequential:
    """Return `layers` linear layers of one width with ReLU between them."""
    hidden = [part for _ in range(layers - 1) for part in (nn.Linear(inputs, inputs), nn.ReLU(inplace=True))]
    return nn.Sequential(*hidden, nn.Linear(inputs, outputs))
