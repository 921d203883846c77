"""The overlaps of all labelled and detected boxes that share a frame, computed once for every class and level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono3d_kd_core.evaluation.kitti_rules import Space, footprints, is_type
from mono3d_kd_core.evaluation.pairs import Indices, pairs_in_frames
from mono3d_kd_core.geometry.overlap import bev_intersection_aligned
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_labels import DONT_CARE, KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable

SPACES: tuple[Space, ...] = ("2d", "bev", "3d")
LEAST = 0.25
"""No metric asks for less overlap than this."""


@dataclass(frozen=True)
class Overlaps:
    """The pairs (P) of a label and a detection that overlap by more than a quarter in any space.

    truth and found (P,) are rows of the two tables, in order of truth, then of found; iou[space] (P,) their intersection
    over union. covered[space] (D,) is the largest share of each detection's own area that one DontCare region covers.
    """

    truth: Indices
    found: Indices
    iou: dict[Space, Matrix]
    covered: dict[Space, Matrix]

    @classmethod
    def between(cls, labels: LabelTable, detections: LabelTable) -> Overlaps:
        """Compare two tables of the same frames."""
        region = is_type(labels.rows, DONT_CARE)
        covered: dict[Space, Matrix] = {space: np.zeros(len(detections.rows)) for space in SPACES}
        parts = []
        for truth, found in pairs_in_frames(labels.start, detections.start):
            of_region = region[truth]
            _cover(covered, labels.rows, detections.rows, truth[of_region], found[of_region])
            parts.append(_overlapping(labels.rows, detections.rows, truth[~of_region], found[~of_region]))
        truth, found, iou = (np.concatenate(columns) for columns in zip(*parts))
        return cls(truth, found, dict(zip(SPACES, iou.T)), covered)


def _overlapping(
    labels: KittiLabels, detections: KittiLabels, truth: Indices, found: Indices
) -> tuple[Indices, Indices, Matrix]:
    """Return those of the pairs that overlap enough to matter, with their (P,3) intersections over union."""
    a, b = detections[found], labels[truth]
    image, area_a, area_b = _image_areas(a, b)
    ground = bev_intersection_aligned(footprints(a), footprints(b))
    (base_a, volume_a), (base_b, volume_b) = _extents(a), _extents(b)
    # y points down: a box reaches from its bottom y up to y - height.
    (bottom_a, height_a), (bottom_b, height_b) = ((rows.location[:, 1], rows.dimensions[:, 0]) for rows in (a, b))
    shared_height = np.minimum(bottom_a, bottom_b) - np.maximum(bottom_a - height_a, bottom_b - height_b)
    space = ground * np.maximum(shared_height, 0)
    iou = np.column_stack(
        [
            _share(image, area_a + area_b - image),
            _share(ground, base_a + base_b - ground),
            _share(space, volume_a + volume_b - space),
        ]
    )
    matters = (iou > LEAST).any(1)
    return truth[matters], found[matters], iou[matters]


def _cover(
    covered: dict[Space, Matrix], labels: KittiLabels, detections: KittiLabels, truth: Indices, found: Indices
) -> None:
    """Note how much of the detections the DontCare regions `truth` cover."""
    a, b = detections[found], labels[truth]
    image, area, _ = _image_areas(a, b)
    # Regions lie at -1000 m, where also detections without a 3D box are put; they have no volume.
    ground = bev_intersection_aligned(footprints(a), footprints(b))
    np.maximum.at(covered["2d"], found, _share(image, area))
    np.maximum.at(covered["bev"], found, _share(ground, _extents(a)[0]))


def _image_areas(a: KittiLabels, b: KittiLabels) -> tuple[Matrix, Matrix, Matrix]:
    """Return the areas (P,) that aligned image boxes share, and each one's own."""
    low, high = np.maximum(a.bbox[:, :2], b.bbox[:, :2]), np.minimum(a.bbox[:, 2:], b.bbox[:, 2:])
    return np.prod(np.maximum(high - low, 0), 1), *(np.prod(rows.bbox[:, 2:] - rows.bbox[:, :2], 1) for rows in (a, b))


def _extents(rows: KittiLabels) -> tuple[Matrix, Matrix]:
    """Return base areas and volumes (P,)."""
    height, width, length = rows.dimensions.T
    return np.abs(length * width), height * length * width


def _share(part: Matrix, whole: Matrix) -> Matrix:
    return np.divide(part, whole, out=np.zeros(len(part)), where=part > 0)
