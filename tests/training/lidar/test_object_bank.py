"""Ground-truth sampling: what comes in, what makes room, and what must not stand in each other."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.overlap import bev_iou
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.training.lidar.clouds import CloudExample
from mono3d_kd_core.training.lidar.object_bank import ObjectBank
from mono3d_kd_core.training.reference import Reference

RIG = Rig(CameraModel.pinhole(96, 48, 60, 60, 47.5, 23.5), T_CAMERA_BODY)


def scene(places: list[tuple[float, float]], label: str, seed: int = 0, mark: float = 0.5) -> CloudExample:
    """Objects of 2 x 1 x 1 m in a cloud of uniform density; `mark` is the intensity of all its points."""
    xyz = np.random.default_rng(seed).uniform([0, -10, -1], [20, 10, 1], (8000, 3))
    points = np.column_stack([xyz, np.full(len(xyz), mark)]).astype(np.float32)
    centre = np.array([[x, y, 0.0] for x, y in places]).reshape(-1, 3)
    n = len(centre)
    boxes = Boxes3D(centre, np.tile([2.0, 1, 1], (n, 1)), np.linspace(0, 1, n), np.array([label] * n, np.str_))
    return CloudExample("0", points, boxes, Reference(KittiLabels.from_boxes(RIG.boxes_in_camera(boxes), RIG.camera), RIG))


def bank() -> ObjectBank:
    crowd = [scene([(4.0 * i + 2, y)], "Pedestrian", i, mark=0.9) for i in range(4) for y in (-6.0, 0.0, 6.0)]
    return ObjectBank.gather([*crowd, scene([(5, 5)], "Car")], ["Pedestrian", "Cyclist"])


def test_only_the_classes_asked_for_are_gathered_each_with_its_own_points() -> None:
    objects = bank().objects
    assert {name: len(found) for name, found in objects.items()} == {"Pedestrian": 12, "Cyclist": 0}
    for one in objects["Pedestrian"]:
        assert len(one.points) > 0
        assert one.box.contains(one.points[:, :3], 1e-5).all()


def test_a_cloud_is_filled_up_to_the_number_wanted() -> None:
    before = scene([(10.0, 3.0)], "Pedestrian")
    after = bank().fill(before, {"Pedestrian": 5, "Cyclist": 3}, np.random.default_rng(0))
    assert after.boxes.label.tolist() == ["Pedestrian"] * 5
    np.testing.assert_array_equal(after.boxes.centre[0], before.boxes.centre[0])
    overlap = bev_iou(after.boxes.bev(), after.boxes.bev()) - np.eye(5)
    assert not overlap.any()


def test_what_comes_in_replaces_the_points_that_were_there() -> None:
    before = scene([], "Pedestrian")
    after = bank().fill(before, {"Pedestrian": 4}, np.random.default_rng(0))
    inside = after.boxes.contains(after.points[:, :3]).any(0)
    assert set(np.unique(after.points[inside, 3])) == {np.float32(0.9)}
    assert set(np.unique(after.points[~inside, 3])) == {np.float32(0.5)}


def test_nothing_comes_in_where_something_stands() -> None:
    wall = scene([(10.0, 0.0)], "Car")
    wall = CloudExample(wall.id, wall.points, Boxes3D(
        np.array([[10.0, 0, 0]]), np.array([[30.0, 30, 2]]), np.zeros(1), np.array(["Car"])
    ), wall.reference)  # fmt: skip
    after = bank().fill(wall, {"Pedestrian": 4}, np.random.default_rng(0))
    assert after is wall


def test_a_class_that_is_there_in_number_is_left_alone() -> None:
    full = scene([(3.0, 0.0), (8.0, 0.0), (13.0, 0.0)], "Pedestrian")
    assert bank().fill(full, {"Pedestrian": 2}, np.random.default_rng(0)) is full
