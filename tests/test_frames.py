from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, rotation_z, transform

CAMERA = CameraModel.pinhole(640, 480, 500, 500, 320, 240)
RIG = Rig(CAMERA, T_CAMERA_BODY @ transform(rotation_z(0.1), [0.3, -0.1, 0.2]))
BOXES = Boxes3D(
    [[12, 3, -1], [30, -4, 0]], [[4, 2, 1.5], [0.8, 0.6, 1.8]], [0.3, -2], ["Car", "Pedestrian"], [0.9, 0.4]
)


def test_boxes_of_the_lidar_lie_on_the_same_points_in_the_camera() -> None:
    in_camera = RIG.boxes_in_camera(BOXES)
    assert in_camera.frame == "camera"
    expected = apply(RIG.T_camera_lidar, BOXES.corners())
    np.testing.assert_allclose(apply(T_CAMERA_BODY, in_camera.corners()), expected, atol=1e-12)


def test_boxes_come_back_to_the_lidar() -> None:
    again = RIG.boxes_in_lidar(RIG.boxes_in_camera(BOXES))
    np.testing.assert_allclose(again.corners(), BOXES.corners(), atol=1e-12)
    assert again.frame == "lidar"
    assert RIG.boxes_in_lidar(BOXES) is BOXES


def test_boxes_of_a_foreign_frame_are_refused() -> None:
    with pytest.raises(ValueError, match='in the frame "map"'):
        RIG.boxes_in_camera(dataclasses.replace(BOXES, frame="map"))


@pytest.mark.parametrize(
    "T",
    [np.diag([1.0, 1, -1, 1]), np.diag([2, 0.5, 1, 1]), np.full((4, 4), np.nan), np.eye(4) + np.eye(4, k=-3)],
    ids=["mirror", "stretch", "nan", "projective"],
)
def test_a_rig_is_rigid(T: np.ndarray) -> None:
    with pytest.raises(CalibrationError, match="front <- velodyne is not a rotation and a translation"):
        Rig(CAMERA, T, "front", "velodyne")


def test_a_camera_alone_has_no_points() -> None:
    frame = SensorFrame("000001", 5, np.zeros((480, 640, 3), np.uint8), np.zeros((9, 4), np.float32), RIG)
    assert frame.without_points().points is None
    assert frame.without_points().image is frame.image
