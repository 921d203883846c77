"""A drive comes back from every conversion as it went in, and a stopped conversion goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import apply
from mono3d_kd_core.io.convert import convert, convert_source, undistorted
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource, KittiWriter
from mono3d_kd_core.io.kitti_raw import KittiRawWriter
from mono3d_kd_core.io.open import open_source
from tests.io.drives import SmallDrive, same_frame, small_frame, small_rig


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    with KittiRawWriter(path) as writer:
        for frame in SmallDrive():
            writer.write(frame)
    return path


def same_drive(a: FrameSource, b: FrameSource) -> None:
    assert list(a.ids) == list(b.ids)
    for x, y in zip(a, b, strict=True):
        same_frame(x, y)


def test_raw_to_bag_to_kitti_to_raw_changes_nothing(drive: Path, tmp_path: Path) -> None:
    bag = convert_source(drive, tmp_path / "bag")
    kitti = convert_source(bag, tmp_path / "kitti")
    raw = convert_source(kitti, tmp_path / "day" / "again", to="kitti-raw")
    for path in (bag, kitti, raw):
        same_drive(SmallDrive(), open_source(path))


def test_every_object_frame_keeps_its_own_calibration_and_its_labels(tmp_path: Path) -> None:
    nearer = replace(small_rig(), camera=CameraModel.from_projection(64, 24, small_rig().camera.P * [[1.1], [1.1], [1]]))
    moved = replace(nearer, T_camera_lidar=nearer.T_camera_lidar @ np.diag([1.0, 1, 1, 1]) + np.eye(4, k=3) * 0.2)
    frames = [small_frame(0), small_frame(1, nearer), small_frame(2, moved)]
    car = Boxes3D([[12.0, 0, -0.5]], [[4, 1.7, 1.5]], [0.2], ["Car"], frame="camera")
    for frame in frames:
        KittiWriter(tmp_path / "a").write(frame, KittiLabels.from_boxes(car, frame.rig.camera, scored=False))
    bag = convert_source(tmp_path / "a", tmp_path / "bag")
    for frame, read in zip(frames, open_source(bag), strict=True):
        same_frame(frame, read)
    copy = KittiObjectSource(convert_source(tmp_path / "a", tmp_path / "b", to="kitti"))
    assert copy.labels(1).lines() == KittiObjectSource(tmp_path / "a").labels(1).lines()


def test_a_stopped_conversion_to_kitti_goes_on(drive: Path, tmp_path: Path) -> None:
    bag = open_source(convert_source(drive, tmp_path / "bag"))

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(bag, tmp_path / "kitti", "kitti", progress=stop)
    first = (tmp_path / "kitti" / "image_2" / "000000.png").stat().st_mtime_ns
    seen: list[int] = []
    convert(bag, tmp_path / "kitti", "kitti", progress=lambda done, total: seen.append(done))
    assert seen == [3, 4, 5]
    assert (tmp_path / "kitti" / "image_2" / "000000.png").stat().st_mtime_ns == first
    same_drive(SmallDrive(), open_source(tmp_path / "kitti"))


def test_a_stopped_conversion_to_a_bag_leaves_nothing(drive: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        convert(open_source(drive), tmp_path / "out" / "bag", "bag", progress=stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_nothing_is_overwritten(drive: Path, tmp_path: Path) -> None:
    bag = convert_source(drive, tmp_path / "bag")
    with pytest.raises(DataError, match="bag exists already"):
        convert_source(drive, bag)
    with pytest.raises(DataError, match="drive_0001_sync exists already"):
        convert_source(bag, drive, to="kitti-raw")
    with pytest.raises(DataError, match="raw drives hold PNG"):
        convert_source(bag, tmp_path / "other", to="kitti-raw", jpeg=True)


def test_a_bent_image_is_rectified_on_its_way_to_kitti() -> None:
    wide = small_rig(160, 120)
    P = np.array([[100.0, 0, 79.5, 0], [0, 100, 59.5, 0], [0, 0, 1, 0]])
    lens = CameraModel(160, 120, P[:, :3], "plumb_bob", np.array([-0.3, 0.1, 0, 0, 0]), P=P)
    points = np.array([[10.0, y, z] for y in (-4.0, 0.0, 4.0) for z in (-3.0, 0.0, 3.0)])
    image = np.zeros((120, 160, 3), np.uint8)
    for u, v in lens.project(apply(wide.T_camera_lidar, points))[0]:  # a dot of 3 x 3 where the lens sees each point
        image[round(v) - 1 : round(v) + 2, round(u) - 1 : round(u) + 2] = 255
    frame = undistorted(replace(small_frame(0, wide), image=image, rig=replace(wide, camera=lens)))
    assert frame.rig.camera.rectified
    for u, v in frame.rig.camera.project(apply(frame.rig.T_camera_lidar, points))[0]:
        assert frame.image[round(v), round(u)].min() > 128
    same_frame(small_frame(0), undistorted(small_frame(0)))


def test_drive_0052_survives_the_round_trip(shared_data: Path, tmp_path: Path) -> None:
    drive = shared_data / "kitti/raw/2011_09_26/2011_09_26_drive_0052_sync"
    bag = convert_source(drive, tmp_path / "bag")
    same_drive(open_source(drive), open_source(bag))
    numbers = open_source(bag)[7]
    lines = (shared_data / "kitti/object/training/calib/001497.txt").read_text().splitlines()
    calib = {name: np.array(values.split(), float) for name, values in (line.split(":") for line in lines if ":" in line)}
    P, R, Tr = calib["P2"].reshape(3, 4), calib["R0_rect"].reshape(3, 3), calib["Tr_velo_to_cam"].reshape(3, 4)
    assert numbers.points is not None
    ahead = numbers.points[numbers.points[:, 0] > 5, :3].astype(float)
    homogeneous = np.column_stack([(ahead @ Tr[:, :3].T + Tr[:, 3]) @ R.T, np.ones(len(ahead))]) @ P.T
    uv, _ = numbers.rig.camera.project(apply(numbers.rig.T_camera_lidar, ahead))
    np.testing.assert_allclose(uv, homogeneous[:, :2] / homogeneous[:, 2:], atol=1e-6)
