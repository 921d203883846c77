"""Recordings: the same bytes with any number of workers and after any interruption; failures in words."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rosbags.highlevel import AnyReader

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.files import read_depth
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.simulation.datasets import DATA_SETS
from mono3d_kd_core.simulation.output.record import Recording
from mono3d_kd_core.simulation.output.sheet import write_sheet
from mono3d_kd_core.simulation.output.write_bag import TRUTH_TOPIC, write_bag
from mono3d_kd_core.simulation.output.write_kitti import write_kitti
from mono3d_kd_core.simulation.rig import KITTI, LidarSection
from tests.conftest import REPOSITORY

SMALL = KITTI.resized(160, 48)


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes, written by one process."""
    root = tmp_path_factory.mktemp("scenes")
    write_kitti(Recording(4, 8, SMALL, dense=True), root)
    return root


def test_two_workers_write_the_same_bytes_as_one(scenes: Path, tmp_path: Path) -> None:
    write_kitti(Recording(4, 8, SMALL, dense=True), tmp_path, workers=2)
    assert digests(tmp_path) == digests(scenes)


def test_a_killed_run_goes_on_to_the_same_bytes(scenes: Path, tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    seen = 0

    def die_at_the_third(count: int) -> None:
        nonlocal seen
        seen += count
        if seen == 2:
            raise Killed

    recording = Recording(4, 8, SMALL, dense=True)
    with pytest.raises(Killed):
        write_kitti(recording, tmp_path, done=die_at_the_third)
    assert len(list((tmp_path / "calib").iterdir())) == 2
    # The frame that was being written: its picture is there, its calibration is not.
    (tmp_path / "image_2" / "000002.png").write_bytes(b"half a picture")
    write_kitti(recording, tmp_path)
    assert digests(tmp_path) == digests(scenes)


def test_more_frames_of_the_same_settings_leave_the_first_ones_alone(scenes: Path, tmp_path: Path) -> None:
    write_kitti(Recording(2, 8, SMALL, dense=True), tmp_path)
    write_kitti(Recording(4, 8, SMALL, dense=True), tmp_path)
    assert digests(tmp_path) == digests(scenes)


def test_a_folder_of_other_settings_is_not_mixed_up(scenes: Path) -> None:
    with pytest.raises(DataError, match=r"other settings \(seed differ\)"):
        write_kitti(Recording(4, 9, SMALL, dense=True), scenes)


def test_a_disk_that_fills_up_is_said_in_words_and_the_run_goes_on_later(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes, room = Path.write_bytes, 20  # files: the settings, two frames of eight, a half of the third

    def write_while_there_is_room(path: Path, data: bytes) -> int:
        nonlocal room
        room -= 1
        if room >= 0:
            return write_bytes(path, data)
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_while_there_is_room)
        with pytest.raises(DataError, match=r"velodyne/000002\.bin: cannot be written: No space left on device"):
            write_kitti(Recording(4, 8, SMALL, dense=True), tmp_path)
    write_kitti(Recording(4, 8, SMALL, dense=True), tmp_path)
    assert digests(tmp_path) == digests(scenes)


@pytest.mark.slow
def test_a_run_killed_with_its_workers_at_it_leaves_nobody_behind_and_goes_on(scenes: Path, tmp_path: Path) -> None:
    options = [
        "--scenes",
        "300",
        "--seed",
        "8",
        "--size",
        "160x48",
        "--dense",
        "--workers",
        "2",
        "--out",
        str(tmp_path),
    ]
    command = [sys.executable, "-m", "mono3d_kd_core.cli", "simulate", *options]
    run = subprocess.Popen(command, cwd=REPOSITORY, start_new_session=True, stdout=subprocess.DEVNULL)
    _wait_until(lambda: (tmp_path / "calib" / "000000.txt").exists())
    run.kill()
    run.wait()
    _wait_until(lambda: not _group_lives(run.pid))
    assert len(list((tmp_path / "calib").iterdir())) < 300

    (tmp_path / "image_2" / ".000003.png.1.tmp").write_bytes(b"half a picture")
    write_kitti(Recording(4, 8, SMALL, dense=True), tmp_path)
    first_four = {name: digest for name, digest in digests(tmp_path).items() if Path(name).stem <= "000003"}
    assert first_four == {name: digest for name, digest in digests(scenes).items() if Path(name).stem <= "000003"}
    assert not list(tmp_path.rglob(".*"))


def _wait_until(condition: Callable[[], bool], seconds: float = 100.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_the_folder_is_read_like_kittis(scenes: Path) -> None:
    source = KittiObjectSource(scenes)
    assert list(source.ids) == ["000000", "000001", "000002", "000003"]
    for index in range(4):
        frame, labels = source[index], source.labels(index)
        truth = json.loads((scenes / "truth" / f"{frame.id}.json").read_text())
        assert sum(t["labelled"] for t in truth) == labels.is_object.sum()
        assert [t["type"] for t in truth if t["labelled"]] == labels.type[labels.is_object].tolist()
        assert frame.points is not None
        assert len(frame.points) > 50_000
        depth = read_depth(scenes / "depth_2" / f"{frame.id}.png")
        assert depth.shape == frame.image.shape[:2]
        assert 0.2 < (depth > 0).mean() < 1


def test_the_contact_sheet_is_a_picture(scenes: Path) -> None:
    assert write_sheet(scenes).stat().st_size > 10_000


def test_a_drive_becomes_a_bag_that_others_read(tmp_path: Path) -> None:
    late = LidarSection(frame="velodyne", stamp_offset_seconds=0.004)
    recording = Recording(3, 2, SMALL.model_copy(update={"lidar": late}), drive=True)
    write_bag(recording, tmp_path / "bag")

    frames = list(open_source(tmp_path / "bag"))
    assert len(frames) == 3
    expected = recording.source()
    for index, frame in enumerate(frames):
        shot = expected.shot(index)
        np.testing.assert_array_equal(frame.image, shot.frame.image)
        np.testing.assert_array_equal(frame.points, shot.frame.points)
        np.testing.assert_allclose(frame.rig.T_camera_lidar, shot.frame.rig.T_camera_lidar, atol=1e-9)
        assert frame.stamp == shot.frame.stamp

    with AnyReader([tmp_path / "bag"]) as reader:
        times = {c.topic: [t for k, t, _ in reader.messages() if k.topic == c.topic] for c in reader.connections}
        assert {"/tf", "/tf_static", "/lidar/points", TRUTH_TOPIC} <= set(times)
        assert times["/lidar/points"][0] - times["/camera/image_rect"][0] == 4_000_000
        for connection, _, data in reader.messages():
            if connection.topic == TRUTH_TOPIC:
                objects = reader.deserialize(data, connection.msgtype)
                truth = expected.shot(0).truth
                assert [d.id for d in objects.detections] == [str(i) for i in truth.identity[truth.cared_for]]
                break


def test_named_sets_are_as_large_as_they_say() -> None:
    sizes = {name: tuple(r.frames for r in s.recordings().values()) for name, s in DATA_SETS.items()}
    assert sizes == {"sim-mini": (200, 50), "sim-small": (2000, 500), "sim-full": (20000, 2000)}
    for data_set in DATA_SETS.values():
        train, val = data_set.recordings().values()
        assert train.seed != val.seed
        assert (train.split, val.split) == ("train", "val")
