"""Which anchor answers for which object, and the losses of an anchor head."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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


def nearest_bev_iou(anchors: Tensor, boxes: Tensor) -> Tensor:
    """IoU (M, rows, columns, rotations) of the axis-aligned footprints of one class's anchors and of boxes (M,7).

    anchors (rows, columns, rotations, 7) of `anchor_grid`; each footprint is turned to its nearest axis. Rows of anchors
    share y and columns share x, so that the overlaps along the axes are computed once a row and once a column.
    """
    rows, columns, rotations = anchors.shape[:3]
    across = _footprint(anchors[:, 0].reshape(-1, 7)).view(rows, 1, rotations, 4)
    along = _footprint(anchors[0].reshape(-1, 7)).view(1, columns, rotations, 4)
    b = _footprint(boxes).view(-1, 1, 1, 1, 4)
    x, y = _shared(along, b, 0), _shared(across, b, 1)
    intersection = x * y
    area_a = (along[..., 2] - along[..., 0]) * (across[..., 3] - across[..., 1])
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)
    return intersection / (area_a + area_b - intersection).clamp_min(1e-6)


def _shared(a: Tensor, b: Tensor, axis: int) -> Tensor:
    near, far = torch.maximum(a[..., axis], b[..., axis]), torch.minimum(a[..., axis + 2], b[..., axis + 2])
    return (far - near).clamp_min(0)


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
        mine = anchors[:, :, index]
        iou = nearest_bev_iou(mine, own)
        best, match = iou.max(0)
        state = torch.full_like(match, -1)
        state[best >= kind.negative_iou] = -2
        state[best >= kind.positive_iou] = index
        per_object = iou.amax((1, 2, 3), keepdim=True)
        state[((iou == per_object) & (per_object > 0)).any(0)] = index
        positive = state >= 0
        target = own[match[positive]]
        label[:, :, index] = state
        code[:, :, index][positive] = encode(target, mine[positive])
        yaw[:, :, index][positive] = target[:, 6]
    return Assignment(label.reshape(-1), code.reshape(-1, 7), yaw.reshape(-1))


def focal(logits: Tensor, target: Tensor, alpha: float = 0.25) -> Tensor:
    """Sigmoid focal loss with gamma 2, elementwise (Lin et al., ICCV 2017, equation 5); targets are 0 or 1."""
    loss: Tensor = _Focal.apply(logits, 1 - 2 * target, alpha)  # type: ignore[no-untyped-call]
    return loss


class _Focal(torch.autograd.Function):
    """The loss with its slope in closed form: a head has millions of answers, and each step over them counts."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, sign: Tensor, alpha: float) -> Tensor:
        wrong = logits * sign
        p, cost = torch.sigmoid(wrong), F.softplus(wrong)
        weighted = p.square() * torch.where(sign < 0, alpha, 1 - alpha)
        ctx.save_for_backward(weighted * (2 * (1 - p) * cost + p) * sign)
        return weighted * cost

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


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
    label = torch.stack([assignment.label for assignment in assignments])
    positive = label >= 0
    share = 1 / positive.sum(1).clamp_min(1) / len(assignments)
    one_hot = F.one_hot(label.clamp_min(0), responses.logits.shape[-1]) * positive[..., None]
    each = focal(responses.logits, one_hot.to(responses.logits.dtype)).sum(-1)
    own = share[:, None].expand_as(positive)[positive]
    code, yaw = (torch.stack(values)[positive] for values in zip(*((a.code, a.yaw) for a in assignments), strict=True))
    turn = F.cross_entropy(responses.directions[positive], direction_bin(yaw), reduction="none")
    return {
        "classification": (each * (label > -2) * share[:, None]).sum(),
        "box": 2.0 * (box_residual(responses.codes[positive], code) * own).sum(),
        "direction": 0.2 * (turn * own).sum(),
    }
