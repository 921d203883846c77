"""KITTI's average precision of a validation, for TensorBoard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mono3d_kd_core.evaluation.kitti_ap import KittiResult, evaluate_kitti
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, metrics_of
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.training.reference import Reference

TITLES = {"bev": "APBEV", "3d": "AP3D"}


class AveragePrecision:
    """Gathers the detections of a validation; its figures are what `mono3d-kd evaluate` would say of them.

    Of `classes`, those that KITTI does not evaluate are passed over.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = [name for name in CLASSES if name in classes]
        self._labels: list[KittiLabels] = []
        self._found: list[KittiLabels] = []

    def clear(self) -> None:
        """Forget the frames, for the next validation."""
        self._labels, self._found = [], []

    def add(self, found: Iterable[Boxes3D], references: Iterable[Reference]) -> None:
        """Take in what was found in some frames, in the frame "camera" or "lidar"."""
        for boxes, reference in zip(found, references, strict=True):
            rig = reference.rig
            self._labels.append(reference.labels)
            self._found.append(KittiLabels.from_boxes(rig.boxes_in_camera(boxes), rig.camera))

    def figures(self) -> dict[str, float]:
        """Return the figures of all frames taken in, by the names of `named_figures`."""
        return named_figures(evaluate_kitti(self._labels, self._found, self._classes))


def named_figures(result: KittiResult) -> dict[str, float]:
    """Return BEV and 3D average precision, percent over 40 recalls, by names such as val/AP3D_Car_moderate.

    Those at the looser overlap are under val_loose/. Levels without objects are left out.
    """
    values = {}
    for name, each in result.classes.items():
        strict = metrics_of(name)[0].min_overlap
        for metric in metrics_of(name):
            if metric.space not in TITLES:
                continue
            group = "val" if metric.min_overlap == strict else "val_loose"
            for level, objects in zip(LEVELS, each.objects):
                if objects:
                    key = f"{group}/{TITLES[metric.space]}_{name}_{level.name}"
                    values[key] = result.ap(name, metric.name, level.name)
    return values
