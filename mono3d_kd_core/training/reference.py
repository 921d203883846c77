"""What the detections of a validation frame are judged by."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mono3d_kd_core.frames import Rig
from mono3d_kd_core.io.kitti_labels import KittiLabels

UNKNOWN_OCCLUSION = 3
"""KITTI's word for objects that no level asks for: finding them is neither right nor wrong."""


@dataclass(frozen=True)
class Reference:
    """The rows of a frame's label file and the rig that took it, whatever a network is shown or taught of them."""

    labels: KittiLabels
    rig: Rig

    @classmethod
    def of(cls, labels: KittiLabels, rig: Rig, min_score: float | None = None) -> Reference:
        """Take the rows of a file; those of a target store that score below `min_score` need not be found."""
        if labels.score is not None and min_score is not None:
            occluded = np.where(labels.score < min_score, UNKNOWN_OCCLUSION, labels.occluded)
            labels = replace(labels, occluded=occluded)
        return cls(labels, rig)
