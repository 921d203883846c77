"""SKD-WM3D's losses, each a function of tensors of K objects (Jiang et al., CVPR 2024; no code was released).

The paper's ideas are known, most of its equations are not: each docstring says what is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import HEADING_BINS
from mono3d_kd_core.students.keypoint_losses import LOG_STD_RANGE

EDGE_SHARE, EDGE_BETA = 0.1, 0.01
"""How much the edges count beside the overlap; where (as a share of the picture) their loss turns from square to line."""
SIZE_MARGIN = 0.15
FOREGROUND = 13.0
"""Cells in 2D boxes count so much in the loss of the depth map (Reading et al., CVPR 2021; Zhang et al., "MonoDETR")."""
METRE = 0.1
"""What a metre of the depth map's expectation counts: the backbone that it reaches is the student's, too."""
MARGIN = 0.1
SCALES = {"depth": 1.0, "size": 0.1, "offset3d": 1.0, "axis": 0.1}
"""Differences that count as one: metres, metres, pixels, radians."""


def overlap(one: Tensor, other: Tensor) -> Tensor:
    """Return the intersection over union (...,) of boxes (...,4)."""
    intersection, union = _shared(one, other)
    return intersection / union


def generalised_iou(one: Tensor, other: Tensor) -> Tensor:
    """Return the generalised intersection over union (...,) of boxes (...,4) (Rezatofighi et al., CVPR 2019)."""
    intersection, union = _shared(one, other)
    outer = torch.cat([torch.minimum(one, other)[..., :2], torch.maximum(one, other)[..., 2:]], -1)
    hull = _area(outer).clamp_min(1e-6)
    return intersection / union - (hull - union) / hull


def uncut(projected: Tensor, box: Tensor, cut: Tensor) -> Tensor:
    """Return projected boxes (K,A,4) with the label's edges (K,4) where the image has `cut` (K,4) the object."""
    return torch.where(cut[:, None], box[:, None], projected)


def projection_loss(projected: Tensor, box: Tensor, cut: Tensor, picture: Tensor) -> Tensor:
    """Compare projected boxes (K,A,4) with labelled ones (K,4); returns (K,A).

    1 - GIoU + 0.1 times the smooth L1 of the edges as shares of the picture's width and height, picture (2,). Edges that the
    image has cut off say nothing. That boxes are projected and compared is published, this form is ours.
    """
    mine = uncut(projected, box, cut)
    theirs = box[:, None].expand_as(mine)
    scale = picture.repeat(2)
    edges = functional.smooth_l1_loss(mine / scale, theirs / scale, reduction="none", beta=EDGE_BETA).mean(-1)
    return 1 - generalised_iou(mine, theirs) + EDGE_SHARE * edges


def expected(loss: Tensor, bins: Tensor) -> Tensor:
    """Average losses (K,12) of the headings over what the bins' logits (K,12) hold likely; returns (K,).

    Ours: no heading is picked, so two that look alike may stay, and the logits learn which projects better.
    """
    return (loss * bins.softmax(-1)).sum(-1)


def size_prior(size: Tensor, mean: Tensor) -> Tensor:
    """Return by what share of their class's mean (K,3) sizes (K,3) leave the band of 15 % around it: (K,). Ours."""
    return (((size - mean).abs() / mean) - SIZE_MARGIN).relu().mean(-1)


