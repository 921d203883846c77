"""ADD's losses, each a function of tensors. The paper's forms are not public; these are ours, after its description."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import CHANNELS, HEADING_BINS

BACKGROUND = 0.1
"""How much places outside all boxes count in the feature loss."""
_HEADING = sum(count for name, count in CHANNELS.items() if name != "heading")
_REGRESSED = [0, 1, 2, 3, 4, *range(6, _HEADING)]
"""Channels compared by L1: all but the log standard deviation of depth and the heading."""


def feature_loss(student: Tensor, teacher: Tensor, inside: Tensor) -> Tensor:
    """Squared difference of two maps (B,C,h,w), a mean over channels and places.

    Places inside boxes, `inside` (B,h,w) bool, count one, others a tenth:  sum_p m_p |F_S - F_T|^2 / C / (B h w).
    """
    weight = torch.where(inside, 1.0, BACKGROUND)
    return (weight * ((student - teacher) ** 2).mean(1)).mean()


def response_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare answers about K targets (K,34+classes): the head's regressions in their order, then class logits.

    L1 of offsets, sizes and the logit of depth, a mean over these; Kullback-Leibler divergence of the heading's bins plus
    L1 of its residuals in the teacher's bin; quality focal loss of the scores (Li et al., NeurIPS 2020, beta 2) towards
    the teacher's, summed over the classes. Each a mean over the targets; their sum.
    """
    if len(student) == 0:
        return student.sum()
    values = (student[:, _REGRESSED] - teacher[:, _REGRESSED]).abs().mean()
    mine, theirs = (part[:, _HEADING : _HEADING + 2 * HEADING_BINS] for part in (student, teacher))
    log_mine, log_theirs = (functional.log_softmax(part[:, :HEADING_BINS], -1) for part in (mine, theirs))
    bins = functional.kl_div(log_mine, log_theirs, reduction="batchmean", log_target=True)
    best = log_theirs.argmax(1, keepdim=True)
    residual = (mine[:, HEADING_BINS:].gather(1, best) - theirs[:, HEADING_BINS:].gather(1, best)).abs().mean()
    score = student[:, _HEADING + 2 * HEADING_BINS :]
    quality = teacher[:, _HEADING + 2 * HEADING_BINS :].sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(score, quality, reduction="none")
    scores = ((score.sigmoid() - quality).abs() ** 2 * entropy).sum(1).mean()
    return values + bins + residual + scores
