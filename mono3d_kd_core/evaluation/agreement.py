"""How far a student agrees with its teacher, without labels.

The teacher's boxes are taken for true: recall is the share of them that the student places within 2 m, precision the share
of the student's boxes that lie within 2 m of one of the teacher's. Errors are taken from pairs within 4 m.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mono3d_kd_core.evaluation.box_table import BoxTable
from mono3d_kd_core.evaluation.correspondence import Correspondence
from mono3d_kd_core.evaluation.details import bands_table
from mono3d_kd_core.evaluation.errors import Band, by_band
from mono3d_kd_core.geometry.boxes import Boxes3D


@dataclass(frozen=True)
class Agreement:
    """By class, the bands of distance; the last band is everything. `objects` of a band are the teacher's boxes."""

    classes: Mapping[str, list[Band]]
    frames: int

    def as_json(self) -> dict[str, Any]:
        """Return {"frames", "classes": {class: [band]}}."""
        return {"frames": self.frames, "classes": {name: [b.as_json() for b in each] for name, each in self.classes.items()}}


def agreement(
    student: Sequence[Boxes3D] | BoxTable, teacher: Sequence[Boxes3D] | BoxTable, *, student_min_score: float = -np.inf,
    teacher_min_score: float = -np.inf, classes: Sequence[str] | None = None,
) -> Agreement:  # fmt: skip
    """Compare the boxes of two detectors in the same F frames and the same coordinate frame, x forward.

    Boxes of lower scores are left out. Without `classes`, all that either names are compared. Raises ValueError where the
    numbers of frames or the coordinate frames differ.
    """
    mine, other = (table if isinstance(table, BoxTable) else BoxTable.join(table) for table in (student, teacher))
    if len(mine) != len(other):
        raise ValueError(f"{len(mine)} frames of the student against {len(other)} of the teacher")
    if len(mine.boxes) and len(other.boxes) and mine.boxes.frame != other.boxes.frame:
        raise ValueError(f'boxes in "{mine.boxes.frame}" cannot be compared with boxes in "{other.boxes.frame}"')
    mine = mine.select(mine.boxes.score >= student_min_score).on_ground()
    other = other.select(other.boxes.score >= teacher_min_score).on_ground()
    names = sorted({*mine.boxes.label.tolist(), *other.boxes.label.tolist()}) if classes is None else classes
    return Agreement(
        {
            name: by_band(
                Correspondence.of_boxes(other.select(other.boxes.label == name), mine.select(mine.boxes.label == name))
            )
            for name in names
        },
        len(mine),
    )


class AgreementMeter:
    """The agreement over the latest frames, for a stream."""

    def __init__(self, window: int, *, student_min_score: float = -np.inf, teacher_min_score: float = -np.inf) -> None:
        self._frames: deque[tuple[Boxes3D, Boxes3D]] = deque(maxlen=window)
        self._student_min_score, self._teacher_min_score = student_min_score, teacher_min_score

    def add(self, student: Boxes3D, teacher: Boxes3D) -> None:
        """Take in a frame; beyond the window the oldest one is forgotten."""
        self._frames.append((student, teacher))

    def reset(self) -> None:
        """Forget everything, as after a jump in time."""
        self._frames.clear()

    def agreement(self) -> Agreement:
        """Return the agreement over the frames held."""
        student, teacher = zip(*self._frames) if self._frames else ((), ())
        return agreement(
            student, teacher, student_min_score=self._student_min_score, teacher_min_score=self._teacher_min_score
        )


def agreement_report(result: Agreement) -> str:
    """Return a table for each class, in Markdown."""
    parts = [f"Agreement of the student with the teacher on {result.frames} frames", ""]
    for name, bands in result.classes.items():
        parts += [f"{name} by distance", "", bands_table(bands, objects="teacher", seen="in 4 m", placed="in 2 m"), ""]
    parts.append(
        "in 2 m: share of the teacher's boxes that the student places so near (recall); right: share of the student's boxes "
        "that have one of the teacher's so near (precision). Errors are of pairs within 4 m."
    )
    return "\n".join(parts)