def axis_loss(heading: Tensor, alpha: Tensor) -> Tensor:
    """Compare headings (K,24) with an axis (K,) radians whose front is unknown: (K,). Ours.

    The two opposite bins together should be likely, and the residual of each right.
    """
    step = 2 * math.pi / HEADING_BINS
    nearest = (alpha / step).round()
    pair = torch.stack([nearest, nearest + HEADING_BINS // 2], -1).long() % HEADING_BINS
    likely = heading[:, :HEADING_BINS].log_softmax(-1).gather(1, pair).logsumexp(-1)
    residual = heading[:, HEADING_BINS:].gather(1, pair)
    return (residual - (alpha - nearest * step)[:, None]).abs().mean(-1) - likely


def axis_of(heading: Tensor) -> Tensor:
    """Return half the mean of (cos, sin) of the doubled angles of headings (K,24), by their probability: (K,2).

    Two sure headings that differ by a small angle differ by it here, too; opposite ones are the same.
    """
    bins, residuals = heading[:, :HEADING_BINS], heading[:, HEADING_BINS:]
    angle = 2 * (torch.arange(HEADING_BINS, device=heading.device) * (2 * math.pi / HEADING_BINS) + residuals)
    share = bins.softmax(-1)
    return torch.stack([(share * angle.cos()).sum(-1), (share * angle.sin()).sum(-1)], -1) / 2


def depth_map_loss(logits: Tensor, label: Tensor, expectation: Tensor, depth: Tensor, inside: Tensor) -> Tensor:
    """Push a predicted depth map towards the prior: focal loss of the bins, a tenth of the smooth L1 of the expectation.

    logits (B,D+1,h,w); label (B,h,w) bin, D where out of range; expectation and depth (B,h,w) metres, 0 where unknown;
    inside (B,h,w) cells in 2D boxes, which count 13 times. A weighted mean over the known cells. That the map is pushed is
    published; focal loss (alpha 0.25, gamma 2) and weights are CaDDN's and MonoDETR's.
    """
    known = depth > 0
    weight = torch.where(inside, FOREGROUND, 1.0) * known
    log_p = functional.log_softmax(logits, 1).gather(1, label[:, None])[:, 0]
    focal = -0.25 * (1 - log_p.exp()) ** 2 * log_p
    ranged = known & (label < logits.shape[1] - 1)
    metres = functional.smooth_l1_loss(expectation, depth, reduction="none") * ranged
    return (weight * (focal + METRE * metres)).sum() / weight.sum().clamp_min(1)


@dataclass(frozen=True)
class Placement:
    """What two networks compare of K objects: depth (K,) metres, size (K,3) metres, offset3d (K,2) pixels, axis (K,2)."""

    depth: Tensor
    size: Tensor
    offset3d: Tensor
    axis: Tensor

    def fed_back(self, gate: Tensor | float) -> Placement:
        """Return the same values through which only the share `gate` of the gradient passes: g y + (1 - g) sg(y)."""
        return Placement(*(gate * part + (1 - gate) * part.detach() for part in vars(self).values()))


def certainty(log_std: Tensor, score: Tensor, iou: Tensor) -> Tensor:
    """Return how much a teacher's word counts (K,), without gradient: e^-s, at most one, times score times overlap.

    log_std (K,) of its depth; score (K,) of the class; iou (K,) of its projected box with the label. That certain
    knowledge counts more is published, the measure is ours.
    """
    return ((-log_std.clamp(*LOG_STD_RANGE)).exp().clamp(max=1) * score * iou).detach()


def distillation_loss(mine: Placement, theirs: Placement, weight: Tensor) -> Tensor:
    """Sum of softplus(difference / scale - 0.1) over depth, size, offset and axis, weighted (K,), a mean over the K objects.

    A soft margin is published; softplus, margin and scales are ours.
    """
    differences = {
        "depth": (mine.depth - theirs.depth).abs(),
        "size": (mine.size - theirs.size).abs().mean(-1),
        "offset3d": (mine.offset3d - theirs.offset3d).abs().mean(-1),
        "axis": torch.linalg.vector_norm(mine.axis - theirs.axis, dim=-1),
    }
    total = torch.stack(
        [functional.softplus(value / SCALES[name] - MARGIN) for name, value in differences.items()]
    ).sum(0)
    return (weight * total).sum() / max(1, len(weight))


def spread_loss(log_std: Tensor, mine: Tensor, theirs: Tensor, their_log_std: Tensor) -> Tensor:
    """Teach a student's log standard deviation (K,) how wrong its depth (K,) is: (K,). Ours.

    Its error is taken to be the distance to the teacher's depth plus the mean error e^s / sqrt(2) that the teacher (a
    Laplace distribution) expects of itself; both without gradient, so that depth itself is not moved.
    """
    their_error = their_log_std.clamp(*LOG_STD_RANGE).exp() / math.sqrt(2)
    error = ((mine - theirs).abs() + their_error).detach()
    s = log_std.clamp(*LOG_STD_RANGE)
    return math.sqrt(2) * (-s).exp() * error + s


def _shared(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    inner = torch.cat([torch.maximum(one, other)[..., :2], torch.minimum(one, other)[..., 2:]], -1)
    intersection = _area(inner)
    return intersection, (_area(one) + _area(other) - intersection).clamp_min(1e-6)


def _area(box: Tensor) -> Tensor:
    return (box[..., 2] - box[..., 0]).clamp_min(0) * (box[..., 3] - box[..., 1]).clamp_min(0)
