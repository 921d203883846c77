"""Raw drives: the numbers of files say what belongs together, and the frames agree with the object benchmark's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.geometry.rigid import apply
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.kitti_raw import KittiRawSource, KittiRawWriter
from tests.io.drives import START, SmallDrive, same_frame, small_frame, small_rig

MIDNIGHT = 1_316_995_200_000_000_000
"""2011-09-26 00:00 UTC: `date -u -d 2011-09-26 +%s`."""


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    with KittiRawWriter(path) as writer:
        for frame in SmallDrive():
            writer.write(frame)
    return path


def test_a_written_drive_reads_the_same(drive: Path) -> None:
    for written, read in zip(SmallDrive(), KittiRawSource(drive), strict=True):
        same_frame(written, read)


def test_frames_are_matched_by_the_numbers_of_their_files(drive: Path) -> None:
    (drive / "image_02" / "data" / "0000000001.png").unlink()
    (drive / "velodyne_points" / "data" / "0000000003.bin").unlink()
    source = KittiRawSource(drive)
    assert source.ids == ["000000", "000002", "000003", "000004"]
    same_frame(small_frame(2), source[1])
    assert source[2].points is None
    assert source[2].stamp == START + 300_000_000


def test_time_is_kitti_s_text_to_the_nanosecond(drive: Path) -> None:
    lines = [f"2011-09-26 13:02:25.{i}64389445\n" for i in range(5)]
    (drive / "image_02" / "timestamps.txt").write_text("".join(lines))
    noon = MIDNIGHT + (13 * 3600 + 2 * 60 + 25) * 1_000_000_000
    assert [frame.stamp - noon for frame in KittiRawSource(drive)] == [i * 100_000_000 + 64_389_445 for i in range(5)]


def test_without_timestamps_the_day_of_the_drive_gives_10_hz(drive: Path) -> None:
    (drive / "image_02" / "timestamps.txt").unlink()
    (drive / "image_02" / "data" / "0000000001.png").unlink()
    stamps = [frame.stamp - MIDNIGHT for frame in KittiRawSource(drive)]
    assert stamps == [0, 200_000_000, 300_000_000, 400_000_000]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("2011-09-26 13:02:25.9\n" * 3, r"timestamps.txt: 3 lines, but there is a picture with the number 4"),
        ("noon\n" * 5, r"timestamps.txt:1: 'noon' is no time such as 2011-09-26 13:02:25"),
    ],
)
def test_broken_timestamps_are_named(drive: Path, content: str, message: str) -> None:
    (drive / "image_02" / "timestamps.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        KittiRawSource(drive)[0]


def test_the_day_s_calibration_may_lie_in_the_drive_but_not_be_missing(drive: Path) -> None:
    calibration = drive.parent / "calib_velo_to_cam.txt"
    calibration.rename(drive / calibration.name)
    same_frame(small_frame(0), KittiRawSource(drive)[0])
    (drive / calibration.name).unlink()
    with pytest.raises(CalibrationError, match=r"calib_velo_to_cam.txt is missing; it belongs into .*2011_09_26"):
        KittiRawSource(drive)[0]


def test_an_unrectified_drive_is_refused(drive: Path) -> None:
    text = (drive.parent / "calib_cam_to_cam.txt").read_text()
    size = f"{64:.16e} {24:.16e}"
    (drive.parent / "calib_cam_to_cam.txt").write_text(text.replace(size, "62 20"))
    with pytest.raises(CalibrationError, match=r"is 64x24, but the day's rectified pictures are 62x20: only sync"):
        KittiRawSource(drive)[0]


def test_a_drive_has_one_calibration(tmp_path: Path) -> None:
    moved = small_rig()
    moved = replace(moved, T_camera_lidar=moved.T_camera_lidar + np.eye(4, k=3) * 0.1)
    writer = KittiRawWriter(tmp_path / "day" / "drive")
    writer.write(small_frame(0))
    with pytest.raises(CalibrationError, match="frame 000001: its calibration is another"):
        writer.write(small_frame(1, moved))


def test_drive_0052_agrees_with_the_object_frames_taken_from_it(shared_data: Path) -> None:
    source = KittiRawSource(shared_data / "kitti/raw/2011_09_26/2011_09_26_drive_0052_sync")
    objects = KittiObjectSource(shared_data / "kitti/object")
    assert len(source) == 36
    for number, id_ in {7: "001497", 14: "004587", 21: "001206", 31: "001966"}.items():
        raw, labelled = source[number], objects[objects.ids.index(id_)]
        assert raw.points is not None
        np.testing.assert_array_equal(raw.image, labelled.image)
        np.testing.assert_array_equal(raw.points, labelled.points)
        pixels = [
            frame.rig.camera.project(apply(frame.rig.T_camera_lidar, raw.points[:, :3])) for frame in (raw, labelled)
        ]
        assert np.abs(pixels[0][0] - pixels[1][0])[pixels[0][1]].max() < 1e-6
