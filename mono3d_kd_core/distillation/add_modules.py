"""ADD's train-only modules on the student's side: 3D-aware self-attention and target-aware cross-attention.

The paper names them; their make-up is ours (see docs/methods/add.md).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.distillation.regions import Objects
from mono3d_kd_core.heads.keypoint import CHANNELS

POOL = 4
"""Attention works on maps pooled so many times: stride 16 of a stride 4 map. Hosts with coarser maps have their own."""


class SelfAttention3D(nn.Module):
    """One pre-norm transformer layer over the cells of a pooled map, with positions on queries and keys only."""

    def __init__(self, channels: int, heads: int = 8, pool: int = POOL) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.LayerNorm(channels)
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(channels), nn.Linear(channels, 4 * channels), nn.ReLU(inplace=True),
            nn.Linear(4 * channels, channels),
        )  # fmt: skip

    def forward(self, features: Tensor, position: Tensor) -> Tensor:
        """Map (B,C,h,w), with positions (B,C,h/pool,w/pool), to the same shape: what attention adds, added."""
        pooled = functional.avg_pool2d(features, self.pool)
        rows, columns = pooled.shape[-2:]
        tokens, place = pooled.flatten(2).transpose(1, 2), position.flatten(2).transpose(1, 2)
        normal = self.norm(tokens)
        attended = self.attention(normal + place, normal + place, normal, need_weights=False)[0]
        mixed = tokens + attended
        added = attended + self.feed_forward(mixed)
        added = added.transpose(1, 2).unflatten(2, (rows, columns))
        return features + functional.interpolate(added, features.shape[-2:], mode="bilinear", align_corners=False)


class TargetAttention(nn.Module):
    """Each target asks the student's map, and what it finds corrects the student's answers about it.

    A query knows the target: the teacher's features in its box, its 2D box, its class and its place. It decides where to
    look and nothing more, since only values, which are the student's features, pass to the answer.
    """

    def __init__(
        self, channels: int, classes: int, heads: int = 8, values: int = sum(CHANNELS.values()), pool: int = POOL
    ) -> None:
        """Correct `values` numbers and the class logits; the defaults are those of the keypoint student."""
        super().__init__()
        self.classes, self.pool = classes, pool
        self.region = nn.Linear(channels, channels)
        self.target = nn.Sequential(
            nn.Linear(4 + classes, channels), nn.ReLU(inplace=True), nn.Linear(channels, channels)
        )
        self.attention = nn.MultiheadAttention(channels, heads, batch_first=True)
        self.project = nn.Linear(channels, values + classes)
        # At first the student's answers stand as they are.
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor, position: Tensor, regions: Tensor, objects: Objects, size: Tensor) -> Tensor:
        """Return corrections (K,values+classes): the host's numbers in their order, then the class logits.

        features (B,C,h,w); position (B,C,h/pool,w/pool); regions (K,C,7,7) of the teacher; size (2,) width and
        height of the picture.
        """
        pooled = functional.avg_pool2d(features, self.pool)
        place = self._at(position, objects, size)
        one_hot = functional.one_hot(objects.label, self.classes).to(features)
        box = objects.box2d / size.repeat(2)
        query = self.region(regions.mean((2, 3))) + self.target(torch.cat([box, one_hot], 1)) + place
        keys = (pooled + position).flatten(2).transpose(1, 2)
        values = pooled.flatten(2).transpose(1, 2)
        found = query.new_zeros(query.shape)
        for image in sorted(set(objects.image.tolist())):
            mine = objects.image == image
            one = slice(image, image + 1)
            # In mixed precision the answer is of lower precision than the query.
            found[mine] = self.attention(query[mine][None], keys[one], values[one], need_weights=False)[0][0].to(found)
        return torch.as_tensor(self.project(found))

    @staticmethod
    def _at(position: Tensor, objects: Objects, size: Tensor) -> Tensor:
        """Read the positions (K,C) in the middle of the targets' boxes."""
        rows, columns = position.shape[-2:]
        middle = (objects.box2d[:, :2] + objects.box2d[:, 2:]) / 2 / size
        column = (middle[:, 0] * columns).long().clamp(0, columns - 1)
        row = (middle[:, 1] * rows).long().clamp(0, rows - 1)
        return position[objects.image, :, row, column]
