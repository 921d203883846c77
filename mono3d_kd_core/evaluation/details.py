"""What average precision hides: errors by distance, and whether uncertainties and scores can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mono3d_kd_core.evaluation.box_table import BoxTable
from mono3d_kd_core.evaluation.calibration import DepthCalibration, ScoreCalibration
from mono3d_kd_core.evaluation.correspondence import Correspondence
from mono3d_kd_core.evaluation.errors import Band, by_band
from mono3d_kd_core.evaluation.kitti_rules import CLASSES
from mono3d_kd_core.evaluation.tables import markdown_table, number
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_table import LabelTable


@dataclass(frozen=True)
class ClassDetails:
    """What holds for one class; calibrations are None where there is nothing to calibrate."""

    bands: list[Band]
    depth: DepthCalibration | None
    score: ScoreCalibration | None

    @classmethod
    def of(cls, pairs: Correspondence) -> ClassDetails:
        """Summarise matched objects and detections."""
        seen = pairs.seen[pairs.asked[pairs.seen[:, 0]]]
        truth, found = pairs.truth.boxes[seen[:, 0]], pairs.found.boxes[seen[:, 1]]
        range_error = np.linalg.norm(found.centre, axis=1) - np.linalg.norm(truth.centre, axis=1)
        score = pairs.found.boxes.score[pairs.charged]
        return cls(
            by_band(pairs), DepthCalibration.of(range_error, found.depth_std),
            ScoreCalibration.of(score, pairs.hits()[pairs.charged]),
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "bands": [band.as_json() for band in self.bands],
            "depth_uncertainty": None if self.depth is None else self.depth.as_json(),
            "score": None if self.score is None else self.score.as_json(),
        }


def detail_kitti(
    labels: LabelTable, detections: LabelTable, depth_std: Matrix | None = None, min_score: float = -np.inf,
    classes: Sequence[str] = CLASSES,
) -> dict[str, ClassDetails]:  # fmt: skip
    """Detail detections against KITTI labels; depth_std (D,) as `io.depth_std` reads it."""
    if depth_std is None:
        depth_std = np.full(len(detections.rows), np.nan)
    return {
        name: ClassDetails.of(Correspondence.of_labels(labels, detections, name, depth_std, min_score)) for name in classes
    }


def detail_boxes(
    truth: Sequence[Boxes3D], found: Sequence[Boxes3D], classes: Sequence[str] = CLASSES
) -> dict[str, ClassDetails]:
    """Detail boxes of F frames against boxes that are taken for true; x of their frame points forward."""
    tables = BoxTable.join(truth), BoxTable.join(found)
    return {
        name: ClassDetails.of(Correspondence.of_boxes(*(table.select(table.boxes.label == name) for table in tables)))
        for name in classes
    }


def details_report(details: Mapping[str, ClassDetails]) -> str:
    """Return the errors by distance and the calibrations as Markdown."""
    parts = []
    for name, each in details.items():
        if each.bands[-1].objects + each.bands[-1].detections == 0:
            continue
        parts += [f"{name} by distance", "", bands_table(each.bands), "", *_calibration_lines(each)]
    return "\n".join(parts)


def bands_table(
    bands: Sequence[Band], *, objects: str = "objects", seen: str = "seen", placed: str = "placed"
) -> str:
    """Return a table of recall, precision and mean absolute errors, one row for each band."""
    header = [
        "metres", objects, f"{seen} %", f"{placed} %", "right %", "along m", "bias m", "across m", "up m", "centre m",
        "size %", "turn °", "flips %",
    ]  # fmt: skip
    return markdown_table(header, [_band_row(band) for band in bands])


def _band_row(band: Band) -> list[str]:
    name = f"{band.near:g}-{band.far:g}" if np.isfinite(band.far) else f"{band.near:g}+" if band.near else "all"
    errors = band.errors
    return [
        name, str(band.objects), number(100 * band.seen, 1), number(100 * band.recall, 1), number(100 * band.precision, 1),
        number(errors["longitudinal"].mean_abs), number(errors["longitudinal"].bias), number(errors["lateral"].mean_abs),
        number(errors["vertical"].mean_abs), number(errors["distance"].mean_abs), number(100 * errors["scale"].mean_abs, 1),
        number(np.degrees(errors["heading"].mean_abs), 1), number(100 * band.flips, 1),
    ]  # fmt: skip


def _calibration_lines(each: ClassDetails) -> list[str]:
    lines = []
    if each.depth is not None:
        for law, coverage in each.depth.coverage.items():
            shares = ", ".join(f"{100 * share:.1f} % in the {100 * p:g} % interval" for p, share in coverage.items())
            lines.append(f"- Depth uncertainty, {law} law: {shares}; NLL {each.depth.nll[law]:.3f}.")
        lines.append(f"- Depth errors are {each.depth.spread:.2f} times the predicted std (rms of {each.depth.count}).")
    if each.score is not None:
        lines.append(f"- Score: expected calibration error {each.score.ece:.3f} over {each.score.count.sum()} detections.")
    elif each.bands[-1].detections:
        lines.append("- Score: outside 0..1, so it is no probability and cannot be calibrated.")
    return [*lines, ""] if lines else []


LEGEND = (
    "seen: overlapped on the image (IoU > 0.5); placed: within 2 m over ground; right: of the detections, those placed. "
    "Errors are means of absolute values over what is seen: along and across the line of sight, up, of the centre over "
    "ground, of the size (1 - IoU), of the heading without flips."
)
