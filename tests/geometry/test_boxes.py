from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, rotation_z, transform
from tests.geometry.cameras import rotation


def random_boxes(seed: int, count: int = 16, frame: str = "camera") -> Boxes3D:
    rng = np.random.default_rng(seed)
    return Boxes3D(
        rng.uniform([2, -20, -3], [70, 20, 2], (count, 3)), rng.uniform(0.3, 6, (count, 3)),
        rng.uniform(-np.pi, np.pi, count), rng.choice(["Car", "Pedestrian", "Cyclist"], count), rng.random(count),
        rng.uniform(0.1, 3, count), frame,
    )  # fmt: skip


def assert_same(a: Boxes3D, b: Boxes3D) -> None:
    assert a.frame == b.frame
    assert a.label.tolist() == b.label.tolist()
    for name in ("centre", "size", "score"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), atol=1e-9)
    np.testing.assert_allclose(np.sin((a.yaw - b.yaw) / 2), 0, atol=1e-9)


boxes = st.integers(0, 10**6).map(random_boxes)


def test_corners_go_round_from_front_left_below() -> None:
    box = Boxes3D([[10, 5, 1]], [[4, 2, 1]], [0], ["Car"])
    expected = [
        [12, 6, 0.5], [12, 4, 0.5], [8, 4, 0.5], [8, 6, 0.5],
        [12, 6, 1.5], [12, 4, 1.5], [8, 4, 1.5], [8, 6, 1.5],
    ]  # fmt: skip
    np.testing.assert_allclose(box.corners()[0], expected)


def test_yaw_turns_the_front_counter_clockwise() -> None:
    box = Boxes3D([[0, 0, 0]], [[4, 2, 1]], [np.pi / 2], ["Car"])
    np.testing.assert_allclose(box.corners()[0, :2, :2], [[-1, 2], [1, 2]], atol=1e-12)


@given(boxes)
def test_corners_turn_with_the_heading(boxes: Boxes3D) -> None:
    front, rear = boxes.corners()[:, [0, 1, 4, 5]].mean(1), boxes.corners()[:, [2, 3, 6, 7]].mean(1)
    heading = np.column_stack([np.cos(boxes.yaw), np.sin(boxes.yaw), np.zeros(len(boxes))])
    np.testing.assert_allclose(front - rear, heading * boxes.size[:, :1], atol=1e-9)
    np.testing.assert_allclose(boxes.corners().mean(1), boxes.centre, atol=1e-9)


@given(boxes, st.integers(-5, 5))
def test_yaw_is_kept_within_one_turn(boxes: Boxes3D, turns: int) -> None:
    wound = Boxes3D(boxes.centre, boxes.size, boxes.yaw + 2 * np.pi * turns, boxes.label)
    assert ((wound.yaw >= -np.pi) & (wound.yaw < np.pi)).all()
    np.testing.assert_allclose(wound.corners(), boxes.corners(), atol=1e-9)


@given(boxes)
def test_kitti_columns_round_trip(boxes: Boxes3D) -> None:
    location, dimensions, rotation_y, _ = boxes.to_kitti_camera()
    assert_same(Boxes3D.from_kitti_camera(location, dimensions, rotation_y, boxes.label, boxes.score), boxes)


def test_kitti_corners_equal_those_of_the_devkit() -> None:
    # The object devkit turns x,z offsets by rotation_y about the optical y axis and puts the bottom at the location.
    height, width, length = 1.5, 1.7, 4.2
    location, rotation_y = np.array([-3.0, 1.6, 14.0]), 0.7
    c, s = np.cos(rotation_y), np.sin(rotation_y)
    x = length / 2 * np.array([1, 1, -1, -1, 1, 1, -1, -1])
    y = np.array([0, 0, 0, 0, -height, -height, -height, -height])
    z = width / 2 * np.array([1, -1, -1, 1, 1, -1, -1, 1])
    expected = (np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.stack([x, y, z])).T + location
    box = Boxes3D.from_kitti_camera(location, [height, width, length], rotation_y, ["Car"])
    np.testing.assert_allclose(apply(T_CAMERA_BODY, box.corners())[0], expected, atol=1e-12)


