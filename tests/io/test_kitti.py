"""KITTI folders: what is written, a few lines of numpy read; what is read, is complete or named as missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.files import read_depth
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource, KittiWriter
from tests.io.drives import SmallDrive, same_frame, small_frame


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    writer = KittiWriter(tmp_path / "kitti")
    for frame in SmallDrive():
        writer.write(frame)
    return tmp_path / "kitti"


def test_a_written_folder_reads_the_same(folder: Path) -> None:
    source = KittiObjectSource(folder)
    assert source.ids == [f"{i:06d}" for i in range(5)]
    for written, read in zip(SmallDrive(), source, strict=True):
        same_frame(written, read)


def test_an_independent_parser_reads_a_written_frame(tmp_path: Path) -> None:
    frame = small_frame(3)
    depth = np.zeros((24, 64))
    depth[5, 7], depth[6, 8] = 12.34, 300.0
    car = Boxes3D([[12.0, 1, -1]], [[4, 1.7, 1.5]], [0.2], ["Car"], [0.75])
    labels = KittiLabels.from_boxes(frame.rig.boxes_in_camera(car), frame.rig.camera, only_visible=False)
    KittiWriter(tmp_path).write(frame, labels, depth)

    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image_2/000003.png")), frame.image)
    points = np.fromfile(tmp_path / "velodyne/000003.bin", np.float32).reshape(-1, 4)
    np.testing.assert_array_equal(points, frame.points)
    lines = (line.split() for line in (tmp_path / "calib/000003.txt").read_text().splitlines())
    calib = {key[:-1]: np.array(values, float) for key, *values in lines}
    T = calib["R0_rect"].reshape(3, 3) @ calib["Tr_velo_to_cam"].reshape(3, 4)
    projection = calib["P2"].reshape(3, 4) @ np.vstack([T, [0, 0, 0, 1]])
    expected = frame.rig.camera.P @ frame.rig.T_camera_lidar
    np.testing.assert_allclose(projection, expected, rtol=1e-14)
    row = (tmp_path / "label_2/000003.txt").read_text().split()
    assert (len(row), row[0], float(row[15])) == (16, "Car", 0.75)
    stored = np.asarray(Image.open(tmp_path / "depth_2/000003.png"))
    assert stored.dtype == np.uint16
    assert (stored[5, 7], stored[6, 8]) == (round(12.34 * 256), 0)
    np.testing.assert_allclose(read_depth(tmp_path / "depth_2/000003.png")[5, 7], 12.34, atol=1 / 512)


def test_the_root_of_the_data_set_is_accepted(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    folder.rename(tmp_path / "root" / "training")
    (tmp_path / "root" / "ImageSets").mkdir()
    (tmp_path / "root" / "ImageSets" / "val.txt").write_text("000001\n000004\n")
    assert len(KittiObjectSource(tmp_path / "root")) == 5
    assert KittiObjectSource(tmp_path / "root", split="val").ids == ["000001", "000004"]
    assert KittiObjectSource(tmp_path / "root" / "training", ids=["000003"])[0].id == "000003"


def test_missing_frames_and_splits_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1 of the chosen frames are missing, such as 000009"):
        KittiObjectSource(folder, ids=["000001", "000009"])
    with pytest.raises(DataError, match=r"no split val: looked for .*ImageSets"):
        KittiObjectSource(folder, split="val")
    with pytest.raises(DataError, match="no KITTI object folder"):
        KittiObjectSource(folder / "calib")


def test_lidar_may_be_missing_or_reduced(folder: Path) -> None:
    (folder / "velodyne" / "000001.bin").unlink()
    (folder / "velodyne_reduced").mkdir()
    (folder / "velodyne" / "000002.bin").rename(folder / "velodyne_reduced" / "000002.bin")
    source = KittiObjectSource(folder)
    assert source[1].points is None
    same_frame(small_frame(2), source[2])


def test_a_frame_without_lidar_is_written_and_read(tmp_path: Path) -> None:
    frame = small_frame(0).without_points()
    KittiWriter(tmp_path).write(frame)
    assert not (tmp_path / "velodyne").exists()
    same_frame(frame, KittiObjectSource(tmp_path)[0])


def test_kitti_s_own_frames_get_stamps_that_are_not_zero_and_rise(folder: Path) -> None:
    for path in (folder / "stamp").iterdir():
        path.unlink()
    stamps = [frame.stamp for frame in KittiObjectSource(folder)]
    assert stamps[0] > 0
    assert set(np.diff(stamps)) == {100_000_000}


def test_jpeg_is_read_and_written(tmp_path: Path) -> None:
    frame = small_frame(0)
    smooth = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 24, 0).repeat(3, 2)
    KittiWriter(tmp_path, jpeg=True).write(type(frame)(frame.id, 5, smooth, None, frame.rig))
    assert (tmp_path / "image_2" / "000000.jpg").exists()
    assert np.abs(KittiObjectSource(tmp_path)[0].image.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(
    ("file", "size", "message"),
    [
        ("velodyne/000002.bin", 41, r"velodyne/000002.bin: 41 bytes are no whole number of points"),
        ("image_2/000002.png", 900, r"image_2/000002.png: .*truncated"),
        ("image_2/000002.png", 0, r"image_2/000002.png: .*corrupt"),
    ],
)
def test_truncated_files_are_named(folder: Path, file: str, size: int, message: str) -> None:
    (folder / file).write_bytes((folder / file).read_bytes()[:size])
    with pytest.raises(DataError, match=message):
        KittiObjectSource(folder)[2]


def test_a_frame_is_complete_only_when_all_of_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = KittiWriter(tmp_path)
    monkeypatch.setattr(Path, "replace", _disk_full)
    with pytest.raises(DataError, match=r"image_2/000001.png: cannot be written: No space left on device"):
        writer.write(small_frame(1))
    monkeypatch.undo()
    assert not writer.has("000001")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    writer.write(small_frame(1))
    assert writer.has("000001")


def _disk_full(self: Path, target: Path) -> Path:
    raise OSError(28, "No space left on device")


def test_the_shared_kitti_folder_is_read(shared_data: Path) -> None:
    source = KittiObjectSource(shared_data / "kitti" / "object")
    assert len(source) == 17
    frame = source[source.ids.index("001206")]
    assert frame.image.shape == (375, 1242, 3)
    assert frame.points is not None
    assert frame.points.shape == (112026, 4)
    assert source[source.ids.index("000012")].points is None
