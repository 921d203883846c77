"""The depth-guided self-teaching network of SKD-WM3D (Jiang et al., CVPR 2024): the student's view, and depth in it.

Published: global features, from them depth features and a depth map that follows an off-the-shelf one, a fusion to features
of 3D, and a depth-aware head. Layers, widths and the sharing of the student's backbone are ours, after MonoDETR.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.heads.keypoint import KeypointHead
from mono3d_kd_core.students.keypoint import KeypointConfig
from mono3d_kd_core.students.layers import conv_bn_relu
from mono3d_kd_core.students.necks import build_neck

BINS = DepthBins(80, 1e-3, 60.0)
"""Of depth at the reference focal length."""
STRIDE = 16
"""Of the depth map."""
POOL = 4
HEADS = 8
_LEVELS = (8, 16, 32)


class Lesson3D(NamedTuple):
    """What the network makes of a batch: neck (B,C,H/4,W/4) with depth in it; heatmap logits (B,classes,H/4,W/4); bins
    (B,81,H/16,W/16) logits of depth; depth (B,H/16,W/16) its expectation, metres at the reference focal length."""

    neck: Tensor
    heatmap: Tensor
    bins: Tensor
    depth: Tensor


class SelfTeacher(nn.Module):
    """Its own neck, depth head, fusion and detection head on the student's backbone. Needed in training only."""

    def __init__(self, config: KeypointConfig, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.neck = build_neck(config.neck, channels, config.neck_channels)
        width = self.neck.channels
        self.depth = DepthPredictor(channels, width)
        self.fusion = DepthFusion(width)
        self.head = KeypointHead(width, config.head_channels, len(config.classes))

    def forward(self, features: Mapping[int, Tensor]) -> Lesson3D:
        """Look at the backbone's maps {stride: (B,C,H/stride,W/stride)}."""
        seen, bins = self.depth(features)
        depth = self.depth.expectation(bins)
        neck = self.fusion(self.neck(features), seen, depth)
        return Lesson3D(neck, self.head.heatmap_logits(neck), bins, depth)


class DepthPredictor(nn.Module):
    """Depth features and bins at stride 16: the levels joined there, three 3x3 convolutions, one 1x1."""

    middle: Tensor

    def __init__(self, channels: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleDict({str(stride): nn.Conv2d(channels[stride], width, 1) for stride in _LEVELS})
        self.features = nn.Sequential(*(conv_bn_relu(width, width) for _ in range(3)))
        self.bins = nn.Conv2d(width, BINS.count + 1, 1)
        # What is out of range counts as lying at its end, as in MonoDETR.
        middle = BINS.depth(np.arange(BINS.count) + 0.5)
        self.register_buffer("middle", torch.tensor([*middle, BINS.far], dtype=torch.float32), persistent=False)

    def forward(self, features: Mapping[int, Tensor]) -> tuple[Tensor, Tensor]:
        """Return depth features (B,C,h,w) and logits (B,81,h,w)."""
        size = features[STRIDE].shape[-2:]
        levels = [
            functional.interpolate(self.lateral[str(s)](features[s]), size, mode="bilinear", align_corners=False)
            for s in _LEVELS
        ]
        seen = self.features(torch.stack(levels).sum(0))
        return seen, self.bins(seen)

    def expectation(self, bins: Tensor) -> Tensor:
        """Return the mean depth (B,h,w) of bins' logits (B,81,h,w)."""
        return (bins.float().softmax(1) * self.middle[:, None, None]).sum(1)


class DepthFusion(nn.Module):
    """Features with depth in them: an embedding of each place's depth, and what attention to the depth features finds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(0.1 * torch.randn(int(BINS.far) + 1, width))
        self.depth_norm, self.image_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.cross_attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.ReLU(inplace=True), nn.Linear(4 * width, width)
        )

    def embedding(self, depth: Tensor) -> Tensor:
        """Return the table's rows, one a metre, interpolated at depths (...): (...,C)."""
        at = depth.clamp(0, len(self.table) - 1 - 1e-3)
        low = at.floor().long()
        share = (at - low)[..., None]
        return (1 - share) * self.table[low] + share * self.table[low + 1]

    def forward(self, neck: Tensor, seen: Tensor, depth: Tensor) -> Tensor:
        """Map the neck (B,C,4h,4w), depth features (B,C,h,w) and depths (B,h,w) to the neck with what was added to it."""
        rows, columns = depth.shape[-2:]
        place = self.embedding(depth.flatten(1)).to(neck.dtype)
        normal = self.depth_norm(seen.flatten(2).transpose(1, 2))
        tokens = normal + self.self_attention(normal + place, normal + place, normal, need_weights=False)[0]
        image = functional.avg_pool2d(neck, POOL).flatten(2).transpose(1, 2) + place
        found = self.cross_attention(self.image_norm(image), tokens + place, tokens, need_weights=False)[0]
        added = place + found + self.feed_forward(image + found)
        added = added.transpose(1, 2).unflatten(2, (rows, columns))
        return neck + functional.interpolate(added, scale_factor=float(POOL), mode="bilinear", align_corners=False)
