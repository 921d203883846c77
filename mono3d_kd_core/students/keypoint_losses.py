"""The keypoint student's losses, term by term (Ma et al., CVPR 2021, "MonoDLE"). Needed in training only.

Every function takes (B,M,...) predictions and targets with weights (B,M) of the object slots and returns a scalar: the
weighted mean over the objects, 0 (with a gradient) for a batch without objects.
"""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.heads.heatmap import focal_loss
from mono3d_kd_core.heads.keypoint import HEADING_BINS, Regressions
from mono3d_kd_core.students.keypoint_targets import KeypointTargets

LOG_STD_RANGE = (-5.0, 5.0)
"""The log standard deviation of depth is kept in this range, so that one sure and wrong object cannot blow up a step."""


def object_mean(value: Tensor, weight: Tensor) -> Tensor:
    """Average (B,M) values over the objects; the weights' sum counts as at least 1e-6, so that no objects give 0."""
    return (value * weight).sum() / weight.sum().clamp(min=1e-6)


def l1_loss(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean absolute error over the objects and the last axis."""
    return object_mean((prediction - target).abs().mean(-1), weight)


def depth_of(logit: Tensor) -> Tensor:
    """Return z = 1 / sigmoid(x) - 1 in metres at the reference focal length (Zhou et al. 2019; the 1e-6 keeps it finite)."""
    return 1 / (logit.sigmoid() + 1e-6) - 1


def laplacian_depth_loss(depth: Tensor, log_std: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Negative log likelihood of a Laplace distribution: sqrt(2) e^-s |z - z*| + s, where e^s is the standard deviation.

    (Chen et al., CVPR 2020, "MonoPair", eq. 5; a Laplace scale b has the standard deviation sqrt(2) b.) All (B,M).
    """
    s = log_std.clamp(*LOG_STD_RANGE)
    return object_mean(math.sqrt(2) * (-s).exp() * (depth - target).abs() + s, weight)


def size_loss(prediction: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Dimension-aware L1 (Ma et al., eq. 9): errors relative to the true size, rescaled to the plain L1's magnitude.

    prediction and target (B,M,3) are full sizes in metres.
    """
    plain = (prediction - target).abs()
    relative = plain / target.clamp(min=0.1)
    compensation = (object_mean(plain.mean(-1), weight) / object_mean(relative.mean(-1), weight).clamp(min=1e-6)).detach()
    return object_mean(relative.mean(-1), weight) * compensation


def heading_loss(heading: Tensor, target_bin: Tensor, target_residual: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy over 12 bins plus L1 of the residual in the true bin (Mousavian et al., CVPR 2017; Qi et al. 2018)."""
    logits, residuals = heading[..., :HEADING_BINS], heading[..., HEADING_BINS:]
    bins = functional.cross_entropy(logits.flatten(0, 1), target_bin.flatten(), reduction="none").view_as(weight)
    residual = residuals.gather(-1, target_bin[..., None]).squeeze(-1)
    return object_mean(bins + (residual - target_residual).abs(), weight)


def keypoint_losses(
    heatmap: Tensor, regressions: Regressions, targets: KeypointTargets, mean_size: Tensor
) -> dict[str, Tensor]:
    """Return all terms, every weight 1 as published; `regressions` are those at the objects' cells.

    mean_size (classes,3) holds each class's mean length, width, height.
    """
    t = targets
    return {
        "heatmap": focal_loss(heatmap, t.heatmap, t.heatmap_weight),
        "offset2d": l1_loss(regressions.offset2d, t.offset2d, t.weight),
        "size2d": l1_loss(regressions.size2d, t.size2d, t.weight),
        "depth": laplacian_depth_loss(depth_of(regressions.depth[..., 0]), regressions.depth[..., 1], t.depth, t.weight),
        "offset3d": l1_loss(regressions.offset3d, t.offset3d, t.weight),
        "size3d": size_loss(regressions.size3d + mean_size[t.label], t.size3d, t.weight),
        "heading": heading_loss(regressions.heading, t.heading_bin, t.heading_residual, t.weight),
    }
