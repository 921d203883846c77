"""Which query is to answer for which object: the cheapest one-to-one assignment (Carion et al., "DETR", ECCV 2020)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.students.query.heads import Answers
from mono3d_kd_core.students.query.targets import QueryTargets

CLASS, BOX, OVERLAP, CENTRE = 2.0, 5.0, 2.0, 10.0
"""What disagreement in class, distances to the box's edges (L1), overlap (GIoU) and 3D centre (L1) costs (MonoDETR)."""
ALPHA = 0.25
"""Of the focal loss: how much an object counts against no object."""
_UNTHINKABLE = 1e6


class Matches(NamedTuple):
    """M pairs of a query and an object; all (M,)."""

    image: Tensor
    query: Tensor
    target: Tensor
    """Index into `QueryTargets`."""


@torch.no_grad()
def match(answers: Answers, targets: QueryTargets, queries: int) -> Matches:
    """Assign the objects of each image to queries, anew in each group of `queries` of them."""
    from scipy.optimize import linear_sum_assignment  # a student at work does not need it

    cost = matching_cost(answers, targets).cpu().numpy()
    image = targets.image.cpu().numpy()
    found: list[tuple[int, int, int]] = []
    for i in np.unique(image):
        mine = np.flatnonzero(image == i)
        for start in range(0, cost.shape[0], queries):
            rows, columns = linear_sum_assignment(cost[start : start + queries][:, mine])
            found += [(i, start + row, mine[column]) for row, column in zip(rows, columns, strict=True)]
    pairs = torch.tensor(found, dtype=torch.long, device=targets.image.device).view(-1, 3)
    return Matches(*pairs.unbind(1))


def matching_cost(answers: Answers, targets: QueryTargets) -> Tensor:
    """Return (Q,K): what it costs each query of an object's image to answer for that object."""
    box, want = answers.box[targets.image], targets.box[:, None]
    logit = answers.logits[targets.image, :, targets.label]
    probability = logit.sigmoid()
    as_object = ALPHA * (1 - probability) ** 2 * -(probability + 1e-8).log()
    as_nothing = (1 - ALPHA) * probability**2 * -(1 - probability + 1e-8).log()
    cost = CLASS * (as_object - as_nothing) - OVERLAP * generalised_iou(box, want)
    cost = cost + CENTRE * (box - want)[..., :2].abs().sum(-1) + BOX * (box - want)[..., 2:].abs().sum(-1)
    # Where the network is broken, its loss tells.
    return cost.T.nan_to_num(_UNTHINKABLE, _UNTHINKABLE, -_UNTHINKABLE)


def corners(box: Tensor) -> Tensor:
    """Return left, top, right, bottom (...,4) of boxes (...,6) of centre and distances."""
    x, y, left, right, top, bottom = box.unbind(-1)
    return torch.stack([x - left, y - top, x + right, y + bottom], -1)


def generalised_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU (...) of boxes (...,6): IoU minus the share of the hull that neither covers.

    (Rezatofighi et al., CVPR 2019.)
    """
    first, second = corners(a), corners(b)
    inner = torch.minimum(first[..., 2:], second[..., 2:]) - torch.maximum(first[..., :2], second[..., :2])
    outer = torch.maximum(first[..., 2:], second[..., 2:]) - torch.minimum(first[..., :2], second[..., :2])
    shared = inner.clamp(min=0).prod(-1)
    union = (first[..., 2:] - first[..., :2]).prod(-1) + (second[..., 2:] - second[..., :2]).prod(-1) - shared
    hull = outer.prod(-1)
    return shared / union.clamp(min=1e-9) - (hull - union) / hull.clamp(min=1e-9)
