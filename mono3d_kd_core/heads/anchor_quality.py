"""Class scores that say how well the box overlaps: the classification loss of CMKD's teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.geometry.overlap import iou_3d
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.anchor_loss import quality_focal

WEIGHT = 8.0


def overlap_targets(boxes: Matrix, objects: Matrix, labels: Sequence[int], classes: int) -> Matrix:
    """Return (N, classes): the 3D IoU of boxes (N,7) with the object that each overlaps most, at that object's class."""
    target, largest = np.zeros((len(boxes), classes)), np.zeros(len(boxes))
    x, y, reach = boxes[:, 0], boxes[:, 1], np.hypot(boxes[:, 3], boxes[:, 4]) / 2
    for row, label in zip(objects, labels, strict=True):
        # Only where the circles around the footprints meet can they overlap: few do, and it is cheap to see.
        touching = (x - row[0]) ** 2 + (y - row[1]) ** 2 <= (reach + np.hypot(row[3], row[4]) / 2) ** 2
        near = np.flatnonzero(touching)
        overlap = np.nan_to_num(iou_3d(boxes[near], row[None])[:, 0])
        better = overlap > largest[near]
        near = near[better]
        largest[near] = overlap[better]
        target[near] = 0
        target[near, label] = overlap[better]
    return target


def quality_loss(
    responses: AnchorResponses, anchors: Tensor, objects: Sequence[Tensor], labels: Sequence[Tensor]
) -> Tensor:
    """Return 8 x the quality focal loss towards `overlap_targets` of the boxes as they are now, summed over the batch.

    Each sample is divided by its number of anchors whose box overlaps an object at all, at least one (Hong, Dai & Ding, ECCV
    2022, released code). anchors (N,7); objects (M,7) and labels (M,) of each sample.
    """
    boxes = responses.boxes(anchors).detach().double().cpu().numpy()
    total = responses.logits.new_zeros(())
    for sample, (logits, rows, kinds) in enumerate(zip(responses.logits.unbind(), objects, labels, strict=True)):
        target = overlap_targets(boxes[sample], rows.double().cpu().numpy(), kinds.tolist(), logits.shape[-1])
        count = max(int((target > 0).any(1).sum()), 1)
        total = total + quality_focal(logits, torch.from_numpy(target).to(logits)).sum() / count
    return WEIGHT * total
