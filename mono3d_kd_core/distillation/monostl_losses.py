"""MonoSTL's losses and those of MonoDistill, its unweighted forerunner, each a function of tensors.

MonoSTL: Ding et al., "Selective Transfer Learning of Cross-Modality Distillation for Monocular 3D Object Detection",
IEEE TCSVT 2024. MonoDistill: Chong et al., ICLR 2022. Forms as released; where ours differ, the function says so.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import HEADING_BINS, Regressions

Weighting = Literal["student_uncertainty", "teacher_confidence", "none"]
"""How much an object's features are imitated: where the student is unsure of its depth (released), where the teacher is
sure of its own, or all alike (MonoDistill)."""
CENTRE_OUTSIDE = 0.01
"""Weight of objects whose centre the image does not show, and of which no depth is therefore read."""
LOG_STD_RANGE = (-3.0, 3.0)


def confidence(log_std: Tensor) -> Tensor:
    """Return exp(-s), cut at 1, of the log standard deviation s of depth: 1 when sure to within a metre. No gradient."""
    return (-log_std.detach()).exp().clamp(0, 1)


def transfer_weight(student_log_std: Tensor, teacher_log_std: Tensor, visible: Tensor, weighting: Weighting) -> Tensor:
    """Return how much each of K objects' features are imitated; all inputs (K,), `visible` whether its centre is seen."""
    if weighting == "none":
        return torch.ones_like(student_log_std)
    weight = 1 - confidence(student_log_std) if weighting == "student_uncertainty" else confidence(teacher_log_std)
    return torch.where(visible, weight, CENTRE_OUTSIDE)


def feature_loss(student: Tensor, teacher: Tensor, weight: Tensor, inside: Tensor) -> Tensor:
    """Depth-aware selective feature distillation (DASFD) at one level.

        sum_p w(p) mean_c (F_S - F_T)^2 / 2  divided by  #{p inside boxes: F_T(p) is not zero}

    student and teacher (B,C,h,w); weight (B,h,w), 0 outside the boxes; inside (B,h,w) bool. The released tenth and the
    tenfold weight of the total cancel.
    """
    difference = 0.5 * ((student - teacher) ** 2).mean(1)
    count = (inside & (teacher != 0).any(1)).sum().clamp_min(1)
    return (weight * difference).sum() / count


def relation_loss(student: Tensor, teacher: Tensor, teacher_log_std: Tensor, normalise: bool) -> Tensor:
    """Depth-aware selective relation distillation (DASRD) over the K objects of a batch, across images.

        A_ij = <f_i, f_j>    V_ij = u_i^2 + u_j^2    u = exp(s_T)
        L = mean_ij |A^S_ij - A^T_ij| / V_ij / 2

    student and teacher (K,C,7,7) are the objects' regions; teacher_log_std (K,) the teacher's s. The published relation is
    A / V + log V with the teacher's V on both sides, so that the logarithms cancel. As released the products are of plain
    features and L is divided by K^2 once more; `normalise` takes them of unit vectors instead, without that division, so
    that the term depends neither on the features' scale nor on the number of objects. s is kept between -3 and 3.
    """
    count = len(student)
    if count == 0:
        return student.sum()
    mine, theirs = student.flatten(1), teacher.flatten(1)
    if normalise:
        mine, theirs = functional.normalize(mine, dim=1), functional.normalize(theirs, dim=1)
    variance = (2 * teacher_log_std.clamp(*LOG_STD_RANGE)).exp()
    total = variance[:, None] + variance[None]
    # Products of plain features overflow in half precision.
    with torch.autocast(student.device.type, enabled=False):
        difference = (mine @ mine.T - theirs @ theirs.T).abs()
    loss = 0.5 * (difference / total).mean()
    return loss if normalise else loss / count**2


def affinity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """MonoDistill's relation term at one level: mean L1 between the maps' (h w, h w) matrices of cosine similarities.

    student and teacher (B,C,h,w), brought to the coarsest level's size beforehand.
    """
    mine, theirs = (functional.normalize(part.flatten(2), dim=1) for part in (student, teacher))
    return (mine.transpose(1, 2) @ mine - theirs.transpose(1, 2) @ theirs).abs().mean()


def response_loss(student: Regressions, teacher: Regressions) -> Tensor:
    """L1 between raw answers at F foreground cells (F,C): offsets, sizes and the logit of depth; the sum of five means."""
    pairs = [(getattr(student, name), getattr(teacher, name)) for name in ("offset2d", "size2d", "offset3d", "size3d")]
    pairs.append((student.depth[:, :1], teacher.depth[:, :1]))
    if len(student.depth) == 0:
        return torch.stack([mine.sum() for mine, _ in pairs]).sum()
    return torch.stack([functional.l1_loss(*pair) for pair in pairs]).sum()


def heading_response_loss(student: Tensor, teacher: Tensor, true_bin: Tensor) -> Tensor:
    """KL divergence of the heading bins, and L1 of the residuals in the true bin, at K objects' cells (K,24); their sum."""
    if len(student) == 0:
        return student.sum()
    log_mine = functional.log_softmax(student[:, :HEADING_BINS], -1)
    log_theirs = functional.log_softmax(teacher[:, :HEADING_BINS], -1)
    divergence = functional.kl_div(log_mine, log_theirs, reduction="batchmean", log_target=True)
    mine, theirs = (part[:, HEADING_BINS:].gather(1, true_bin[:, None]) for part in (student, teacher))
    return divergence + functional.l1_loss(mine, theirs)
