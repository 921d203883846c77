"""Whatever holds a drive is opened, and what is none is described."""

from __future__ import annotations

from pathlib import Path

import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.io.kitti_raw import KittiRawSource, KittiRawWriter
from mono3d_kd_core.io.open import describe, open_source
from tests.io.bags import drive, write_ros1, write_ros2
from tests.io.drives import same_frame, small_frame


def raw(path: Path) -> Path:
    with KittiRawWriter(path) as writer:
        writer.write(small_frame(0))
    return path


def test_each_kind_is_recognised(tmp_path: Path) -> None:
    KittiWriter(tmp_path / "kitti" / "training").write(small_frame(0))
    bag = write_ros2(tmp_path / "bag", drive())
    expected = {
        tmp_path / "kitti": KittiObjectSource, tmp_path / "kitti" / "training": KittiObjectSource,
        raw(tmp_path / "day" / "one_sync"): KittiRawSource, tmp_path / "day": KittiRawSource,
        bag: BagSource, bag / "bag.mcap": BagSource, write_ros1(tmp_path / "one.bag", drive()): BagSource,
    }  # fmt: skip
    assert {path: type(open_source(path)) for path in expected} == expected
    assert describe(open_source(bag)) == "bag of 4 frames"


def test_a_picture_is_the_frame_without_its_points(tmp_path: Path) -> None:
    KittiWriter(tmp_path / "kitti").write(small_frame(0))
    for path in (tmp_path / "kitti", raw(tmp_path / "day_sync"), write_ros2(tmp_path / "bag", drive())):
        source = open_source(path)
        assert source[0].points is not None
        same_frame(source.picture(0), source[0].without_points())


def test_whoever_looks_at_pictures_alone_reads_no_points(tmp_path: Path) -> None:
    KittiWriter(tmp_path / "kitti").write(small_frame(0))
    drive = raw(tmp_path / "day_sync")
    for path in (tmp_path / "kitti", drive):
        (cloud,) = path.rglob("*.bin")
        cloud.write_bytes(b"torn")
        with pytest.raises(DataError, match="truncated"):
            open_source(path)[0]
        assert open_source(path).picture(0).points is None


def test_what_is_no_drive_is_described(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    for path, message in {
        "nowhere": "nowhere: there is no such file",
        "photos": r"photos: there is no drive in it, but cat.jpg; known are\n  a bag: .*\n  a KITTI raw drive",
        "photos/cat.jpg": r"cat.jpg: this file is no drive; known are",
    }.items():
        with pytest.raises(DataError, match=message):
            open_source(tmp_path / path)


def test_of_several_drives_one_must_be_chosen(tmp_path: Path) -> None:
    raw(tmp_path / "day" / "drive_0001_sync")
    raw(tmp_path / "day" / "drive_0002_sync")
    with pytest.raises(DataError, match=r"day holds several drives; choose one: .*drive_0001_sync, .*drive_0002_sync"):
        open_source(tmp_path / "day")


def test_a_rig_file_is_for_bags(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a rig file describes the topics of a bag, and this is none"):
        open_source(raw(tmp_path / "day" / "one_sync"), tmp_path / "rig.yaml")
