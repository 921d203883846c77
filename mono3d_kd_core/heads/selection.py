"""From scored boxes to detections: the best of them, one suppression for all classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import nms_bev


@dataclass(frozen=True)
class Selection:
    """Boxes of a score of at least `threshold`: the best `before` go into a suppression by `iou`, `after` come out."""

    threshold: float = 0.1
    iou: float = 0.01
    before: int = 4096
    after: int = 500

    def best(self, scores: Tensor) -> Tensor:
        """Return which of the scores (N,) go into the suppression, best first."""
        passing = (scores >= self.threshold).nonzero().squeeze(1)
        return passing[torch.topk(scores[passing], min(self.before, len(passing))).indices]

    def boxes(self, rows: Tensor, scores: Tensor, labels: Tensor, classes: Sequence[str]) -> Boxes3D:
        """Suppress boxes (N,7) of falling scores (N,) and class indices (N,); return what is left, frame "lidar"."""
        values, score = rows.double().cpu().numpy(), scores.double().cpu().numpy()
        kept = nms_bev(values[:, [0, 1, 3, 4, 6]], score, self.iou, limit=self.after)
        names = np.array(classes)[labels.cpu().numpy()]
        return Boxes3D(values[kept, :3], values[kept, 3:6], values[kept, 6], names[kept], score[kept], frame="lidar")
