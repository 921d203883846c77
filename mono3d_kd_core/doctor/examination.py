"""The whole examination of a drive, from its topics to a verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.doctor.alignment import STEPS, Alignment, Sample, align
from mono3d_kd_core.doctor.calibration import (
    camera_findings,
    describe_camera,
    describe_extrinsics,
    extrinsics_findings,
)
from mono3d_kd_core.doctor.findings import SEVERITIES, Finding, Severity
from mono3d_kd_core.doctor.picture import diagnosis
from mono3d_kd_core.doctor.streams import StreamTiming, Sync
from mono3d_kd_core.doctor.verdict import alignment_findings
from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_file import BagFile, Topic, is_bag
from mono3d_kd_core.io.open import describe, open_source

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and how much there is."""


@dataclass
class Report:
    """What an examination found. picture (H,W,3) is None when no frame could be read."""

    name: str
    kind: str = ""
    topics: list[Topic] = field(default_factory=list)
    streams: list[StreamTiming] = field(default_factory=list)
    sync: Sync | None = None
    camera: list[str] = field(default_factory=list)
    extrinsics: list[str] = field(default_factory=list)
    alignment: Alignment | None = None
    findings: list[Finding] = field(default_factory=list)
    picture: NDArray[np.uint8] | None = None

    @property
    def severity(self) -> Severity:
        """The worst of the findings."""
        return max((finding.severity for finding in self.findings), key=SEVERITIES.index, default="fine")

    def as_json(self) -> dict[str, Any]:
        """Return all but the picture as plain values."""
        sync = self.sync and {**asdict(self.sync), "errors": self.sync.errors.tolist(), "drops": dict(self.sync.drops)}
        plain = {"name": self.name, "kind": self.kind, "severity": self.severity, "camera": self.camera}
        lists = {key: [asdict(item) for item in getattr(self, key)] for key in ("topics", "streams", "findings")}
        alignment = self.alignment and asdict(self.alignment)
        return {**plain, "extrinsics": self.extrinsics, **lists, "sync": sync, "alignment": alignment}


def examine(path: Path, rig: Path | None = None, samples: int = 10, progress: Progress = lambda *_: None) -> Report:
    """Examine a drive of any kind; `rig` is the rig file of a bag, `samples` how many moments are looked at closely.

    Nothing that is wrong with the drive raises: it is a finding of the severity "error" with which the report ends.
    """
    report = Report(str(path))
    try:
        if path.exists() and is_bag(path):
            with BagFile(path) as bag:
                report.topics = list(bag.topics.values())
        source = open_source(path, rig)
        report.kind = describe(source)
        if isinstance(source, BagSource):
            _examine_streams(report, source)
        _examine_frames(report, source, samples, progress)
    except Mono3DError as error:
        report.findings.append(Finding("error", "drive", str(error)))
    return report


def _examine_streams(report: Report, source: BagSource) -> None:
    topics, index, settings = source.rig_file.topics, source.index, source.rig_file.sync
    report.streams.append(StreamTiming.of(topics.image, index.image_stamps))
    if topics.points is not None:
        report.streams.append(StreamTiming.of(topics.points, index.points_stamps))
        counts = source.report
        report.sync = Sync(
            counts.images,
            counts.frames,
            counts.image_drops,
            source.sync_errors / 1e9,
            settings.tolerance,
            settings.offset,
        )
    report.camera = describe_camera(source.camera(0))
    report.findings += [Finding("note", "drive", note) for note in index.notes]
    for examined in (*report.streams, report.sync):
        report.findings += examined.findings() if examined is not None else []


def _examine_frames(report: Report, source: FrameSource, count: int, progress: Progress) -> None:
    inner = range(1, len(source) - 1) if len(source) > 2 else range(len(source))
    chosen = [inner[i] for i in np.unique(np.linspace(0, len(inner) - 1, min(count, len(inner))).astype(int))]
    seen: list[Sample] = []
    shown: list[SensorFrame] = []
    in_view, intervals = [], []
    for done, index in enumerate(chosen):
        progress("reading frames", done, len(chosen))
        frame = source[index]
        if index in (chosen[0], chosen[len(chosen) // 2], chosen[-1]):
            shown.append(frame)
        if index == chosen[0]:
            report.camera = describe_camera(frame.rig.camera)
            report.findings += camera_findings(frame.rig.camera)
        if frame.points is None:
            continue
        rig = frame.rig
        neighbours = {shift: source[index + shift] for shift in (-1, 1) if 0 <= index + shift < len(source)}
        sweeps = {shift: other.points for shift, other in neighbours.items() if other.points is not None}
        seen.append(Sample.of(frame.image, rig.camera, rig.T_camera_lidar, {0: frame.points, **sweeps}))
        in_view.append(float(points_in_view(frame.points, rig.camera, rig.T_camera_lidar).mean()))
        intervals += [abs(other.stamp - frame.stamp) / 1e9 for other in neighbours.values()]
    report.picture = diagnosis(shown)
    with_points = next((frame for frame in shown if frame.points is not None), None)
    if not seen or with_points is None:
        report.findings.append(
            Finding("note", "extrinsics", "no LiDAR points: there is nothing to compare the camera with")
        )
        return
    rig = with_points.rig
    report.extrinsics = describe_extrinsics(rig.T_camera_lidar)
    report.findings += extrinsics_findings(rig.T_camera_lidar, float(np.mean(in_view)), rig.camera)
    report.alignment = _aligned(seen, progress)
    offset = report.sync.offset if report.sync else 0.0
    interval = float(np.median(intervals)) if intervals else 0.0
    report.findings += alignment_findings(report.alignment, interval, offset)


def _aligned(seen: list[Sample], progress: Progress) -> Alignment | None:
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        progress("comparing edges", done, STEPS)

    return align(seen, step)
