"""The nuScenes detection metrics for any boxes (Caesar et al., CVPR 2020; the detection code of its development kit).

Average precision matches by distance between centres over ground, not by overlap. Velocity and attributes, which our boxes
do not have, are left out of the detection score: NDS = (5 mAP + sum of max(0, 1 - error)) / 8 over ATE, ASE and AOE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.evaluation.box_table import BoxTable
from mono3d_kd_core.evaluation.errors import BoxErrors
from mono3d_kd_core.evaluation.pairs import Indices, pairs_in_frames
from mono3d_kd_core.evaluation.tables import markdown_table, number
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix

DISTANCES = (0.5, 1.0, 2.0, 4.0)
ERROR_DISTANCE = 2.0
MIN_RECALL, MIN_PRECISION = 0.1, 0.1
POINTS = 101
ERRORS = ("ATE", "ASE", "AOE")
FIRST = round(100 * MIN_RECALL) + 1  # recalls up to and including the least one are left out


@dataclass(frozen=True)
class NuscenesClass:
    """Average precisions (0..1) by distance in metres, and the mean errors ATE (m), ASE (1 - IoU) and AOE (rad)."""

    ap: dict[float, float]
    errors: dict[str, float]

    @property
    def mean_ap(self) -> float:
        """Mean over the distances."""
        return float(np.mean(list(self.ap.values())))


@dataclass(frozen=True)
class NuscenesResult:
    """The metrics by class, and over all of them."""

    classes: Mapping[str, NuscenesClass]

    @property
    def mean_ap(self) -> float:
        """mAP, 0..1; NaN without classes."""
        return float(np.mean([each.mean_ap for each in self.classes.values()])) if self.classes else np.nan

    @property
    def errors(self) -> dict[str, float]:
        """mATE, mASE and mAOE by name."""
        return {
            f"m{name}": float(np.mean([each.errors[name] for each in self.classes.values()])) if self.classes else np.nan
            for name in ERRORS
        }

    @property
    def nds(self) -> float:
        """The detection score without velocity and attributes, 0..1."""
        return float((5 * self.mean_ap + sum(max(0.0, 1 - error) for error in self.errors.values())) / 8)

    def as_json(self) -> dict[str, Any]:
        """Return {"mAP", "NDS", "mATE", "mASE", "mAOE", "classes": {class: {"AP": {"0.5": ...}, "ATE": ...}}}.

        Means are null where there is no class.
        """
        classes = {
            name: {"AP": {f"{distance:g}": ap for distance, ap in each.ap.items()}, **each.errors}
            for name, each in self.classes.items()
        }
        means = {"mAP": self.mean_ap, "NDS": self.nds, **self.errors}
        return {**{name: None if np.isnan(value) else value for name, value in means.items()}, "classes": classes}


def evaluate_nuscenes(
    truth: Sequence[Boxes3D] | BoxTable, found: Sequence[Boxes3D] | BoxTable, classes: Sequence[str] | None = None,
    max_range: float = np.inf,
) -> NuscenesResult:  # fmt: skip
    """Evaluate boxes found in F frames against the true ones.

    Boxes farther than `max_range` metres from the origin of their frame are left out on both sides. Without `classes`, those
    with at least one true box count. Equal scores are taken from last to first, as the development kit does.
    """
    tables = [table if isinstance(table, BoxTable) else BoxTable.join(table) for table in (truth, found)]
    objects, detections = (table.select(table.range < max_range) for table in tables)
    names = sorted(set(objects.boxes.label.tolist())) if classes is None else classes
    return NuscenesResult(
        {
            name: _evaluate_class(*(table.select(table.boxes.label == name) for table in (objects, detections)))
            for name in names
        }
    )


def _evaluate_class(truth: BoxTable, found: BoxTable) -> NuscenesClass:
    order = np.argsort(found.boxes.score, kind="stable")[::-1]
    pairs = _near_pairs(truth, found, order)
    curves = {distance: _Curve.of(truth, found, order, pairs, distance) for distance in DISTANCES}
    return NuscenesClass(
        {distance: curve.average_precision() for distance, curve in curves.items()}, curves[ERROR_DISTANCE].mean_errors()
    )


def _near_pairs(truth: BoxTable, found: BoxTable, order: Indices) -> tuple[Indices, Indices, Matrix]:
    """Return pairs in the order of their detections' turns, the nearest first, with their distance."""
    parts = []
    for i, j in pairs_in_frames(truth.start, found.start):
        offset = truth.boxes.centre[i, :2] - found.boxes.centre[j, :2]
        distance = np.sqrt((offset**2).sum(1))
        near = distance < max(DISTANCES)
        parts.append((i[near], j[near], distance[near]))
    i, j, distance = (np.concatenate(columns) for columns in zip(*parts))
    turn = np.empty(len(order), np.int64)
    turn[order] = np.arange(len(order))
    rows = np.lexsort((i, distance, turn[j]))
    return i[rows], j[rows], distance[rows]


