"""KITTI's label and result files: rows of 15 columns, with a score of 16."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply
from mono3d_kd_core.io.files import read_text, write_atomically

DONT_CARE = "DontCare"
NEAR = 0.05
"""Metres in front of the camera at which boxes are cut before they are projected."""
EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
"""The twelve edges of a box as pairs of corners, in the corner order of `Boxes3D`."""


def image_boxes(boxes: Boxes3D, camera: CameraModel) -> tuple[Matrix, Matrix]:
    """Return the 2D boxes of boxes in "camera", clipped to the image, and how much of each is cut off.

    The 2D box (N,4) left, top, right, bottom in pixels surrounds the projected edges (the part in front of the camera) and
    is clipped to [0, width-1] x [0, height-1], as KITTI's are; it is all zero where nothing is left. The second value (N,)
    is the share of the box's area that the clipping removed, 1 where nothing is left.
    """
    clipped, cut = np.zeros((len(boxes), 4)), np.ones(len(boxes))
    limit = np.array([camera.width - 1, camera.height - 1])
    # Without distortion an edge is a straight line in the image too, and its ends are enough.
    share = np.linspace(0, 1, 2 if camera.rectified or not camera.D.any() else 17)[:, None, None]
    for i, corners in enumerate(apply(T_CAMERA_BODY, boxes.corners())):
        start, end = _in_front(corners[EDGES[:, 0]], corners[EDGES[:, 1]])
        pixels, _ = camera.project((start + share * (end - start)).reshape(-1, 3))
        pixels = pixels[np.isfinite(pixels).all(1)]
        if len(pixels) == 0:
            continue
        low, high = pixels.min(0), pixels.max(0)
        inner_low, inner_high = np.clip(low, 0, limit), np.clip(high, 0, limit)
        area, whole = np.prod(inner_high - inner_low), np.prod(high - low)
        if area > 0:
            clipped[i], cut[i] = [*inner_low, *inner_high], 1 - area / whole
    return clipped, cut


def _in_front(start: Matrix, end: Matrix) -> tuple[Matrix, Matrix]:
    """Cut edges, given by their ends (n,3) in the optical frame, at the near plane; those behind it are left out."""
    seen = np.maximum(start[:, 2], end[:, 2]) > NEAR
    start, end = start[seen], end[seen]
    along = end - start
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start + (NEAR - start[:, 2:]) / along[:, 2:] * along
    return np.where(start[:, 2:] < NEAR, crossing, start), np.where(end[:, 2:] < NEAR, crossing, end)


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
        """Read a label or result file. Raises DataError naming the file and the line."""
        rows = [line.split() for line in read_text(path).splitlines()]
        numbers: list[list[float]] = []
        for number, row in enumerate(rows, 1):
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
        pixel in the image, as KITTI does. truncated (N,) defaults to the share of the 2D box beyond the image for ground
        truth and, like occluded (N,), to -1 for results.
        """
        location, dimensions, rotation_y, alpha = boxes.to_kitti_camera()
        bbox, cut = image_boxes(boxes, camera)
        unknown = np.full(len(boxes), -1)
        labels = cls(
            boxes.label,
            np.asarray((unknown if scored else cut) if truncated is None else truncated, np.float64),
            np.asarray(unknown if occluded is None else occluded, np.int64),
            alpha, bbox, dimensions, location, rotation_y,
            boxes.score if scored else None,
        )  # fmt: skip
        return labels[cut < 1] if only_visible else labels

    def with_score(self, score: ArrayLike) -> KittiLabels:
        """Return the same rows with scores (N,)."""
        return replace(self, score=np.asarray(score, np.float64).reshape(len(self)))
