"""`mono3d-kd convert` on the command line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mono3d_kd_core.io.kitti import KittiWriter
from mono3d_kd_core.io.rig import RigFile
from tests.conftest import REPOSITORY
from tests.io.bags import IMAGE, drive, only, write_ros2
from tests.io.drives import SmallDrive, small_frame


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mono3d_kd_core.cli", "convert", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)


def test_there_and_back_with_a_report_and_a_rig_file(tmp_path: Path) -> None:
    for frame in SmallDrive():
        KittiWriter(tmp_path / "kitti").write(frame)
    there = run(tmp_path / "kitti", tmp_path / "bag")
    assert there.returncode == 0, there.stderr
    assert "KITTI object folder of 5 frames -> " in there.stdout
    back = run(tmp_path / "bag", tmp_path / "again", "--write-rig", tmp_path / "rig.yaml")
    assert back.returncode == 0, back.stderr
    assert "5 images, 5 clouds: 5 frames; images dropped: none" in back.stdout
    assert RigFile.load(tmp_path / "rig.yaml").topics.image == IMAGE
    for frame in SmallDrive():
        for kind, suffix in (("image_2", "png"), ("velodyne", "bin"), ("stamp", "txt")):
            name = f"{kind}/{frame.id}.{suffix}"
            assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "kitti" / name).read_bytes()


def test_the_user_s_mistake_is_told_without_a_traceback(tmp_path: Path) -> None:
    failed = run(tmp_path / "nowhere", tmp_path / "bag")
    assert failed.returncode == 2
    assert failed.stderr == f"mono3d-kd: {tmp_path / 'nowhere'}: there is no such file or folder\n"


def test_dropped_images_are_reported(tmp_path: Path) -> None:
    messages = drive(4)
    only(messages, IMAGE)[1].message.header.stamp.sec = 0
    only(messages, IMAGE)[1].message.header.stamp.nanosec = 0
    done = run(write_ros2(tmp_path / "bag", messages), tmp_path / "kitti")
    assert "4 images, 4 clouds: 3 frames; images dropped: 1 zero_stamp" in done.stdout


def test_help_shows_an_example() -> None:
    assert "Example: mono3d-kd convert" in run("--help").stdout


def test_a_rig_is_only_guessed_from_a_bag(tmp_path: Path) -> None:
    KittiWriter(tmp_path / "kitti").write(small_frame(0))
    failed = run(tmp_path / "kitti", tmp_path / "bag", "--write-rig", tmp_path / "rig.yaml")
    assert failed.returncode == 2
    assert "is no bag, so no rig was guessed" in failed.stderr
