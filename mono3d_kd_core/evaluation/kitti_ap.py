"""Average precision as the KITTI object benchmark computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mono3d_kd_core.evaluation.kitti_curve import POINTS, CurveProblem
from mono3d_kd_core.evaluation.kitti_overlaps import Overlaps
from mono3d_kd_core.evaluation.kitti_rules import (
    CLASSES,
    COUNTED,
    LEVELS,
    Metric,
    found_use,
    has_orientation,
    is_evaluated,
    is_type,
    metrics_of,
    truth_use,
)
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable


@dataclass(frozen=True)
class Curve:
    """Precision (or orientation similarity) in percent at recall 0, 1/40, ..., 1: (3,41) for easy, moderate, hard."""

    precision: Matrix

    @property
    def r40(self) -> Matrix:
        """Average over 40 recalls, (3,) percent; recall 0 is left out (Simonelli et al., ICCV 2019)."""
        return np.asarray(self.precision[:, 1:].mean(1))

    @property
    def r11(self) -> Matrix:
        """Average over 11 recalls, (3,) percent (the benchmark until 2019)."""
        return np.asarray(self.precision[:, ::4].mean(1))

    def as_json(self) -> dict[str, Any]:
        """Return {"R40": [easy, moderate, hard], "R11": [...], "precision": [[41], [41], [41]]}."""
        return {"R40": self.r40.tolist(), "R11": self.r11.tolist(), "precision": self.precision.tolist()}


NOT_EVALUATED = {"R40": [None] * 3, "R11": [None] * 3, "precision": [[None] * POINTS] * 3}
"""What stands in the JSON for a curve of detections that carry no such boxes."""


@dataclass(frozen=True)
class ClassResult:
    """What holds for one class: its curves by metric name, how many objects each level asks for, how many were found."""

    curves: Mapping[str, Curve]
    objects: tuple[int, ...]
    detections: int


@dataclass(frozen=True)
class KittiResult:
    """The evaluation of F frames, by class."""

    classes: Mapping[str, ClassResult]
    frames: int

    def ap(self, name: str, metric: str, level: str = "moderate", points: int = 40) -> float:
        """Return one average precision in percent, such as `ap("Car", "3d@0.7")`. `points` is 40 or 11."""
        curve = self.classes[name].curves[metric]
        average = {40: curve.r40, 11: curve.r11}[points]
        return float(average[[level_.name for level_ in LEVELS].index(level)])

    def as_json(self) -> dict[str, Any]:
        """Return {class: {metric: curve}}, always with all six metrics; null stands for what was not evaluated."""
        return {
            name: {
                metric.name: each.curves[metric.name].as_json() if metric.name in each.curves else NOT_EVALUATED
                for metric in metrics_of(name)
            }
            for name, each in self.classes.items()
        }


def evaluate_kitti(
    labels: Sequence[KittiLabels] | LabelTable, detections: Sequence[KittiLabels] | LabelTable,
    classes: Sequence[str] = CLASSES,
) -> KittiResult:  # fmt: skip
    """Evaluate detections, which need scores, against labels of the same frames, in the same order.

    Figures are those of the official code, with its rules in `kitti_rules`: metrics for which the detections carry no boxes
    at all (no 3D boxes, no orientation) are left out. A class that was never detected has an average precision of 0, where
    the official code writes nothing. Raises ValueError where the frames differ or a score is missing.
    """
    truth, found = _table(labels), _table(detections)
    if len(truth) != len(found):
        raise ValueError(f"{len(truth)} frames of labels against {len(found)} of detections")
    if len(found.rows) and (found.rows.score is None or not np.isfinite(found.rows.score).all()):
        raise ValueError("every detection needs a finite score")
    overlaps = Overlaps.between(truth, found)
    return KittiResult({name: _evaluate_class(truth, found, overlaps, name) for name in classes}, len(truth))


def evaluate_boxes(
    labels: Sequence[Boxes3D], detections: Sequence[Boxes3D], cameras: Sequence[CameraModel],
    classes: Sequence[str] = CLASSES,
) -> KittiResult:  # fmt: skip
    """Like `evaluate_kitti`, for boxes in the frame "camera"; 2D boxes are the projections onto the images.

    Without KITTI's own labels nothing is known of occlusion, so levels differ by height and truncation only.
    """
    return evaluate_kitti(
        [KittiLabels.from_boxes(boxes, camera, scored=False) for boxes, camera in zip(labels, cameras)],
        [KittiLabels.from_boxes(boxes, camera) for boxes, camera in zip(detections, cameras)],
        classes,
    )


def _table(frames: Sequence[KittiLabels] | LabelTable) -> LabelTable:
    return frames if isinstance(frames, LabelTable) else LabelTable.join(frames)


def _evaluate_class(truth: LabelTable, found: LabelTable, overlaps: Overlaps, name: str) -> ClassResult:
    uses = [(truth_use(truth.rows, name, level), found_use(found.rows, name, level)) for level in LEVELS]
    curves: dict[str, Curve] = {}
    with_orientation = has_orientation(found.rows)
    for metric in metrics_of(name):
        if metric.orientation or not is_evaluated(found.rows, name, metric.space):
            continue
        levels = [CurveProblem.build(truth, found, overlaps, *use, metric).solve() for use in uses]
        precision, similarity = (100 * np.stack(each) for each in zip(*levels))
        curves[metric.name] = Curve(precision)
        if metric.space == "2d" and with_orientation:
            curves[Metric("2d", metric.min_overlap, orientation=True).name] = Curve(similarity)
    objects = tuple(int((asked == COUNTED).sum()) for asked, _ in uses)
    return ClassResult(curves, objects, int(is_type(found.rows, name).sum()))
