"""The KITTI evaluation as plain loops over frames, objects and thresholds, slow and literal, with shapely for polygons.

It shares nothing with the package but the columns of a label file, and follows the published procedure step by step,
also in the order in which candidates are tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import shapely

from mono3d_kd_core.io.kitti_labels import KittiLabels

MIN_HEIGHT, MAX_OCCLUSION, MAX_TRUNCATION = (40, 25, 25), (0, 1, 2), (0.15, 0.3, 0.5)


def image_overlap(a: KittiLabels, i: int, b: KittiLabels, j: int, over_a: bool) -> float:
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.bbox[i].tolist(), b.bbox[j].tolist()
    width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
    if width <= 0 or height <= 0:
        return 0.0
    shared, area_a, area_b = width * height, (ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1)
    return shared / area_a if over_a else shared / (area_a + area_b - shared)


def polygon(rows: KittiLabels, i: int) -> shapely.Polygon:
    _, width, length = rows.dimensions[i].tolist()
    x, _, z = rows.location[i].tolist()
    c, s = math.cos(rows.rotation_y[i]), math.sin(rows.rotation_y[i])
    corners = [(length / 2, width / 2), (length / 2, -width / 2), (-length / 2, -width / 2), (-length / 2, width / 2)]
    return shapely.Polygon([(c * u + s * v + x, -s * u + c * v + z) for u, v in corners])


def ground_overlap(a: KittiLabels, i: int, b: KittiLabels, j: int, over_a: bool) -> float:
    one, other = polygon(a, i), polygon(b, j)
    shared = one.intersection(other).area
    whole = one.area if over_a else one.area + other.area - shared
    return shared / whole if whole > 0 else 0.0


def space_overlap(a: KittiLabels, i: int, b: KittiLabels, j: int, over_a: bool) -> float:
    bottom_a, bottom_b, height_a, height_b = a.location[i, 1], b.location[j, 1], a.dimensions[i, 0], b.dimensions[j, 0]
    height = max(0.0, min(bottom_a, bottom_b) - max(bottom_a - height_a, bottom_b - height_b))
    shared = polygon(a, i).intersection(polygon(b, j)).area * height
    volume_a, volume_b = float(np.prod(a.dimensions[i])), float(np.prod(b.dimensions[j]))
    whole = volume_a if over_a else volume_a + volume_b - shared
    return shared / whole if whole != 0 else 0.0


OVERLAP = {"2d": image_overlap, "bev": ground_overlap, "3d": space_overlap}


class Frame:
    """One frame, cleaned for a class and a level, with all its overlaps."""

    def __init__(self, truth: KittiLabels, found: KittiLabels, name: str, level: int, space: str) -> None:
        neighbour = {"car": "van", "pedestrian": "person_sitting"}.get(name.lower())
        self.truth_ignored, self.found_ignored, regions = [], [], []
        for i in range(len(truth)):
            kind = truth.type[i].lower()
            height = truth.bbox[i, 3] - truth.bbox[i, 1]
            hard = (
                truth.occluded[i] > MAX_OCCLUSION[level]
                or truth.truncated[i] > MAX_TRUNCATION[level]
                or height <= MIN_HEIGHT[level]
            )
            if kind == name.lower() and not hard:
                self.truth_ignored.append(0)
            elif kind in (neighbour, name.lower()):
                self.truth_ignored.append(1)
            else:
                self.truth_ignored.append(-1)
            if kind == "dontcare":
                regions.append(i)
        for j in range(len(found)):
            if int(abs(found.bbox[j, 1] - found.bbox[j, 3])) < MIN_HEIGHT[level]:
                self.found_ignored.append(1)
            else:
                self.found_ignored.append(0 if found.type[j].lower() == name.lower() else -1)
        self.score = [] if found.score is None else found.score.tolist()
        overlap = OVERLAP[space]
        self.iou = [[overlap(found, j, truth, i, False) for j in range(len(found))] for i in range(len(truth))]
        self.covered = [[overlap(found, j, truth, i, True) for j in range(len(found))] for i in regions]
        self.truth_alpha, self.found_alpha = truth.alpha.tolist(), found.alpha.tolist()

    def match_by_score(self, min_overlap: float) -> list[float]:
        """Return the scores of the hits when each object takes the detection of highest score."""
        assigned, hits = [False] * len(self.score), []
        for i, ignored in enumerate(self.truth_ignored):
            if ignored == -1:
                continue
            best, best_score = -1, -10000000.0
            for j, score in enumerate(self.score):
                if self.found_ignored[j] == -1 or assigned[j]:
                    continue
                if self.iou[i][j] > min_overlap and score > best_score:
                    best, best_score = j, score
            if best >= 0:
                assigned[best] = True
                if ignored == 0 and self.found_ignored[best] == 0:
                    hits.append(self.score[best])
        return hits

    def match_by_overlap(self, min_overlap: float, threshold: float) -> tuple[int, int, float]:
        """Return hits, false alarms and the hits' orientation similarity among detections not below the threshold."""
        assigned, hits, similarity = [False] * len(self.score), 0, 0.0
        too_low = [score < threshold for score in self.score]
        for i, ignored in enumerate(self.truth_ignored):
            if ignored == -1:
                continue
            best, largest, is_fallback = -1, 0.0, False
            for j in range(len(self.score)):
                if self.found_ignored[j] == -1 or assigned[j] or too_low[j] or not self.iou[i][j] > min_overlap:
                    continue
                if (self.iou[i][j] > largest or is_fallback) and self.found_ignored[j] == 0:
                    best, largest, is_fallback = j, self.iou[i][j], False
                elif best == -1 and self.found_ignored[j] == 1:
                    best, is_fallback = j, True
            if best == -1:
                continue
            assigned[best] = True
            if ignored == 0 and self.found_ignored[best] == 0:
                hits += 1
                similarity += (1 + math.cos(self.truth_alpha[i] - self.found_alpha[best])) / 2
        open_ = [j for j in range(len(self.score)) if not (assigned[j] or self.found_ignored[j] != 0 or too_low[j])]
        false_alarms = len(open_)
        for row in self.covered:
            for j in open_:
                if not assigned[j] and row[j] > min_overlap:
                    assigned[j] = True
                    false_alarms -= 1
        return hits, false_alarms, similarity