def test_alpha_is_rotation_y_less_the_bearing() -> None:
    box = Boxes3D.from_kitti_camera([10.0, 1.5, 10.0], [1.5, 1.6, 4], 0.2, ["Car"])
    assert box.to_kitti_camera()[3] == pytest.approx(0.2 - np.pi / 4)


def test_real_labels_survive_the_way_to_a_ros_pose_and_back(shared_data: Path) -> None:
    files = sorted((shared_data / "kitti/object/training/label_2").glob("*.txt"))
    rows = [row.split() for file in files for row in file.read_text().splitlines() if not row.startswith("DontCare")]
    numbers = np.array([row[1:] for row in rows], np.float64)
    dimensions, location, rotation_y = numbers[:, 7:10], numbers[:, 10:13], numbers[:, 13]
    boxes = Boxes3D.from_kitti_camera(location, dimensions, rotation_y, [row[0] for row in rows])
    position, quaternion = boxes.poses(T_CAMERA_BODY)
    again = Boxes3D.from_poses(
        position, quaternion, boxes.size, boxes.label, T_frame_source=inverse(T_CAMERA_BODY), frame="camera"
    )
    new_location, new_dimensions, new_rotation_y, _ = again.to_kitti_camera()
    np.testing.assert_allclose(new_location, location, atol=1e-9)
    np.testing.assert_allclose(new_dimensions, dimensions, atol=1e-9)
    np.testing.assert_allclose(np.sin((new_rotation_y - rotation_y) / 2), 0, atol=1e-9)


def test_alpha_is_that_of_real_labels(shared_data: Path) -> None:
    files = sorted((shared_data / "kitti/object/training/label_2").glob("*.txt"))
    rows = [row.split() for file in files for row in file.read_text().splitlines() if not row.startswith("DontCare")]
    numbers = np.array([row[1:] for row in rows], np.float64)
    # The label files' own alpha is seen from the LiDAR, 27 cm behind the camera.
    location = numbers[:, 10:13] + [0, 0, 0.27]
    boxes = Boxes3D.from_kitti_camera(location, numbers[:, 7:10], numbers[:, 13], [row[0] for row in rows])
    assert np.abs(np.sin((boxes.to_kitti_camera()[3] - numbers[:, 2]) / 2)).max() < 0.01  # rounded to two digits


@given(boxes)
def test_a_pose_has_x_along_the_heading_and_z_up(boxes: Boxes3D) -> None:
    T_target_camera = transform(rotation(0.1, -0.2, 2.0), [1, 2, 3])
    position, quaternion = boxes.poses(T_target_camera)
    x, y, z, w = quaternion.T
    x_axis = np.column_stack([1 - 2 * (y * y + z * z), 2 * (x * y + z * w), 2 * (x * z - y * w)])
    z_axis = np.column_stack([2 * (x * z + y * w), 2 * (y * z - x * w), 1 - 2 * (x * x + y * y)])
    heading = np.column_stack([np.cos(boxes.yaw), np.sin(boxes.yaw), np.zeros(len(boxes))])
    np.testing.assert_allclose(x_axis, heading @ T_target_camera[:3, :3].T, atol=1e-9)
    np.testing.assert_allclose(z_axis, np.tile(T_target_camera[:3, 2], (len(boxes), 1)), atol=1e-9)
    np.testing.assert_allclose(position, apply(T_target_camera, boxes.centre), atol=1e-9)


@given(boxes)
def test_poses_round_trip(boxes: Boxes3D) -> None:
    T = transform(rotation(0.3, -0.4, 2.5), [1, 2, 3])
    position, quaternion = boxes.poses(T)
    again = Boxes3D.from_poses(
        position, quaternion, boxes.size, boxes.label, boxes.score, T_frame_source=inverse(T), frame=boxes.frame
    )
    assert_same(again, boxes)


