"""CMKD's losses, each a function of tensors (Hong, Dai & Ding, ECCV 2022, section 3.3; forms and weights as released).

The released code sums the classification terms over a batch of four and averages all others; here every term is a mean
over the B samples, so that neither the batch size nor the number of processes changes the balance.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.geometry.overlap import iou_3d_aligned
from mono3d_kd_core.heads.anchor import AnchorResponses, direction_bin
from mono3d_kd_core.heads.anchor import decode as decode_codes
from mono3d_kd_core.heads.anchor_loss import Assignment, box_residual, quality_focal

FOREGROUND = 0.1
"""Teacher scores above count as objects in the normalisers."""
CENTRE_FOREGROUND = 0.3


def feature_loss(student: Tensor, teacher: Tensor, empty_weight: float | None = None) -> Tensor:
    """Mean squared difference of two bird's-eye maps (B,C,rows,columns).

    With `empty_weight` cells where the teacher's map is zero in every channel count so much, the others one, and the
    weights are scaled to a mean of one.
    """
    difference = (student.float() - teacher) ** 2
    if empty_weight is None:
        return difference.mean()
    weight = torch.where((teacher != 0).any(1, keepdim=True), 1.0, empty_weight)
    return (difference * weight / weight.mean()).mean()


def classification_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Quality focal loss of logits (B,N,K) towards the teacher's scores, all anchors.

    Each class of each sample is divided by its number of anchors on which the teacher's score is above 0.1, at least one.
    """
    quality = teacher.sigmoid()
    count = (quality > FOREGROUND).sum(1).clamp_min(1)
    return (quality_focal(student.float(), quality).sum(1) / count).sum(-1).mean()


def response_weight(teacher: Tensor) -> Tensor:
    """Return how much each anchor (B,N) counts in the box and direction losses, from the teacher's logits (B,N,K).

    The sum of its scores where that is above 0.1, else nothing, divided by the number of such anchors in the sample.
    """
    score = teacher.sigmoid().sum(-1)
    chosen = score > FOREGROUND
    return score * chosen / chosen.sum(1, keepdim=True).clamp_min(1)


def box_loss(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Smooth L1 (beta 1/9) between codes (B,N,7), the heading through the sine, weighted by anchors (B,N)."""
    return (box_residual(student.float(), teacher) * weight).sum(1).mean()


def direction_loss(student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of heading bins (B,N,2) with the bin that the teacher prefers, weighted by anchors (B,N)."""
    entropy = functional.cross_entropy(student.float().flatten(0, 1), teacher.argmax(-1).flatten(), reduction="none")
    return (entropy.view_as(weight) * weight).sum(1).mean()


def depth_loss(logits: Tensor, label: Tensor) -> Tensor:
    """Focal loss (alpha 0.25, gamma 2) of depth classes (B,D+1,h,w) at the cells whose `label` (B,h,w) is not negative.

    A mean over the known cells of each sample, then over the samples.
    """
    known = label >= 0
    log_p = functional.log_softmax(logits.float(), 1).gather(1, label.clamp_min(0)[:, None])[:, 0]
    loss = -0.25 * (1 - log_p.exp()) ** 2 * log_p * known
    return (loss.sum((1, 2)) / known.sum((1, 2)).clamp_min(1)).mean()


def pooled_depth(depth: Tensor, rows: int, columns: int) -> Tensor:
    """Mean of the known (non-zero) depths (B,H,W) in each of rows x columns equal areas; 0 where none is known."""
    known = (depth > 0).to(depth)
    total, count = (functional.adaptive_avg_pool2d(part, (rows, columns)) for part in (depth * known, known))
    return torch.where(count > 0, total / count.clamp_min(1e-9), 0.0)


def pseudo_label_losses(
    responses: AnchorResponses, anchors: Tensor, assignments: list[Assignment], scores: list[Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Classification, box and direction losses against boxes that a teacher wrote down: the paper's own variant (V1).

    anchors (N,7); for each sample its assignment and, per anchor (N,), the score of the box that it answers for. A
    positive anchor learns the 3D overlap of its present box with that box, background learns zero; positives count twice
    their score (so a certain label, of score 0.5, counts one). Each sample is divided by its number of positives.
    """
    terms = []
    for sample, (assignment, score) in enumerate(zip(assignments, scores, strict=True)):
        positive, counted = assignment.positive, assignment.label > -2
        count = positive.sum().clamp_min(1)
        logits, codes = responses.logits[sample].float(), responses.codes[sample].float()
        weight = torch.where(positive, 2 * score, 1.0)
        quality = torch.zeros_like(logits)
        quality[positive, assignment.label[positive]] = _overlap(codes, assignment, anchors)
        entropy = functional.cross_entropy(
            responses.directions[sample].float()[positive], direction_bin(assignment.yaw[positive]), reduction="none"
        )
        terms.append(
            torch.stack(
                [
                    (quality_focal(logits, quality).sum(-1) * weight * counted).sum(),
                    (box_residual(codes[positive], assignment.code[positive]) * weight[positive]).sum(),
                    (entropy * weight[positive]).sum(),
                ]
            )
            / count
        )
    classification, box, direction = torch.stack(terms).mean(0)
    return classification, box, direction


def _overlap(codes: Tensor, assignment: Assignment, anchors: Tensor) -> Tensor:
    """3D IoU (P,) of the positives' present boxes with those that they answer for; no gradient."""
    positive = assignment.positive
    present, wanted = (
        decode_codes(code[positive].detach(), anchors[positive]).double().cpu().numpy()
        for code in (codes, assignment.code)
    )
    return torch.from_numpy(iou_3d_aligned(present, wanted)).to(codes)


def heatmap_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Quality focal loss of centre heatmaps (B,K,rows,columns), logits, towards those of a CenterPoint teacher.

    Each sample is divided by its number of cells and classes on which the teacher's score is above 0.3, at least one.
    """
    quality = teacher.sigmoid()
    count = (quality > CENTRE_FOREGROUND).sum((1, 2, 3)).clamp_min(1)
    return (quality_focal(student.float(), quality).sum((1, 2, 3)) / count).mean()


def centre_box_loss(student: Tensor, teacher: Tensor, heatmap: Tensor) -> Tensor:
    """Smooth L1 between box codes (B,D,rows,columns) at the cells where the teacher's scores sum to more than 0.1.

    A mean over those cells of the whole batch and the D numbers, each cell times the sum of its scores and D, times four.
    heatmap (B,K,rows,columns) are the teacher's logits.
    """
    score = heatmap.sigmoid().sum(1)
    chosen = score > FOREGROUND
    if not chosen.any():
        return student.sum() * 0
    difference = functional.smooth_l1_loss(student.float(), teacher, reduction="none").movedim(1, -1)[chosen]
    return 4 * (difference * score[chosen][:, None] * student.shape[1]).mean()
