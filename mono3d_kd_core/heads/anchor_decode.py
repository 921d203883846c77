"""From an anchor head's dense responses to boxes: the best class of each place, one suppression for all classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import nms_bev
from mono3d_kd_core.heads.anchor import AnchorResponses


@dataclass(frozen=True)
class Selection:
    """Boxes of a score of at least `threshold`: the best `before` go into a suppression by `iou`, `after` come out."""

    threshold: float = 0.1
    iou: float = 0.01
    before: int = 4096
    after: int = 500


@torch.no_grad()
def select_boxes(
    responses: AnchorResponses, anchors: Tensor, classes: Sequence[str], selection: Selection
) -> list[Boxes3D]:
    """Return each sample's boxes in "lidar", best first; anchors (N,7)."""
    boxes = responses.boxes(anchors)
    scores, labels = responses.logits.sigmoid().max(-1)
    return [_select(*sample, classes, selection) for sample in zip(boxes, scores, labels, strict=True)]


def _select(boxes: Tensor, scores: Tensor, labels: Tensor, classes: Sequence[str], selection: Selection) -> Boxes3D:
    scores, order = torch.topk(scores, min(selection.before, len(scores)))
    order = order[scores >= selection.threshold]
    rows = boxes[order].double().cpu().numpy()
    score = scores[: len(order)].double().cpu().numpy()
    kept = nms_bev(rows[:, [0, 1, 3, 4, 6]], score, selection.iou)[: selection.after]
    names = np.array(classes)[labels[order].cpu().numpy()]
    return Boxes3D(rows[kept, :3], rows[kept, 3:6], rows[kept, 6], names[kept], score[kept])