def thresholds(scores: list[float], objects: int) -> list[float]:
    """Return the scores that come nearest to the 41 recalls."""
    scores = sorted(scores, reverse=True)
    chosen, recall = [], 0.0
    for i, score in enumerate(scores):
        left = (i + 1) / objects
        right = (i + 2) / objects if i < len(scores) - 1 else left
        if right - recall < recall - left and i < len(scores) - 1:
            continue
        chosen.append(score)
        recall += 1.0 / 40.0
    return chosen


def curve(
    truth: Sequence[KittiLabels], found: Sequence[KittiLabels], name: str, level: int, space: str, min_overlap: float
) -> tuple[list[float], list[float]]:
    """Return 41 precisions and 41 orientation similarities, 0..1."""
    frames = [Frame(t, f, name, level, space) for t, f in zip(truth, found)]
    objects = sum(frame.truth_ignored.count(0) for frame in frames)
    precision, orientation = [0.0] * 41, [0.0] * 41
    steps = thresholds([score for frame in frames for score in frame.match_by_score(min_overlap)], objects)
    for k, threshold in enumerate(steps):
        counts = [frame.match_by_overlap(min_overlap, threshold) for frame in frames]
        hits, alarms, similarity = (sum(column) for column in zip(*counts))
        if hits + alarms > 0:
            precision[k], orientation[k] = hits / (hits + alarms), similarity / (hits + alarms)
    for k in range(len(steps)):
        precision[k], orientation[k] = max(precision[k:]), max(orientation[k:])
    return precision, orientation
