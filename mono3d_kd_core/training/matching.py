"""Which detections are which objects, by distance on the ground; enough to watch a training and to calibrate its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.keypoint_decode import ScoreCalibration


def match(found: Boxes3D, truth: Boxes3D, radius: float) -> NDArray[np.int64]:
    """Return for each detection (N,) the object that it is, or -1.

    It is the nearest of its class within `radius` metres on the ground; higher scores choose first, each object once.
    """
    distance = np.linalg.norm(found.centre[:, None, :2] - truth.centre[None, :, :2], axis=-1)
    distance[found.label[:, None] != truth.label[None]] = np.inf
    result = np.full(len(found), -1)
    for i in np.argsort(-found.score, kind="stable"):
        if len(truth) and (j := int(distance[i].argmin())) >= 0 and distance[i, j] <= radius:
            result[i] = j
            distance[:, j] = np.inf
    return result


def judged(found: Boxes3D, annotation: Annotation, camera: CameraModel, radius: float = 2.0) -> Boxes3D:
    """Return the detections that can be called right or wrong.

    One that is no known object, but whose centre is seen inside a region of which nothing is known, is left out.
    """
    uv, _ = camera.project(apply(T_CAMERA_BODY, found.centre))
    low, high = annotation.ignore[:, :2], annotation.ignore[:, 2:]
    inside = np.any(((uv[:, None] >= low) & (uv[:, None] <= high)).all(-1), axis=1)
    return found[~inside | (match(found, annotation.boxes, radius) >= 0)]


@dataclass(frozen=True)
class FoundShare:
    """How many of the objects nearer than a distance were found, and how many detections were right."""

    recall: float
    precision: float
    objects: int


def found_share(
    found: Sequence[Boxes3D], truth: Sequence[Boxes3D], label: str,
    radius: float = 2.0, nearer: float = 40.0, score: float = 0.3, beyond: float = 0.0,
) -> FoundShare:  # fmt: skip
    """Compare detections of a class with objects from `beyond` to `nearer` metres, frame by frame, at a score threshold."""
    hits = objects = right = alarms = 0
    for seen, real in zip(found, truth):
        seen = seen[(seen.label == label) & (seen.score >= score)]
        real = real[real.label == label]
        matched = match(seen, real, radius)
        near = _within(real, beyond, nearer)
        objects += int(near.sum())
        hits += int(near[matched[matched >= 0]].sum())
        seen_near = _within(seen, beyond, nearer)
        right += int((matched[seen_near] >= 0).sum())
        alarms += int(seen_near.sum())
    return FoundShare(hits / max(objects, 1), right / max(alarms, 1), objects)


def found_metrics(
    found: Sequence[Boxes3D], truth: Sequence[Boxes3D], classes: Sequence[str], score: float = 0.3
) -> dict[str, float]:
    """Return a card's recall_40m_* and precision_40m_* of each class that has objects, to four digits."""
    metrics: dict[str, float] = {}
    for name in classes:
        share = found_share(found, truth, name, score=score)
        if share.objects:
            metrics |= {f"recall_40m_{name}": round(share.recall, 4), f"precision_40m_{name}": round(share.precision, 4)}
    return metrics


def _within(boxes: Boxes3D, beyond: float, nearer: float) -> NDArray[np.bool_]:
    distance = np.hypot(boxes.centre[:, 0], boxes.centre[:, 1])
    within: NDArray[np.bool_] = (distance >= beyond) & (distance < nearer)
    return within


def fit_calibration(raw: Matrix, right: NDArray[np.bool_]) -> ScoreCalibration:
    """Fit Platt scaling (Platt 1999) to raw scores (N,) of detections that were right or not (N,).

    Maximum a posteriori with a unit Gaussian prior around leaving the scores alone, which thousands of detections overrule
    and a handful, or a perfect separation, cannot.
    """
    clipped = np.clip(raw, 1e-6, 1 - 1e-6)
    design = np.column_stack([np.log(clipped / (1 - clipped)), np.ones(len(raw))])
    sign = np.where(right, 1.0, -1.0)
    untouched = np.array([1.0, 0.0])

    def cost(parameters: Matrix) -> float:
        misfit = np.logaddexp(0, -sign * (design @ parameters)).sum()
        return float(misfit + 0.5 * ((parameters - untouched) ** 2).sum())

    parameters = untouched
    for _ in range(100):
        probability = 0.5 * (1 + np.tanh(design @ parameters / 2))
        gradient = design.T @ (probability - right) + parameters - untouched
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while cost(parameters - step) > cost(parameters) and np.abs(step).max() > 1e-9:
            step /= 2  # Newton may overshoot where the scores saturate
        parameters = parameters - step
        if np.abs(step).max() < 1e-9:
            break
    # A ranking that came out upside down is not something a scaling should repair.
    scale, shift = map(float, parameters)
    return ScoreCalibration(scale=scale, shift=shift) if scale > 0 else ScoreCalibration()
