"""KITTI's label and result files: rows of 15 columns, with a score of 16."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.files import read_text, write_atomically

DONT_CARE = "DontCare"


@dataclass(frozen=True)
class KittiLabels:
    """The columns of one label file (object development kit), N rows.

    type (N,) names; truncated (N,) 0..1 and occluded (N,) 0..3, -1 where unknown; alpha (N,) and rotation_y (N,) radians;
    bbox (N,4) left, top, right, bottom in pixels; dimensions (N,3) height, width, length and location (N,3) of the bottom
    centre in metres, in the rectified frame of camera 0; score (N,), or None for ground truth. DontCare rows have a bbox
    only.
    """

    type: NDArray[np.str_]
    truncated: Matrix
    occluded: NDArray[np.int64]
    alpha: Matrix
    bbox: Matrix
    dimensions: Matrix
    location: Matrix
    rotation_y: Matrix
    score: Matrix | None = None

    def __len__(self) -> int:
        return len(self.type)

    def __getitem__(self, rows: slice | NDArray[np.generic]) -> KittiLabels:
        """Select rows by slice, boolean mask or index array."""
        score = None if self.score is None else self.score[rows]
        return KittiLabels(
            self.type[rows], self.truncated[rows], self.occluded[rows], self.alpha[rows], self.bbox[rows],
            self.dimensions[rows], self.location[rows], self.rotation_y[rows], score,
        )  # fmt: skip

    @property
    def is_object(self) -> NDArray[np.bool_]:
        """Which rows (N,) are objects, not DontCare regions."""
        return np.asarray(self.type != DONT_CARE)

    @classmethod
    def read(cls, path: Path) -> KittiLabels:
        """Read a label or result file; blank lines are passed over. Raises DataError naming the file and the line."""
        lines = [(number, line.split()) for number, line in enumerate(read_text(path).splitlines(), 1)]
        rows = [row for _, row in lines if row]
        numbers: list[list[float]] = []
        for number, row in lines:
            if not row:
                continue
            if len(row) not in (15, 16) or len(row) != len(rows[0]):
                expected = len(rows[0]) if len(rows[0]) in (15, 16) else "15, or 16 with a score"
                raise DataError(f"{path}:{number}: {len(row)} columns, expected {expected}")
            try:
                numbers.append([float(value) for value in row[1:]])
            except ValueError as error:
                raise DataError(f"{path}:{number}: {error}") from error
        columns = np.array(numbers).reshape(len(rows), -1 if rows else 14)
        scored = columns.shape[1] == 15
        return cls._from_columns(np.array([row[0] for row in rows], np.str_), columns, scored)

    @classmethod
    def _from_columns(cls, type_: NDArray[np.str_], columns: Matrix, scored: bool) -> KittiLabels:
        return cls(
            type_, columns[:, 0], columns[:, 1].astype(np.int64), columns[:, 2], columns[:, 3:7], columns[:, 7:10],
            columns[:, 10:13], columns[:, 13], columns[:, 14] if scored else None,
        )  # fmt: skip

    def write(self, path: Path) -> None:
        """Write the rows atomically, lengths to a tenth of a millimetre; 16 columns where there is a score, else 15."""
        write_atomically(path, "".join(f"{line}\n" for line in self.lines()).encode())

    def lines(self) -> list[str]:
        """Return the rows as text."""
        tail = np.column_stack([self.alpha, self.bbox, self.dimensions, self.location, self.rotation_y])
        scores = [""] * len(self) if self.score is None else [f" {score:.6f}" for score in self.score]
        return [
            f"{self.type[i]} {self.truncated[i]:.2f} {self.occluded[i]} {' '.join(f'{v:.4f}' for v in tail[i])}{scores[i]}"
            for i in range(len(self))
        ]

    def boxes(self) -> Boxes3D:
        """Return the objects (without DontCare) in the frame "camera"; without a score column their score is 1."""
        rows = self[self.is_object]
        score = () if rows.score is None else rows.score
        return Boxes3D.from_kitti_camera(rows.location, rows.dimensions, rows.rotation_y, rows.type, score)

    @classmethod
    def from_boxes(
        cls, boxes: Boxes3D, camera: CameraModel, *, scored: bool = True, only_visible: bool = True,
        truncated: ArrayLike | None = None, occluded: ArrayLike | None = None,
    ) -> KittiLabels:  # fmt: skip
        """Build the rows of boxes in "camera"; 2D boxes are those of the projected corners, clipped to the image.

        `scored` adds the score column (results, targets); ground truth goes without. `only_visible` leaves out what has no
        pixel in the image, as KITTI does; otherwise its 2D box is all zero. truncated (N,) defaults to the share of the 2D
        box beyond the image for ground truth and, like occluded (N,), to -1 for results.
        """
        location, dimensions, rotation_y, alpha = boxes.to_kitti_camera()
        bbox, cut = project_boxes(boxes, camera)
        unknown = np.full(len(boxes), -1)
        labels = cls(
            boxes.label,
            np.asarray((unknown if scored else cut) if truncated is None else truncated, np.float64),
            np.asarray(unknown if occluded is None else occluded, np.int64),
            alpha, np.nan_to_num(bbox), dimensions, location, rotation_y,
            boxes.score if scored else None,
        )  # fmt: skip
        return labels[cut < 1] if only_visible else labels

    def with_score(self, score: ArrayLike) -> KittiLabels:
        """Return the same rows with scores (N,)."""
        return replace(self, score=np.asarray(score, np.float64).reshape(len(self)))
