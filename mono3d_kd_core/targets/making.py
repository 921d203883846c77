"""A drive in, a target store out: every frame is stored, or counted with the reason why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.targets.store import TargetStore
from mono3d_kd_core.teachers.base import Teacher

Progress = Callable[[int, int], None]
"""Hears how many frames of how many are done."""
CHECKS = 5
"""How many frames stored before are compared with the source when a run goes on."""


@dataclass
class Report:
    """What became of the frames of a source: in_source = processed + already_stored + the sum of dropped."""

    in_source: int
    already_stored: int
    processed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Frames without targets, by reason."""
    notes: list[str] = field(default_factory=list)
    """What the first frame dropped for each reason said."""
    objects: list[int] = field(default_factory=list)
    """Boxes in each frame processed."""

    def drop(self, reason: str, error: Exception) -> None:
        """Count a frame that gave no targets."""
        if reason not in self.dropped:
            self.notes.append(str(error))
        self.dropped[reason] += 1

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.dropped.items())) or "none"
        parts = [f"{self.in_source} frames in the source: {self.processed} processed"]
        parts += [f"{self.already_stored} stored before"] if self.already_stored else []
        text = f"{', '.join(parts)}; dropped: {lost}"
        if not self.objects:
            return text
        counts = np.array(self.objects)
        return (
            f"{text}\nobjects a frame: {counts.mean():.1f} on average, {counts.min()} to {counts.max()}; "
            f"{int((counts == 0).sum())} frames without any"
        )


def make_targets(
    source: FrameSource, teacher: Teacher, store: TargetStore, progress: Progress = lambda done, total: None,
    report: Report | None = None,
) -> Report:  # fmt: skip
    """Let the teacher look at every frame that is not stored yet, and store what it says.

    A frame that cannot be read, or that the teacher cannot look at, is counted and left out. `report` is filled as the
    work goes on, for who wants to know where it was stopped. Raises DataError when the store was made of another
    recording or cannot be written, and when not a single frame could be used.
    """
    stored = [index for index, id_ in enumerate(source.ids) if store.has(id_)]
    report = report if report is not None else Report(0, 0)
    report.in_source, report.already_stored = len(source), len(stored)
    if isinstance(source, BagSource):
        report.in_source = source.report.images
        report.dropped += Counter(source.report.image_drops)
    _check_stored(source, store, stored)
    missing = sorted(set(range(len(source))) - set(stored))
    progress(len(stored), len(source))
    for frame in _frames(source, missing, report):
        try:
            output = teacher.observe(frame, store.provenance.settings.want)
        except DataError as error:
            report.drop("no_points" if frame.points is None else "teacher_refused", error)
        else:
            report.objects.append(len(store.write(frame, output).boxes))
            report.processed += 1
        progress(len(stored) + report.processed, len(source))
    if report.processed + report.already_stored == 0:
        raise DataError(f"{source.name}: no frame could be used. {' '.join(report.notes[:1])}")
    return report


def _check_stored(source: FrameSource, store: TargetStore, stored: Sequence[int]) -> None:
    for place in sorted(set(np.linspace(0, len(stored) - 1, CHECKS).round().astype(int))) if stored else ():
        store.check_input(source[stored[place]])


def _frames(source: FrameSource, missing: Sequence[int], report: Report) -> Iterator[SensorFrame]:
    if isinstance(source, BagSource) and len(missing) == len(source):
        before = Counter(source.report.image_drops)
        yield from source  # in one pass over the bag
        report.dropped += Counter(source.report.image_drops) - before
        report.notes += source.report.notes
        return
    for index in missing:
        try:
            frame = source[index]
        except CalibrationError as error:
            report.drop("no_calibration", error)
        except DataError as error:
            report.drop("undecodable", error)
        else:
            yield frame
