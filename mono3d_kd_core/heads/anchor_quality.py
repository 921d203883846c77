"""Class scores that say how well the box overlaps: the classification loss of CMKD's teacher."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.geometry.overlap import iou_3d
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.anchor_loss import quality_focal

WEIGHT = 8.0


def overlap_targets(boxes: Matrix, objects: Matrix, labels: Sequence[int], classes: int) -> Matrix:
    """Return (N, classes): the 3D IoU of boxes (N,7) with the object that each overlaps most, at that object's class."""
    target = np.zeros((len(boxes), classes))
    if len(objects):
        near = np.flatnonzero(_may_touch(boxes, objects))
        overlap = np.nan_to_num(iou_3d(boxes[near], objects))
        best = overlap.argmax(1)
        target[near, np.asarray(labels)[best]] = overlap[np.arange(len(near)), best]
    return target


def _may_touch(boxes: Matrix, objects: Matrix) -> NDArray[np.bool_]:
    """Tell which boxes (N,7) are near any object (M,7): the circles around the footprints meet. Few do, and it is cheap."""
    x, y = boxes[:, 0], boxes[:, 1]
    reach = np.hypot(boxes[:, 3], boxes[:, 4]) / 2
    near = np.zeros(len(boxes), np.bool_)
    for row, radius in zip(objects, np.hypot(objects[:, 3], objects[:, 4]) / 2, strict=True):
        near |= (x - row[0]) ** 2 + (y - row[1]) ** 2 <= (reach + radius) ** 2
    return near


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
