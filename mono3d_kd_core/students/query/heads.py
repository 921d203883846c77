"""What the queries say, layer by layer, and how their three opinions on depth become one (MonoDETR, section 3.3)."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import DEPTH_BIAS, HEADING_BINS
from mono3d_kd_core.students.keypoint_losses import depth_of
from mono3d_kd_core.students.query.layers import perceptron

PRIOR = 0.01
"""Probability with which every class starts."""


class Answers(NamedTuple):
    """What a decoder layer's queries say; all (B,Q,...), Q counting all groups in training."""

    logits: Tensor
    """Of the classes."""
    box: Tensor
    """Projected 3D centre x, y and its distances to the left, right, top and bottom of the 2D box, shares of the picture."""
    size: Tensor
    """Length, width, height in metres (3)."""
    depth: Tensor
    """Metres at the reference focal length."""
    log_std: Tensor
    """Log standard deviation of the depth, Laplacian."""
    heading: Tensor
    """12 bin logits and 12 residuals of the observation angle alpha, radians (24)."""


class Heads(nn.Module):
    """The heads of one decoder layer."""

    def __init__(self, channels: int, classes: int, mean_size: Tensor) -> None:
        super().__init__()
        self.classify = nn.Linear(channels, classes)
        self.box = perceptron(channels, 6, 3)
        self.size = perceptron(channels, 3, 2)
        self.depth = perceptron(channels, 2, 2)
        self.heading = perceptron(channels, 2 * HEADING_BINS, 2)
        with torch.no_grad():
            self.classify.bias.fill_(-math.log((1 - PRIOR) / PRIOR))
            # Where the objects are, and as large: geometry divides the one by the other.
            self.size.get_parameter("2.bias").copy_(mean_size)
            self.depth.get_parameter("2.bias").copy_(torch.tensor(DEPTH_BIAS))

    def refined(self, hidden: Tensor, reference: Tensor) -> Tensor:
        """Return boxes (B,Q,6): the reference (B,Q,2 or 6), moved as the hidden states (B,Q,C) say."""
        moved = self.box(hidden).float()
        before = inverse_sigmoid(reference.float())
        if before.shape[-1] == 2:
            before = functional.pad(before, (0, 4))
        return torch.as_tensor((moved + before).sigmoid())

    def forward(self, hidden: Tensor, box: Tensor, metres: Tensor, focal: float, height: int) -> Answers:
        """Say all else about the boxes.

        metres (B,h,w) is the foreground depth map; focal (pixels) the reference focal length; height (pixels) the picture's.
        Depth is the mean of what is regressed, of focal x height of the object / height of its 2D box, and of the map there.
        """
        size = self.size(hidden).float()
        depth = self.depth(hidden).float()
        tall = ((box[..., 4] + box[..., 5]) * height).clamp(min=1)
        geometric = focal * size[..., 2] / tall
        at = (box[..., :2].detach() * 2 - 1)[:, :, None]
        read = functional.grid_sample(metres[:, None], at, "bilinear", "zeros", align_corners=True)[:, 0, :, 0]
        mean = (depth_of(depth[..., 0]) + geometric + read) / 3
        return Answers(self.classify(hidden).float(), box, size, mean, depth[..., 1], self.heading(hidden).float())


def inverse_sigmoid(share: Tensor) -> Tensor:
    """Return the logits of shares, kept away from 0 and 1 by 1e-5."""
    share = share.clamp(0, 1)
    return torch.log(share.clamp(min=1e-5) / (1 - share).clamp(min=1e-5))
