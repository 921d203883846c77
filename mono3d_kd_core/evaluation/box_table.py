"""The boxes of many frames, one frame after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.evaluation.pairs import Indices
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_table import LabelTable


@dataclass(frozen=True)
class BoxTable:
    """N boxes of F frames, all in one coordinate frame; those of frame f are start[f] to start[f + 1], start (F+1,).

    image (N,4), where known, are the boxes left, top, right, bottom on the image.
    """

    boxes: Boxes3D
    start: Indices
    image: Matrix | None = None

    def __len__(self) -> int:
        return len(self.start) - 1

    @property
    def frame(self) -> Indices:
        """The frame (N,) of each box."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @property
    def range(self) -> Matrix:
        """The distance (N,) of each box over ground, metres."""
        return np.asarray(np.hypot(self.boxes.centre[:, 0], self.boxes.centre[:, 1]))

    @classmethod
    def join(cls, frames: Sequence[Boxes3D]) -> BoxTable:
        """Join the boxes of F frames. Raises ValueError when they are not all in one coordinate frame."""
        filled = [boxes for boxes in frames if len(boxes)]
        boxes = Boxes3D.concatenate(filled) if filled else Boxes3D.empty("camera")
        return cls(boxes, np.cumsum([0, *map(len, frames)], dtype=np.int64))

    @classmethod
    def of_labels(cls, table: LabelTable, depth_std: Matrix | None = None) -> BoxTable:
        """Return all rows of a KITTI table, also DontCare, as boxes in the frame "camera"."""
        rows = table.rows
        score = () if rows.score is None else rows.score
        boxes = Boxes3D.from_kitti_camera(rows.location, rows.dimensions, rows.rotation_y, rows.type, score)
        if depth_std is not None:
            boxes = Boxes3D(boxes.centre, boxes.size, boxes.yaw, boxes.label, boxes.score, depth_std, boxes.frame)
        return cls(boxes, table.start, rows.bbox)

    def on_ground(self) -> BoxTable:
        """Return the table without what is known of the image."""
        return BoxTable(self.boxes, self.start)

    def select(self, keep: NDArray[np.bool_]) -> BoxTable:
        """Return the boxes where `keep` (N,) is true, in the same frames."""
        counts = np.bincount(self.frame[keep], minlength=len(self))
        image = None if self.image is None else self.image[keep]
        return BoxTable(self.boxes[keep], np.append(0, np.cumsum(counts)).astype(np.int64), image)