@dataclass(frozen=True)
class _Curve:
    """precision and confidence (101,) at recall 0, 0.01, ..., 1; errors[name] (101,) accumulated down to there."""

    precision: Matrix
    confidence: Matrix
    errors: dict[str, Matrix]

    @classmethod
    def of(
        cls, truth: BoxTable, found: BoxTable, order: Indices, pairs: tuple[Indices, Indices, Matrix], limit: float
    ) -> _Curve:
        partner = _match(*pairs, limit, len(truth.boxes), len(found.boxes))[order]
        matched = partner >= 0
        if not matched.any():
            return cls(np.zeros(POINTS), np.zeros(POINTS), {name: np.ones(POINTS) for name in ERRORS})
        score = found.boxes.score[order]
        hits = np.cumsum(matched)
        recall, steps = hits / len(truth.boxes), np.linspace(0, 1, POINTS)
        precision = np.interp(steps, recall, hits / np.arange(1, len(hits) + 1), right=0)
        confidence = np.interp(steps, recall, score, right=0)
        off = BoxErrors.between(truth.boxes[partner[matched]], found.boxes[order[matched]])
        turn = np.where(off.flipped, np.pi - off.heading, off.heading)
        resampled = {
            name: np.interp(confidence[::-1], score[matched][::-1], _running_mean(values)[::-1])[::-1]
            for name, values in zip(ERRORS, (off.distance, off.scale, turn))
        }
        return cls(precision, confidence, resampled)

    def average_precision(self) -> float:
        """Mean precision above the least recall and precision, scaled to 0..1."""
        return float(np.maximum(self.precision[FIRST:] - MIN_PRECISION, 0).mean() / (1 - MIN_PRECISION))

    def mean_errors(self) -> dict[str, float]:
        """Mean of the accumulated errors between the least and the largest recall; 1 where that is never reached."""
        reached = np.flatnonzero(self.confidence)
        last = int(reached[-1]) if len(reached) else 0
        if last < FIRST:
            return dict.fromkeys(ERRORS, 1.0)
        return {name: float(values[FIRST : last + 1].mean()) for name, values in self.errors.items()}


def _match(i: Indices, j: Indices, distance: Matrix, limit: float, truths: int, founds: int) -> Indices:
    """Return the partner (D,) of each detection, -1 without: the nearest object still free when its turn comes."""
    partner = np.full(founds, -1)
    taken: NDArray[np.bool_] = np.zeros(truths, np.bool_)
    near = distance < limit
    for object_, detection in zip(i[near].tolist(), j[near].tolist()):
        if partner[detection] < 0 and not taken[object_]:
            partner[detection] = object_
            taken[object_] = True
    return partner


def _running_mean(values: Matrix) -> Matrix:
    return np.asarray(np.cumsum(values) / np.arange(1, len(values) + 1))


def nuscenes_report(result: NuscenesResult) -> str:
    """Return the metrics as Markdown."""
    rows = [
        [name, *(number(100 * ap, 1) for ap in each.ap.values()), *(number(each.errors[key], 3) for key in ERRORS)]
        for name, each in result.classes.items()
    ]
    means = [*[""] * len(DISTANCES), *(number(error, 3) for error in result.errors.values())]
    rows.append(["mean", *means])
    header = ["", *(f"AP {distance:g} m" for distance in DISTANCES), "ATE m", "ASE", "AOE rad"]
    title = f"nuScenes metrics without velocity and attributes: NDS {100 * result.nds:.1f}, mAP {100 * result.mean_ap:.1f}"
    return "\n".join([title, "", markdown_table(header, rows)])
