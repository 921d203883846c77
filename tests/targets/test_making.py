"""Every frame of a source is stored or counted with its reason."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from mono3d_kd_core.cli import app
from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.io.bag_writer import BagWriter
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore, make_targets
from mono3d_kd_core.teachers.base import TeacherOutput, Want
from mono3d_kd_core.teachers.point_gnn import PointGNN, PointGNNConfig
from tests.io.drives import SmallDrive, small_frame
from tests.targets.teachers import QuickTeacher
from tests.targets.test_store import content
from tests.teachers.point_gnn.reference import pretrained


def store_at(root: Path, teacher: QuickTeacher | None = None) -> TargetStore:
    return TargetStore(root, Provenance.of(teacher or QuickTeacher(), TargetSettings()))


@dataclass(frozen=True)
class FaultyDrive(SmallDrive):
    """A drive some of whose frames cannot be read."""

    faults: dict[int, Exception] = field(default_factory=dict)

    def __getitem__(self, index: int) -> SensorFrame:
        if index in self.faults:
            raise self.faults[index]
        return super().__getitem__(index)


class Choosy(QuickTeacher):
    """Refuses frame 3, and is stopped by the user at frame `stop`."""

    def __init__(self, stop: int | None = None) -> None:
        super().__init__()
        self.stop = stop
        self.seen: list[str] = []

    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        if int(frame.id) == self.stop:
            raise KeyboardInterrupt
        if frame.id == "000003":
            raise DataError("frame 000003: too bright")
        self.seen.append(frame.id)
        return super().observe(frame, want)


def faulty() -> FaultyDrive:
    frames = [small_frame(i) for i in range(8)]
    frames[5] = frames[5].without_points()
    return FaultyDrive(frames, faults={1: DataError("000001.png: torn"), 6: CalibrationError("000006.txt: no P2")})


def test_every_frame_is_accounted_for(tmp_path: Path) -> None:
    with store_at(tmp_path / "s") as store:
        report = make_targets(faulty(), Choosy(), store)
        assert store.ids == ["000000", "000002", "000004", "000007"]
    assert dict(report.dropped) == {"undecodable": 1, "no_calibration": 1, "no_points": 1, "teacher_refused": 1}
    assert report.in_source == report.processed + report.dropped.total() == 8
    assert "000001.png: torn" in report.notes
    assert str(report).startswith("8 frames in the source: 4 processed; dropped: 1 no_calibration, 1 no_points,")
    assert "objects a frame: 4.0 on average" in str(report)


def test_a_stopped_run_goes_on_and_asks_the_teacher_only_for_the_rest(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), store_at(tmp_path / "s") as store:
        make_targets(SmallDrive([small_frame(i) for i in range(8)]), Choosy(stop=4), store)
    assert [frame["id"] for frame in json.loads((tmp_path / "s/index.json").read_text())["frames"]] == [
        "000000",
        "000001",
        "000002",
    ]
    teacher, heard = Choosy(), []
    with store_at(tmp_path / "s") as store:
        report = make_targets(
            SmallDrive([small_frame(i) for i in range(8)]), teacher, store, lambda *n: heard.append(n)
        )
    assert teacher.seen == ["000004", "000005", "000006", "000007"]
    assert (report.already_stored, report.processed, report.dropped["teacher_refused"]) == (3, 4, 1)
    assert heard[0] == (3, 8)
    with store_at(tmp_path / "whole") as store:
        make_targets(SmallDrive([small_frame(i) for i in range(8)]), Choosy(), store)
    assert content(tmp_path / "s") == content(tmp_path / "whole")


def test_going_on_with_another_recording_is_refused(tmp_path: Path) -> None:
    frames = [small_frame(i) for i in range(8)]
    with store_at(tmp_path / "s") as store:
        make_targets(SmallDrive(frames[:3]), QuickTeacher(), store)
    others = [replace(frame, image=frame.image[::-1].copy()) for frame in frames]
    with (
        pytest.raises(DataError, match="is stored already, but it was made with another picture"),
        store_at(tmp_path / "s") as store,
    ):
        make_targets(SmallDrive(others), QuickTeacher(), store)


def test_when_no_frame_can_be_used_the_first_reason_is_told(tmp_path: Path) -> None:
    frames = [small_frame(i).without_points() for i in range(3)]
    with (
        pytest.raises(DataError, match=r"no frame could be used\. frame 000000: has no LiDAR points"),
        store_at(tmp_path / "s") as store,
    ):
        make_targets(SmallDrive(frames), QuickTeacher(), store)


def test_images_that_a_bag_does_not_pair_are_counted_too(tmp_path: Path) -> None:
    frames = [small_frame(i) for i in range(6)]
    with BagWriter(tmp_path / "bag") as bag:
        for frame in frames:
            bag.write_frame(frame if frame.id != "000002" else frame.without_points())
    source = open_source(tmp_path / "bag")
    with store_at(tmp_path / "s") as store:
        report = make_targets(source, QuickTeacher(), store)
        assert store.ids == ["000000", "000001", "000003", "000004", "000005"]
    assert report.in_source == report.processed + report.dropped.total() == 6
    assert dict(report.dropped) == {"no_partner": 1}
    with store_at(tmp_path / "s") as store:
        again = make_targets(open_source(tmp_path / "bag"), QuickTeacher(), store)
    assert (again.in_source, again.already_stored, again.processed, again.dropped.total()) == (6, 5, 0, 1)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    config = PointGNNConfig(num_steps=0)
    card = Card(kind="teacher", architecture="point_gnn", classes=["Car"], config=config.model_dump())
    save_bundle(tmp_path / "teacher", card, PointGNN(config).state_dict())
    return tmp_path / "teacher"


def test_the_command_makes_a_store_and_an_account(tmp_path: Path, bundle: Path) -> None:
    writer = KittiWriter(tmp_path / "drive")
    for i in range(3):
        frame = small_frame(i)
        assert frame.points is not None
        scaled = np.column_stack([frame.points[:, :3] * 10, np.abs(frame.points[:, 3]) % 1])
        writer.write(replace(frame, points=scaled.astype(np.float32)) if i != 1 else frame.without_points())
    out = tmp_path / "targets"
    arguments = ["targets", str(tmp_path / "drive"), "--teacher", str(bundle), "--out", str(out), "--depth"]
    run = CliRunner().invoke(app, [*arguments, "--summary", str(tmp_path / "summary.json")])
    assert run.exit_code == 0, run.output
    assert "3 frames in the source: 2 processed; dropped: 1 no_points" in run.output
    assert sorted(path.name for path in (out / "label_2").iterdir()) == ["000000.txt", "000002.txt"]
    assert (out / "depth_2/000002.png").exists()
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["in_source"] == summary["processed"] + sum(summary["dropped"].values()) == 3
    again = CliRunner().invoke(app, arguments)
    assert "0 processed, 2 stored before; dropped: 1 no_points" in again.output
    other = CliRunner().invoke(app, [*arguments, "--min-score", "3"])
    assert "min_score was None and is 3.0 now" in str(other.exception)


def test_the_published_detections_are_in_the_label_files(tmp_path: Path, shared_data: Path) -> None:
    teacher = pretrained(shared_data, "T1")
    teacher.fingerprint = "T1"
    source = KittiObjectSource(shared_data / "kitti/object/training", ids=["001966"])
    with TargetStore(tmp_path / "s", Provenance.of(teacher, TargetSettings()), many_rigs=True) as store:
        make_targets(source, teacher, store)
    ours, theirs = (
        np.array([[float(value) for value in line.split()[8:]] for line in path.read_text().splitlines()])
        for path in (tmp_path / "s/label_2/001966.txt", shared_data / "point_gnn/T1/detections/kitti_001966.txt")
    )
    assert ours.shape == theirs.shape
    assert np.abs(ours[:, :6] - theirs[:, :6]).max() < 1e-4
    assert np.abs(np.sin(ours[:, 6] - theirs[:, 6])).max() < 1e-4
    assert np.abs(ours[:, 7] / theirs[:, 7] - 1).max() < 1e-4
