"""How far detections are off, and how that grows with distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.evaluation.correspondence import Correspondence
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix, wrap_angle

BANDS = ((0.0, 15.0), (15.0, 30.0), (30.0, 50.0), (50.0, np.inf), (0.0, np.inf))
"""Distances over ground in metres; the last is everything."""


@dataclass(frozen=True)
class BoxErrors:
    """Found minus true for M pairs of boxes, all (M,); metres and radians.

    longitudinal is along the line of sight over ground to the true box, positive too far; lateral across it, positive to
    the left (as in LET-3D-AP, Hung et al. 2022); vertical is up; depth is along the forward axis of the sensor; distance
    is between the centres over ground; length, width, height of the size; scale is 1 - IoU of the boxes laid on each other
    (nuScenes' ASE); heading in [0, pi/2] is the turn that makes the axes parallel; flipped says whether the box points
    backwards.
    """

    longitudinal: Matrix
    lateral: Matrix
    vertical: Matrix
    depth: Matrix
    distance: Matrix
    length: Matrix
    width: Matrix
    height: Matrix
    scale: Matrix
    heading: Matrix
    flipped: NDArray[np.bool_]

    @classmethod
    def between(cls, truth: Boxes3D, found: Boxes3D) -> BoxErrors:
        """Compare true[i] with found[i]; both in the same frame, x forward."""
        offset = found.centre - truth.centre
        reach = np.maximum(np.hypot(truth.centre[:, 0], truth.centre[:, 1]), 1e-9)
        sight = truth.centre[:, :2] / reach[:, None]
        size = found.size - truth.size
        shared = np.prod(np.minimum(found.size, truth.size), 1)
        union = np.prod(found.size, 1) + np.prod(truth.size, 1) - shared
        turn = np.abs(wrap_angle(found.yaw - truth.yaw))
        return cls(
            (offset[:, :2] * sight).sum(1), sight[:, 0] * offset[:, 1] - sight[:, 1] * offset[:, 0], offset[:, 2],
            offset[:, 0], np.hypot(offset[:, 0], offset[:, 1]), size[:, 0], size[:, 1], size[:, 2], 1 - shared / union,
            np.minimum(turn, np.pi - turn), turn > np.pi / 2,
        )  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """Mean (the bias), mean of absolute values, and median of absolute values; NaN where there are none."""

    bias: float
    mean_abs: float
    median_abs: float

    @classmethod
    def of(cls, values: Matrix) -> Spread:
        if len(values) == 0:
            return cls(np.nan, np.nan, np.nan)
        return cls(float(values.mean()), float(np.abs(values).mean()), float(np.median(np.abs(values))))


@dataclass(frozen=True)
class Band:
    """What holds for the objects between `near` and `far` metres.

    objects were asked for; seen and recall are the shares of them overlapped on the image and placed within 2 m; precision
    is the share of the detections there that are placed. Errors are taken from the seen pairs.
    """

    near: float
    far: float
    objects: int
    detections: int
    seen: float
    recall: float
    precision: float
    errors: dict[str, Spread]
    flips: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values, null where there is nothing to average."""
        content = asdict(self)
        content["far"] = None if np.isinf(self.far) else self.far
        return {key: _plain(value) for key, value in content.items()}


def by_band(pairs: Correspondence, bands: Sequence[tuple[float, float]] = BANDS) -> list[Band]:
    """Summarise objects, detections and errors for each band of distance."""
    of_truth, of_found = pairs.truth.range, pairs.found.range
    seen, placed = (chosen[pairs.asked[chosen[:, 0]]] for chosen in (pairs.seen, pairs.placed))
    errors = BoxErrors.between(pairs.truth.boxes[seen[:, 0]], pairs.found.boxes[seen[:, 1]])
    hits = pairs.hits()
    result = []
    for near, far in bands:
        objects = pairs.asked & (of_truth >= near) & (of_truth < far)
        detections = pairs.charged & (of_found >= near) & (of_found < far)
        here = objects[seen[:, 0]]
        count = int(objects.sum())
        result.append(
            Band(
                near, far, count, int(detections.sum()),
                _share(here.sum(), count), _share(objects[placed[:, 0]].sum(), count),
                _share((hits & detections).sum(), int(detections.sum())),
                {name: Spread.of(values[here]) for name, values in vars(errors).items() if name != "flipped"},
                _share(errors.flipped[here].sum(), int(here.sum())),
            )
        )  # fmt: skip
    return result


def _share(part: float, whole: int) -> float:
    return float(part) / whole if whole else np.nan


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value
