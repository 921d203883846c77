"""A rig file says what belongs together; a mistake in it is named, and a good one can be guessed from topics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.io.rig import RigFile
from mono3d_kd_core.io.topic_guess import IMAGE_TYPES, INFO_TYPE, POINTS_TYPE

IMAGE, COMPRESSED = IMAGE_TYPES
BASE = "topics: {image: /cam/image_rect, camera_info: /cam/camera_info, points: /points}\nrectified: true\n"
CALIBRATION = """image_width: 64
image_height: 24
camera_name: cam
camera_matrix: {rows: 3, cols: 3, data: [71, 0, 31, 0, 72, 11, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.3, 0.1, 0.001, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [70, 0, 32, 0, 0, 70, 12, 0, 0, 0, 1, 0]}
"""


def load(folder: Path, text: str) -> RigFile:
    (folder / "rig.yaml").write_text(text)
    return RigFile.load(folder / "rig.yaml")


def test_defaults_and_values(tmp_path: Path) -> None:
    rig = load(tmp_path, BASE + "sync: {offset: -0.01}\nframes: {lidar: velodyne}\n")
    assert (rig.topics.points, rig.frames.camera, rig.frames.lidar) == ("/points", None, "velodyne")
    assert (rig.sync.offset, rig.sync.tolerance) == (-0.01, 0.05)
    assert rig.camera_model() is None
    assert rig.extrinsics() is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BASE.replace("image:", "imge:"), r"rig.yaml: topics.image: Field required; unknown key topics.imge, did you"),
        (BASE + "snyc: {}", r"rig.yaml: unknown key snyc, did you mean sync\?"),
        (BASE + "sync: {tolerance: often}", r"rig.yaml: sync.tolerance: Input should be a valid number"),
        (BASE + "sync: {tolerance: -1}", r"rig.yaml: sync.tolerance: Input should be greater than or equal to 0"),
        (BASE + "sync: {frequency: 1}", r"rig.yaml: unknown key sync.frequency; known are offset, tolerance"),
        (BASE + "T_camera_lidar: {xyz: [0, 0], quaternion: [0, 0, 0, 1]}", r"rig.yaml: T_camera_lidar.xyz: List should"),
        (BASE + "T_camera_lidar: {xyz: [0, 0, 0], quaternion: [0, 0, 0, 0]}", r"rig.yaml: the quaternion"),
        (BASE + "T_camera_lidar: [[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]", r"T_camera_lidar: expected 4"),
        (BASE + "camera: {width: 4, heigth: 3, K: [1]}", r"unknown key camera.heigth, did you mean height\?"),
        (BASE + "camera: {width: 4, height: 3, K: [1, 2]}", r"rig.yaml: camera: K has 2 numbers, expected 9"),
        (BASE + "camera: nowhere.yaml", r"nowhere.yaml: cannot be read: No such file"),
        (BASE + "camera: rig.yaml", r"rig.yaml: this is no calibration as ROS' camera_calibration writes it: 'image_width'"),
        ("topics: [", r"rig.yaml: this is not YAML"),
        ("- 1", r"rig.yaml: expected keys and values, found list"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_the_nearest_valid_one(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CalibrationError if "nowhere" not in text else DataError, match=message):
        load(tmp_path, text)


def test_a_transform_as_matrix_or_pose_is_the_same(tmp_path: Path) -> None:
    T = [[0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]]
    from_matrix = load(tmp_path, BASE + f"T_camera_lidar: {T}").extrinsics()
    # x y z w of the turn that takes x forward, y left, z up to z forward, x right, y down.
    from_pose = load(
        tmp_path, BASE + "T_camera_lidar: {xyz: [0.1, 0.2, 0.3], quaternion: [0.5, -0.5, 0.5, 0.5]}"
    ).extrinsics()
    np.testing.assert_allclose(from_matrix, T, atol=1e-12)
    np.testing.assert_allclose(from_pose, T, atol=1e-12)


@pytest.mark.parametrize(("rectified", "fx", "D"), [("true", 70, []), ("false", 71, [-0.3, 0.1, 0.001, 0, 0])])
def test_the_camera_may_come_from_a_ros_calibration_file(tmp_path: Path, rectified: str, fx: float, D: list[float]) -> None:
    (tmp_path / "left.yaml").write_text(CALIBRATION)
    camera = load(tmp_path, BASE.replace("true", rectified) + "camera: left.yaml").camera_model()
    assert camera is not None
    assert (camera.width, camera.height, camera.intrinsics[0, 0]) == (64, 24, fx)
    assert camera.bends == bool(D)


def test_a_rectified_camera_needs_k_only(tmp_path: Path) -> None:
    camera = load(tmp_path, BASE + "camera: {width: 64, height: 24, K: [71, 0, 31, 0, 72, 11, 0, 0, 1]}").camera_model()
    assert camera is not None
    np.testing.assert_array_equal(camera.P[:, :3], [[71, 0, 31], [0, 72, 11], [0, 0, 1]])


def test_a_saved_file_loads_the_same(tmp_path: Path) -> None:
    text = BASE + "camera: {width: 64, height: 24, K: [71, 0, 31, 0, 72, 11, 0, 0, 1]}\nsync: {offset: 0.02}\n"
    rig = load(tmp_path, text + "T_camera_lidar: {xyz: [1, 2, 3], quaternion: [0, 0, 0, 1]}\n")
    rig.save(tmp_path / "saved.yaml")
    assert RigFile.load(tmp_path / "saved.yaml") == rig


@pytest.mark.parametrize(
    ("topics", "image", "info", "points", "rectified"),
    [
        pytest.param(
            {"/camera/image_raw": IMAGE, "/camera/image_rect": IMAGE, "/camera/camera_info": INFO_TYPE, "/p": POINTS_TYPE},
            "/camera/image_rect", "/camera/camera_info", "/p", True, id="rectified beats raw",
        ),
        pytest.param(
            {"/a/image_rect": IMAGE, "/b/image_raw": IMAGE, "/b/camera_info": INFO_TYPE},
            "/b/image_raw", "/b/camera_info", None, False, id="a camera_info beside it beats rectified",
        ),
        pytest.param(
            {f"/CAM_{side}/image": IMAGE for side in ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK")}
            | {f"/CAM_{side}/camera_info": INFO_TYPE for side in ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK")}
            | {"/LIDAR_TOP": POINTS_TYPE, "/RADAR_FRONT": POINTS_TYPE},
            "/CAM_FRONT/image", "/CAM_FRONT/camera_info", "/LIDAR_TOP", False, id="six cameras around",
        ),
        pytest.param(
            {"/stereo/left/image_raw/compressed": COMPRESSED, "/stereo/right/image_raw/compressed": COMPRESSED,
             "/stereo/left/camera_info": INFO_TYPE, "/stereo/right/camera_info": INFO_TYPE,
             "/velodyne_points": POINTS_TYPE, "/camera/depth/points": POINTS_TYPE, "/camera/depth/image": IMAGE},
            "/stereo/left/image_raw/compressed", "/stereo/left/camera_info", "/velodyne_points", False, id="stereo",
        ),
        pytest.param({"/usb_cam": IMAGE}, "/usb_cam", None, None, False, id="an image alone"),
    ],
)  # fmt: skip
def test_the_front_camera_and_the_lidar_are_guessed(
    topics: dict[str, str], image: str, info: str | None, points: str | None, rectified: bool
) -> None:
    rig = RigFile.guess(topics)
    assert (rig.topics.image, rig.topics.camera_info, rig.topics.points) == (image, info, points)
    assert rig.rectified == rectified


@pytest.mark.parametrize(
    ("topics", "message"),
    [
        ({"/a/image": IMAGE, "/b/image": IMAGE}, r"drive: the image topic is not clear: /a/image, /b/image are all sensor"),
        ({"/i": IMAGE, "/x": POINTS_TYPE, "/y": POINTS_TYPE}, r"drive: the LiDAR topic is not clear: /x, /y are all"),
        ({"/imu": "sensor_msgs/msg/Imu"}, r"drive: no camera images; its topics are /imu \(sensor_msgs/msg/Imu\)"),
        ({}, r"drive: no camera images; its topics are none"),
    ],
)
def test_what_cannot_be_guessed_lists_the_candidates(topics: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        RigFile.guess(topics, "drive")
