"""The query student's transformer: a visual encoder, and decoder layers whose queries ask depth, each other, the image.

After Zhang et al., "MonoDETR: Depth-guided Transformer for Monocular 3D Object Detection", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mono3d_kd_core.students.query.deformable import DeformableAttention
from mono3d_kd_core.students.query.layers import FeedForward, sine_position, tokens
from mono3d_kd_core.students.query.sampling import Shape

LEVELS = 4


class EncoderLayer(nn.Module):
    """Every cell of every level reads the levels around its own place."""

    def __init__(self, channels: int, heads: int, points: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.attention = DeformableAttention(channels, LEVELS, heads, points)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(channels)
        self.feed_forward = FeedForward(channels, feed_forward, dropout)

    def forward(self, cells: Tensor, place: Tensor, reference: Tensor, shapes: Sequence[Shape]) -> Tensor:
        read = self.attention(cells + place, reference, cells, shapes)
        return torch.as_tensor(self.feed_forward(self.norm(cells + self.dropout(read))))


class VisualEncoder(nn.Module):
    """Encoder layers over the cells of all levels; each level has an embedding of its own beside the cells' places."""

    def __init__(self, layers: int, channels: int, heads: int, points: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList(EncoderLayer(channels, heads, points, feed_forward, dropout) for _ in range(layers))
        self.level = nn.Parameter(torch.empty(LEVELS, channels))

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Map levels (B,C,h,w), fine to coarse, to the memory (B,L,C), level after level, row by row."""
        batch, channels = levels[0].shape[:2]
        shapes = [(level.shape[2], level.shape[3]) for level in levels]
        place = [tokens(sine_position(*shape, channels, self.level.device)) + one for shape, one in zip(shapes, self.level)]
        reference = torch.cat([centres(*shape, self.level.device) for shape in shapes])[None].expand(batch, -1, -1)
        cells = torch.cat([tokens(level) for level in levels], 1)
        for layer in self.layers:
            cells = layer(cells, torch.cat(place, 1), reference, shapes)
        return cells


class DecoderLayer(nn.Module):
    """Queries ask the depth embedding, one another within their group, and the visual memory."""

    def __init__(self, channels: int, heads: int, points: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.depth = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.depth_norm = nn.LayerNorm(channels)
        self.mutual = nn.MultiheadAttention(channels, heads, dropout, batch_first=True)
        self.mutual_norm = nn.LayerNorm(channels)
        self.visual = DeformableAttention(channels, LEVELS, heads, points)
        self.visual_norm = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)
        self.feed_forward = FeedForward(channels, feed_forward, dropout)

    def forward(
        self, hidden: Tensor, place: Tensor, groups: int, reference: Tensor, depth: Tensor, memory: Tensor,
        shapes: Sequence[Shape],
    ) -> Tensor:  # fmt: skip
        """Map hidden states (B,G*Q,C); depth (B,h*w,C) are the cells of the depth embedding."""
        found = self.depth(hidden, depth, depth, need_weights=False)[0]
        hidden = self.depth_norm(hidden + self.dropout(found))
        apart = (hidden.shape[0] * groups, -1, hidden.shape[2])
        value, asking = hidden.reshape(apart), (hidden + place).reshape(apart)
        found = self.mutual(asking, asking, value, need_weights=False)[0]
        hidden = self.mutual_norm(hidden + self.dropout(found.reshape(hidden.shape)))
        found = self.visual(hidden + place, reference, memory, shapes)
        hidden = self.visual_norm(hidden + self.dropout(found))
        return torch.as_tensor(self.feed_forward(hidden))


def centres(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return the middles of a level's cells (rows*columns,2): x and y from 0 to 1, row by row."""
    y, x = torch.meshgrid(
        (torch.arange(rows, device=device) + 0.5) / rows, (torch.arange(columns, device=device) + 0.5) / columns,
        indexing="ij",
    )  # fmt: skip
    return torch.stack([x, y], -1).flatten(0, 1)
