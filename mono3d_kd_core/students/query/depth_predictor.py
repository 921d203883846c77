"""The depth branch of the query student: a foreground depth map, and features that know their depth (MonoDETR, 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.query.layers import FeedForward, group_norm, tokens

STRIDE = 16


@dataclass(frozen=True)
class SeenDepth:
    """What the depth branch says of a batch at stride 16.

    logits (B,bins+1,h,w), the last for what is no object or out of range; metres (B,h,w) the expected depth at the
    reference focal length; embedding (B,C,h,w) the features that queries ask.
    """

    logits: Tensor
    metres: Tensor
    embedding: Tensor


class DepthPredictor(nn.Module):
    """Joins strides 8, 16 and 32, classifies depth, and encodes it by one transformer layer with depth positions."""

    bin_depth: Tensor

    def __init__(self, channels: int, heads: int, feed_forward: int, dropout: float, bins: DepthBins) -> None:
        super().__init__()
        self.bins = bins
        self.fine = nn.Sequential(nn.Conv2d(channels, channels, 3, 2, 1), group_norm(channels))
        self.middle = nn.Sequential(nn.Conv2d(channels, channels, 1), group_norm(channels))
        self.coarse = nn.Sequential(nn.Conv2d(channels, channels, 1), group_norm(channels))
        self.head = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1), group_norm(channels), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1), group_norm(channels), nn.ReLU(inplace=True),
        )  # fmt: skip
        self.classify = nn.Conv2d(channels, bins.count + 1, 1)
        self.attention = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.attended = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(channels, feed_forward, dropout)
        self.depth_position = nn.Embedding(int(bins.far) + 1, channels)
        """One for each whole metre."""
        # A bin stands for the depth at its near edge, as released; beyond the last, for the farthest.
        edges = np.append(bins.depth(np.arange(bins.count, dtype=np.float64)), bins.far)
        self.register_buffer("bin_depth", torch.from_numpy(edges).float().view(1, -1, 1, 1), persistent=False)

    def forward(self, levels: Sequence[Tensor], position: Tensor) -> SeenDepth:
        """Read the levels (B,C,...) at strides 8, 16, 32; position (1,C,h,w) is that of stride 16."""
        features = self.joined(levels)
        logits = self.classify(features).float()
        metres = self.expected(logits)
        return SeenDepth(logits, metres, self.encoded(features, position, metres))

    def joined(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the features (B,C,h,w) from which depth is read."""
        fine, middle, coarse = levels[:3]
        size = middle.shape[-2:]
        upsampled = functional.interpolate(coarse, size, mode="bilinear", align_corners=False)
        return torch.as_tensor(self.head((self.fine(fine) + self.middle(middle) + self.coarse(upsampled)) / 3))

    def expected(self, logits: Tensor) -> Tensor:
        """Return the expected depth (B,h,w) of logits (B,bins+1,h,w), metres."""
        return (logits.softmax(1) * self.bin_depth).sum(1)

    def encoded(self, features: Tensor, position: Tensor, metres: Tensor) -> Tensor:
        """Let the cells of (B,C,h,w) attend to each other, and add what stands for their depth."""
        cells, place = tokens(features), tokens(position)
        asking = cells + place
        mixed = self.attention(asking, asking, cells, need_weights=False)[0]
        cells = self.feed_forward(self.attended(cells + self.dropout(mixed)))
        return torch.as_tensor(cells.transpose(1, 2).reshape(features.shape) + self.depth_positions(metres))

    def depth_positions(self, metres: Tensor) -> Tensor:
        """Interpolate the embeddings of whole metres at depths (B,h,w): (B,C,h,w)."""
        last = self.depth_position.num_embeddings - 1
        near = metres.clamp(0, last)
        below = near.floor()
        share = (near - below)[..., None]
        index = below.long()
        lower, upper = self.depth_position(index), self.depth_position((index + 1).clamp(max=last))
        mixed: Tensor = lower * (1 - share) + upper * share
        return torch.permute(mixed, (0, 3, 1, 2))
