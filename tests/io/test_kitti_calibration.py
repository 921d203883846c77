"""A calibration file means what KITTI's development kit says, and a broken one is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti import KittiCalibration
from tests.io.drives import P2, rotation, small_rig

FILE = """P0: 7e2 0 6e2 0 0 7e2 1.7e2 0 0 0 1 0
P1: 7e2 0 6e2 -380 0 7e2 1.7e2 0 0 0 1 0
P2: 7e2 0 6e2 45 0 7e2 1.7e2 0.2 0 0 1 0.003
P3: 7e2 0 6e2 -340 0 7e2 1.7e2 2.2 0 0 1 0.003
R0_rect: 0.6 0.8 0 -0.8 0.6 0 0 0 1
Tr_velo_to_cam: 0 -1 0 0.1 0 0 -1 0.2 1 0 0 0.3
Tr_imu_to_velo: 1 0 0 0 0 1 0 0 0 0 1 0

"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "000003.txt"
    file.write_text(FILE)
    return file


def test_a_lidar_point_reaches_the_pixel_of_the_kit_s_formula(path: Path) -> None:
    rig = KittiCalibration.read(path).rig(1242, 375)
    # x = P2 * R0_rect * Tr_velo_to_cam * y, by hand for y = (10, 2, 1).
    camera = np.array([-2 + 0.1, -1 + 0.2, 10 + 0.3])
    rectified = np.array([0.6 * camera[0] + 0.8 * camera[1], -0.8 * camera[0] + 0.6 * camera[1], camera[2]])
    u, v, w = 700 * rectified[0] + 600 * rectified[2] + 45, 700 * rectified[1] + 170 * rectified[2] + 0.2, 10.303
    homogeneous = rig.camera.P @ np.append(rig.T_camera_lidar @ [10, 2, 1, 1], 0)[[0, 1, 2, 3]]
    np.testing.assert_allclose(homogeneous, [u, v, w])
    np.testing.assert_allclose(rig.camera.project((rig.T_camera_lidar @ [10, 2, 1, 1])[None, :3])[0][0], [u / w, v / w])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("P2: 7e2 0", "P2: 7e2", r"000003.txt: P2 has 11 numbers, expected 12"),
        ("R0_rect", "R9_rect", r"000003.txt: R0_rect is missing"),
        ("0 -1 0 0.1", "0 -1 x 0.1", r"000003.txt: Tr_velo_to_cam is missing or holds something else"),
        ("0 -1 0 0.1", "0 -1 nan 0.1", r"000003.txt: Tr_velo_to_cam holds a value that is not finite"),
    ],
)
def test_a_broken_file_is_named_with_its_matrix(path: Path, old: str, new: str, message: str) -> None:
    path.write_text(FILE.replace(old, new))
    with pytest.raises(CalibrationError, match=message):
        KittiCalibration.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"000007\.txt: cannot be read: No such file"):
        KittiCalibration.read(tmp_path / "000007.txt")


def test_the_tracking_benchmark_s_names_are_understood(path: Path) -> None:
    original = KittiCalibration.read(path)
    path.write_text(FILE.replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam"))
    np.testing.assert_array_equal(KittiCalibration.read(path).rig(9, 9).T_camera_lidar, original.rig(9, 9).T_camera_lidar)


def test_writing_and_reading_changes_no_digit(tmp_path: Path) -> None:
    rig = small_rig()
    KittiCalibration.from_rig(rig).write(tmp_path / "000000.txt")
    back = KittiCalibration.read(tmp_path / "000000.txt").rig(rig.camera.width, rig.camera.height)
    np.testing.assert_array_equal(back.camera.P, rig.camera.P)
    np.testing.assert_array_equal(back.T_camera_lidar, rig.T_camera_lidar)


def test_a_rectification_of_the_camera_goes_into_r0_rect() -> None:
    rig = small_rig()
    turned = replace(rig, camera=replace(rig.camera, R=rotation(1, 0.1)))
    calibration = KittiCalibration.from_rig(turned)
    points = np.array([[9.0, 1, 0.5], [20, -3, 1]])
    optical = points @ turned.T_camera_lidar[:3, :3].T + turned.T_camera_lidar[:3, 3]
    written = calibration.rig(64, 24)
    in_written = points @ written.T_camera_lidar[:3, :3].T + written.T_camera_lidar[:3, 3]
    np.testing.assert_allclose(written.camera.project(in_written)[0], turned.camera.project(optical)[0], atol=1e-9)


def test_a_distorted_image_cannot_be_described() -> None:
    rig = small_rig()
    lens = CameraModel(64, 24, P2[:, :3], distortion="plumb_bob", D=np.array([-0.3, 0.1, 0, 0, 0]))
    with pytest.raises(CalibrationError, match="cannot hold the distortion plumb_bob"):
        KittiCalibration.from_rig(replace(rig, camera=lens))