def test_a_leaning_box_is_refused() -> None:
    lying = [np.sin(np.pi / 4), 0, 0, np.cos(np.pi / 4)]
    with pytest.raises(DataError, match=re.escape("box 1 of 2 leans 90 degrees")):
        Boxes3D.from_poses(
            np.zeros((2, 3)),
            [[0, 0, 0, 1], lying],
            np.ones((2, 3)),
            ["Car"] * 2,
            T_frame_source=np.eye(4),
            frame="lidar",
        )


@given(boxes)
def test_a_turn_and_shift_moves_the_corners_rigidly(boxes: Boxes3D) -> None:
    T = transform(rotation_z(1.1), [3, -2, 0.5])
    moved = boxes.transformed(T, "lidar")
    assert moved.frame == "lidar"
    np.testing.assert_allclose(moved.corners(), apply(T, boxes.corners()), atol=1e-9)
    np.testing.assert_array_equal(moved.depth_std, boxes.depth_std)
    assert_same(moved.transformed(inverse(T), "camera"), boxes)


@given(boxes)
def test_the_mirrored_corners_are_the_corners_of_the_mirrored(boxes: Boxes3D) -> None:
    swapped = boxes.mirrored().corners()[:, [1, 0, 3, 2, 5, 4, 7, 6]]
    np.testing.assert_allclose(swapped, boxes.corners() * [1, -1, 1], atol=1e-9)


@given(boxes, st.floats(0, 0.5))
def test_a_box_contains_what_lies_between_its_corners(boxes: Boxes3D, margin: float) -> None:
    rng = np.random.default_rng(0)
    local = rng.uniform(-1, 1, (len(boxes), 50, 3)) * (boxes.size[:, None] + 2)
    turns = np.stack([rotation_z(yaw) for yaw in boxes.yaw])
    points = np.einsum("nij,nmj->nmi", turns, local) + boxes.centre[:, None]
    expected = (np.abs(local) <= boxes.size[:, None] / 2 + margin).all(-1)
    for i in range(len(boxes)):
        np.testing.assert_array_equal(boxes.contains(points[i], margin)[i], expected[i])


def test_missing_scores_are_one_and_missing_uncertainties_unknown() -> None:
    box = Boxes3D([[0, 0, 0]], [[1, 1, 1]], [0], ["Car"])
    assert box.score.tolist() == [1]
    assert np.isnan(box.depth_std).all()


def test_boxes_are_selected_and_joined_column_by_column() -> None:
    boxes = random_boxes(1)
    joined = Boxes3D.concatenate([boxes[:5], boxes[5:]])
    assert_same(joined, boxes)
    np.testing.assert_array_equal(joined.depth_std, boxes.depth_std)
    assert_same(boxes[boxes.score > 2], Boxes3D.empty("camera"))
    assert boxes[[3]].label.tolist() == [boxes.label[3]]


def test_boxes_of_two_frames_are_not_joined() -> None:
    with pytest.raises(ValueError, match=r"camera.*lidar"):
        Boxes3D.concatenate([Boxes3D.empty("camera"), Boxes3D.empty("lidar")])


def test_kitti_labels_are_of_the_camera() -> None:
    with pytest.raises(ValueError, match='these are in "lidar"'):
        Boxes3D.empty("lidar").to_kitti_camera()


def test_no_boxes_are_boxes() -> None:
    nothing = Boxes3D.empty("camera")
    assert nothing.corners().shape == (0, 8, 3)
    assert nothing.bev().shape == (0, 5)
    assert nothing.contains(np.zeros((7, 3))).shape == (0, 7)
    assert [len(column) for column in nothing.to_kitti_camera()] == [0, 0, 0, 0]
    position, quaternion = nothing.poses(np.eye(4))
    again = Boxes3D.from_poses(position, quaternion, nothing.size, [], T_frame_source=np.eye(4), frame="camera")
    assert len(again) == 0
