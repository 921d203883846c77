from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.doctor import Report, examine
from mono3d_kd_core.doctor.alignment import turned
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.io.bag_writer import BagWriter
from mono3d_kd_core.io.messages import image_message, points_message
from tests.doctor.boards import CAMERA, RIG, drive


def bag(path: Path, frames: Sequence[SensorFrame]) -> Path:
    with BagWriter(path) as writer:
        for frame in frames:
            writer.write_frame(frame)
    return path


def texts(report: Report, severity: str) -> str:
    return " | ".join(f.text for f in report.findings if f.severity == severity)


def test_a_sound_bag_is_fine(tmp_path: Path) -> None:
    report = examine(bag(tmp_path / "bag", drive(7)))
    assert report.severity == "fine"
    assert [stream.rate for stream in report.streams] == pytest.approx([10, 10])
    assert {finding.about for finding in report.findings} == {"sync", "extrinsics", "alignment", "time"}
    assert {topic.name: topic.count for topic in report.topics}["/camera/image_rect"] == 7
    assert report.picture is not None
    assert report.picture.shape[1] > 1800
    json.dumps(report.as_json())


def test_a_turned_calibration_is_a_warning(tmp_path: Path) -> None:
    wrong = dataclasses.replace(RIG, T_camera_lidar=turned(RIG.T_camera_lidar, (2, 0, 0)))
    report = examine(bag(tmp_path / "bag", drive(7, rig=wrong)))
    assert report.severity == "warning"
    assert "turned by yaw -" in texts(report, "warning")


def test_late_stamps_are_a_warning(tmp_path: Path) -> None:
    report = examine(bag(tmp_path / "bag", drive(7, shift=1)))
    assert "clouds of the preceding frames fit the images better" in texts(report, "warning")


def test_a_camera_info_of_another_resolution_cannot_work(tmp_path: Path) -> None:
    half = dataclasses.replace(RIG, camera=CAMERA.resized(320, 120))
    report = examine(bag(tmp_path / "bag", drive(3, rig=half)))
    assert report.severity == "error"
    assert "describes 320x120, but the images of /camera/image_rect are 640x240" in texts(report, "error")
    assert len(report.topics) == 4  # what can be told all the same is told


def test_a_bag_without_calibration_cannot_work(tmp_path: Path) -> None:
    with BagWriter(tmp_path / "bag") as writer:
        for frame in drive(2):
            writer.write("/camera/image_rect", image_message(frame.image, frame.stamp, "camera"), frame.stamp)
    report = examine(tmp_path / "bag")
    assert report.severity == "error"
    assert [topic.name for topic in report.topics] == ["/camera/image_rect"]


def test_clouds_of_another_time_cannot_work(tmp_path: Path) -> None:
    frames = drive(4)
    path = tmp_path / "bag"
    with BagWriter(path) as writer:
        for frame in frames:
            writer.write_frame(frame.without_points())
        for frame in frames:
            assert frame.points is not None
            stamp = frame.stamp + 60_000_000_000
            writer.write("/lidar/points", points_message(frame.points, stamp, RIG.lidar_frame), stamp)
    report = examine(path)
    assert report.severity == "error"
    assert "none of the 4 images" in texts(report, "error")


def test_a_camera_alone_is_examined(tmp_path: Path) -> None:
    report = examine(bag(tmp_path / "bag", [frame.without_points() for frame in drive(3)]))
    assert report.severity == "note"
    assert "no LiDAR points" in texts(report, "note")
    assert report.picture is not None


def test_what_is_no_drive_is_said(tmp_path: Path) -> None:
    assert "no drive in it" in texts(examine(tmp_path), "error")
    assert "no such file" in texts(examine(tmp_path / "absent"), "error")


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    examine(bag(tmp_path / "bag", drive(4)), progress=lambda *step: told.append(step))
    assert {what for what, _, _ in told} == {"reading frames", "comparing edges"}
    assert all(done <= total for _, done, total in told)


@pytest.mark.parametrize("count", [1, 2])
def test_very_short_drives_are_examined(tmp_path: Path, count: int) -> None:
    report = examine(bag(tmp_path / "bag", drive(count)))
    assert report.alignment is not None
    assert report.alignment.samples == count
    assert np.isfinite(report.alignment.agreement)
