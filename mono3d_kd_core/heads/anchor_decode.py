"""From an anchor head's dense responses to boxes: the best class of each place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.selection import Selection


@torch.no_grad()
def select_boxes(
    responses: AnchorResponses, anchors: Tensor, classes: Sequence[str], selection: Selection
) -> list[Boxes3D]:
    """Return each sample's boxes in "lidar", best first; anchors (N,7). Only boxes that score enough are decoded."""
    found = []
    for logits, codes, directions in zip(responses.logits, responses.codes, responses.directions, strict=True):
        scores = logits.amax(-1).sigmoid()
        best = selection.best(scores)
        boxes = AnchorResponses(logits[best], codes[best], directions[best]).boxes(anchors[best])
        found.append(selection.boxes(boxes, scores[best], logits[best].argmax(-1), classes))
    return found
