"""Which detection is which object: seen on the image, and placed on the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.evaluation.box_table import BoxTable
from mono3d_kd_core.evaluation.kitti_rules import COUNTED, LEVELS, NEIGHBOUR, found_use, is_type, truth_use
from mono3d_kd_core.evaluation.pairs import Indices, assign, pairs_in_frames
from mono3d_kd_core.geometry.overlap import iou_2d_aligned
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_labels import DONT_CARE
from mono3d_kd_core.io.kitti_table import LabelTable

PLACED_WITHIN = 2.0
"""Metres over ground between the centres of an object and its detection; the distance at which nuScenes takes errors."""
SEEN_ABOVE = 0.5
"""Intersection over union on the image of an object and its detection."""
NEAR_ENOUGH = 4.0
"""Metres within which a detection is taken for an object where there are no boxes on the image."""
HARD = LEVELS[-1]


@dataclass(frozen=True)
class Correspondence:
    """Objects T and detections D of one class in F frames, and how they belong together.

    asked (T,) says which objects should be found; the others may be. charged (D,): which detections should be right; the
    others stand on objects or regions that nobody judges. seen and placed (.,2) are rows of truth and of found: pairs that
    overlap on the image, from which errors are taken, whatever their size; and pairs within 2 m over ground. In both the
    best score chooses first. Without boxes on the image, `seen` are pairs within 4 m.
    """

    truth: BoxTable
    found: BoxTable
    asked: NDArray[np.bool_]
    charged: NDArray[np.bool_]
    seen: Indices
    placed: Indices

    @classmethod
    def of_boxes(cls, truth: BoxTable, found: BoxTable) -> Correspondence:
        """Match boxes of one class of which all count."""
        return cls._matched(truth, found, np.ones(len(truth.boxes), np.bool_), np.ones(len(found.boxes), np.bool_))

    @classmethod
    def of_labels(
        cls, labels: LabelTable, detections: LabelTable, name: str, depth_std: Matrix | None = None,
        min_score: float = -np.inf,
    ) -> Correspondence:  # fmt: skip
        """Match a class in KITTI tables; asked for are the objects of the level hard, depth_std (D,) is in metres."""
        kind = is_type(labels.rows, name) | is_type(labels.rows, NEIGHBOUR[name])
        mine = is_type(detections.rows, name) & (np.asarray(detections.rows.score) >= min_score)
        everything = BoxTable.of_labels(labels)
        truth, found = everything.select(kind), BoxTable.of_labels(detections, depth_std).select(mine)
        regions = everything.select(is_type(labels.rows, DONT_CARE))
        large = (found_use(detections.rows, name, HARD) == COUNTED)[mine]
        asked = (truth_use(labels.rows, name, HARD) == COUNTED)[kind]
        return cls._matched(truth, found, asked, large & ~_in_regions(regions, found))

    @classmethod
    def _matched(
        cls, truth: BoxTable, found: BoxTable, asked: NDArray[np.bool_], charged: NDArray[np.bool_]
    ) -> Correspondence:
        pairs = [_close_pairs(truth, found, *portion) for portion in pairs_in_frames(truth.start, found.start)]
        i, j, distance, overlap = (np.concatenate(columns) for columns in zip(*pairs))
        rank = np.empty(len(found.boxes), np.int64)
        rank[np.argsort(-found.boxes.score, kind="stable")] = np.arange(len(rank))

        def best(possible: NDArray[np.bool_], cost: Matrix) -> Indices:
            a, b = i[possible], j[possible]
            chosen = assign(a, b, rank, cost[possible])
            return np.column_stack([a[chosen], b[chosen]])

        placed = best(distance <= PLACED_WITHIN, distance)
        on_image = truth.image is not None and found.image is not None
        seen = best(overlap > SEEN_ABOVE, -overlap) if on_image else best(distance <= NEAR_ENOUGH, distance)
        # Who stands on an object that nobody asks for is neither right nor wrong.
        excused = np.zeros(len(charged), np.bool_)
        for pair in (seen, placed):
            excused[pair[~asked[pair[:, 0]], 1]] = True
        hits = np.zeros(len(charged), np.bool_)
        hits[placed[asked[placed[:, 0]], 1]] = True
        return cls(truth, found, asked, (charged & ~excused) | hits, seen, placed)

    def hits(self) -> NDArray[np.bool_]:
        """Say which detections (D,) are placed on an object that was asked for."""
        result = np.zeros(len(self.found.boxes), np.bool_)
        result[self.placed[self.asked[self.placed[:, 0]], 1]] = True
        return result


def _close_pairs(truth: BoxTable, found: BoxTable, i: Indices, j: Indices) -> tuple[Indices, Indices, Matrix, Matrix]:
    """Return those of the pairs that are near over ground or overlap on the image, their distance and overlap."""
    offset = truth.boxes.centre[i, :2] - found.boxes.centre[j, :2]
    distance = np.hypot(offset[:, 0], offset[:, 1])
    overlap = np.zeros(len(i))
    if truth.image is not None and found.image is not None:
        overlap = iou_2d_aligned(truth.image[i], found.image[j])
    keep = (distance <= NEAR_ENOUGH) | (overlap > SEEN_ABOVE)
    return i[keep], j[keep], distance[keep], overlap[keep]


def _in_regions(regions: BoxTable, found: BoxTable) -> NDArray[np.bool_]:
    """Say which detections (D,) lie with more than half of their image box in one DontCare region."""
    inside = np.zeros(len(found.boxes), np.bool_)
    if regions.image is None or found.image is None:
        return inside
    for i, j in pairs_in_frames(regions.start, found.start):
        a, b = regions.image[i], found.image[j]
        shared = np.prod(np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]), 0), 1)
        inside[j[shared > 0.5 * np.prod(b[:, 2:] - b[:, :2], 1)]] = True
    return inside
