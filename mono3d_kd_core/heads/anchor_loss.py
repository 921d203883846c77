"""Which anchor answers for which object, and the losses of an anchor head."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mono3d_kd_core.heads.anchor import AnchorClass, AnchorResponses, direction_bin, encode


@dataclass(frozen=True)
class Assignment:
    """Targets of N anchors of one sample.

    label (N,): class index, -1 background, -2 ignored; code (N,7) and yaw (N,) are of the matched object, zero elsewhere.
    """

    label: Tensor
    code: Tensor
    yaw: Tensor

    @property
    def positive(self) -> Tensor:
        """Mask (N,) of the anchors that answer for an object."""
        return self.label >= 0


def nearest_bev_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """IoU (N, M) of the axis-aligned footprints of boxes (N,7) and (M,7), each turned to its nearest axis."""
    a, b = _footprint(boxes)[:, None], _footprint(others)[None]
    side = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp_min(0)
    intersection = side.prod(-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(-1), (b[..., 2:] - b[..., :2]).prod(-1)
    return intersection / (area_a + area_b - intersection).clamp_min(1e-6)


def _footprint(boxes: Tensor) -> Tensor:
    turned = torch.abs(boxes[:, 6] - torch.floor(boxes[:, 6] / torch.pi + 0.5) * torch.pi) >= torch.pi / 4
    half = torch.where(turned[:, None], boxes[:, [4, 3]], boxes[:, [3, 4]]) / 2
    return torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], 1)


def assign(anchors: Tensor, kinds: tuple[AnchorClass, ...], boxes: Tensor, labels: Tensor) -> Assignment:
    """Assign objects to anchors, class by class, height ignored (SECOND; OpenPCDet's axis-aligned assigner).

    anchors (rows, columns, classes, rotations, 7); boxes (M,7); labels (M,) class indices. Every object gets at least its
    best anchors; between the class's two IoU limits an anchor is ignored.
    """
    shape = anchors.shape[:4]
    label = torch.full(shape, -1, dtype=torch.long, device=anchors.device)
    code, yaw = anchors.new_zeros(*shape, 7), anchors.new_zeros(*shape)
    for index, kind in enumerate(kinds):
        own = boxes[labels == index]
        if len(own) == 0:
            continue
        mine = anchors[:, :, index].reshape(-1, 7)
        iou = nearest_bev_iou(mine, own)
        best, match = iou.max(1)
        state = torch.full((len(mine),), -1, dtype=torch.long, device=anchors.device)
        state[best >= kind.negative_iou] = -2
        state[best >= kind.positive_iou] = index
        per_object = iou.max(0).values
        forced = ((iou == per_object) & (per_object > 0)).any(1)
        state[forced] = index
        positive = state >= 0
        target = own[match[positive]]
        cells = (shape[0], shape[1], shape[3])
        label[:, :, index] = state.view(cells)
        flat_code, flat_yaw = anchors.new_zeros(len(mine), 7), anchors.new_zeros(len(mine))
        flat_code[positive] = encode(target, mine[positive])
        flat_yaw[positive] = target[:, 6]
        code[:, :, index] = flat_code.view(*cells, 7)
        yaw[:, :, index] = flat_yaw.view(cells)
    return Assignment(label.reshape(-1), code.reshape(-1, 7), yaw.reshape(-1))


def focal(logits: Tensor, target: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Sigmoid focal loss, elementwise (Lin et al., ICCV 2017, equation 5)."""
    p = torch.sigmoid(logits)
    weight = (target * alpha + (1 - target) * (1 - alpha)) * (target * (1 - p) + (1 - target) * p) ** gamma
    return weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def quality_focal(logits: Tensor, quality: Tensor, beta: float = 2.0) -> Tensor:
    """Quality focal loss |sigma(x) - q|^beta BCE(x, q), elementwise (Li et al., NeurIPS 2020, equation 4)."""
    gap = (torch.sigmoid(logits) - quality).abs() ** beta
    return gap * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def box_residual(codes: Tensor, target: Tensor, beta: float = 1 / 9) -> Tensor:
    """Smooth L1 of codes (..., 7) summed over the code, the heading through sin(a - b) (SECOND, equation 3)."""
    difference = torch.cat([codes[..., :6] - target[..., :6], torch.sin(codes[..., 6:] - target[..., 6:])], -1)
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), reduction="none", beta=beta).sum(-1)


def anchor_loss(responses: AnchorResponses, assignments: list[Assignment]) -> dict[str, Tensor]:
    """Losses of OpenPCDet's SECOND and PointPillars: focal x1, box x2, direction x0.2, normalised by positives a sample."""
    terms = {name: responses.logits.new_zeros(()) for name in ("classification", "box", "direction")}
    batch = len(assignments)
    for sample, assignment in enumerate(assignments):
        positive, counted = assignment.positive, assignment.label > -2
        count = positive.sum().clamp_min(1)
        one_hot = F.one_hot(assignment.label.clamp_min(0), responses.logits.shape[-1]).to(responses.logits.dtype)
        one_hot = one_hot * positive[:, None]
        terms["classification"] = terms["classification"] + (
            focal(responses.logits[sample][counted], one_hot[counted]).sum() / count / batch
        )
        terms["box"] = terms["box"] + (
            2.0 * box_residual(responses.codes[sample][positive], assignment.code[positive]).sum() / count / batch
        )
        terms["direction"] = terms["direction"] + 0.2 * F.cross_entropy(
            responses.directions[sample][positive], direction_bin(assignment.yaw[positive]), reduction="sum"
        ) / count / batch
    return terms
