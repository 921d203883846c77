"""The teacher on whole frames: the published detections, other rigs, and what a sensor may deliver."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, rotation_z, transform
from mono3d_kd_core.teachers.base import Want
from mono3d_kd_core.teachers.point_gnn import PointGNN, PointGNNConfig
from mono3d_kd_core.teachers.point_gnn.view import view_of
from tests.teachers.point_gnn.reference import FRAMES, pretrained, sensor_frame
from tests.teachers.point_gnn.test_graph import street

CAMERA = CameraModel.pinhole(600, 300, 400, 400, 300, 150)


def frame_of(points: np.ndarray | None, camera: CameraModel = CAMERA) -> SensorFrame:
    image = np.zeros((camera.height, camera.width, 3), np.uint8)
    return SensorFrame("000000", 0, image, points, Rig(camera, transform(T_CAMERA_BODY[:3, :3], [0.1, -0.1, -0.3])))


def sweep(seed: int = 0) -> np.ndarray:
    """A street as the LiDAR of `frame_of` sees it."""
    points = apply(inverse(frame_of(None).rig.T_camera_lidar), street(seed))
    return np.column_stack([points, np.linspace(0, 1, len(points))]).astype(np.float32)


@pytest.fixture(scope="module")
def untrained() -> PointGNN:
    torch.manual_seed(0)
    teacher = PointGNN(PointGNNConfig(max_truncation=None)).eval()
    for parameter in teacher.parameters():
        torch.nn.init.normal_(parameter, std=1.4 / parameter.shape[-1] ** 0.5)
    return teacher


@pytest.mark.parametrize("name", FRAMES)
def test_real_sweeps_give_the_published_detections(shared_data: Path, name: str) -> None:
    expected = np.load(shared_data / "point_gnn/T1/raw" / f"{name}.npz")["detections"]
    boxes = pretrained(shared_data, "T1").observe(sensor_frame(shared_data, name)).boxes
    location, dimensions, rotation_y, _ = boxes.to_kitti_camera()
    assert len(boxes) == len(expected)
    assert np.abs(location - expected[:, 4:7]).max(initial=0) < 1e-4
    assert np.abs(dimensions - expected[:, [8, 9, 7]]).max(initial=0) < 1e-4
    assert np.abs(np.sin(rotation_y - expected[:, 10])).max(initial=0) < 1e-4
    assert np.abs(boxes.score / expected[:, 11] - 1).max(initial=0) < 1e-4


def test_the_smaller_network_too(shared_data: Path) -> None:
    expected = np.load(shared_data / "point_gnn/T0/raw/seq0052_000032.npz")["detections"]
    boxes = pretrained(shared_data, "T0").observe(sensor_frame(shared_data, "seq0052_000032")).boxes
    assert len(boxes) == len(expected)
    assert np.abs(boxes.to_kitti_camera()[0] - expected[:, 4:7]).max() < 1e-4
    assert np.abs(boxes.score / expected[:, 11] - 1).max() < 1e-4


def test_options_of_the_product(shared_data: Path) -> None:
    frame, plain = sensor_frame(shared_data, "seq0052_000032"), pretrained(shared_data, "T0")
    changed = PointGNN(PointGNNConfig(num_steps=0, max_truncation=None, x_bias=0.035)).eval()
    changed.load_state_dict(plain.state_dict())
    before, after = plain.observe(frame).boxes, changed.observe(frame).boxes
    right = before.to_kitti_camera()[0]
    moved = after.to_kitti_camera()[0]
    nearest = np.linalg.norm(right[:, None] - [0.035, 0, 0] - moved[None], axis=-1).min(1)
    assert len(after) >= len(before)
    assert nearest.max() < 1e-9


def test_the_answer_does_not_depend_on_where_the_lidar_is(untrained: PointGNN) -> None:
    points = sweep()
    turn = transform(rotation_z(0.7), [1.0, -2.0, 0.3])
    frame = frame_of(points)
    moved = np.column_stack([apply(turn, points[:, :3]), points[:, 3]]).astype(np.float32)
    elsewhere = replace(frame, points=moved, rig=Rig(CAMERA, frame.rig.T_camera_lidar @ inverse(turn)))
    a, b = view_of(frame, 0.1), view_of(elsewhere, 0.1)
    assert np.abs(a.points - b.points).max() < 1e-5
    assert np.array_equal(a.intensity, b.intensity)


def test_a_small_offset_moves_the_points_and_a_stereo_baseline_does_not() -> None:
    views = {}
    for baseline in (0.0, 0.06, 0.5):
        P = np.column_stack([CAMERA.K, CAMERA.K @ [baseline, 0, 0]])
        view = view_of(frame_of(sweep(), CameraModel.from_projection(600, 300, P)), 0.1)
        views[baseline] = np.median(view.points[view.points[:, 0] > 3.5, 0])  # the wall at 4 m
    assert views[0.06] == pytest.approx(4.06, abs=0.02)
    assert views[0.5] == pytest.approx(views[0.0], abs=0.02)


def test_boxes_come_back_through_a_rectifying_rotation(untrained: PointGNN) -> None:
    turn = transform(T_CAMERA_BODY[:3, :3] @ rotation_z(0.2) @ T_CAMERA_BODY[:3, :3].T, np.zeros(3))
    straight = frame_of(sweep())
    # The same camera, whose optical frame is said to be turned against its picture.
    camera = replace(CAMERA, R=turn[:3, :3])
    turned = replace(straight, rig=Rig(camera, inverse(turn) @ straight.rig.T_camera_lidar))
    a = untrained.observe(straight, Want.RESPONSES)
    b = untrained.observe(turned, Want.RESPONSES)
    body = inverse(T_CAMERA_BODY) @ turn @ T_CAMERA_BODY
    assert a.responses is not None
    assert b.responses is not None
    assert np.abs(apply(body, b.responses.position) - a.responses.position).max() < 1e-4
    assert len(a.boxes) == len(b.boxes) > 0
    assert np.abs(b.boxes.transformed(body, "camera").centre - a.boxes.centre).max() < 1e-2


def test_points_beyond_a_lens_field_are_not_seen() -> None:
    bent = CameraModel(600, 300, CAMERA.K, "plumb_bob", np.array([-0.35, 0.1, 0, 0, 0]))
    points = np.array([[1.0, y, 0, 0.5] for y in (-2.8, -0.5, 0, 0.5, 2.8)], np.float32)
    seen = view_of(frame_of(points, bent), 0.1).points
    assert np.abs(seen[:, 0]).max() < 1
    assert len(seen) == 3


@pytest.mark.parametrize(
    "points",
    [
        np.empty((0, 4)),
        [[-5, 0, 0, 0.5], [-8, 1, 0, 0.2]],
        [[np.nan, 0, 0, 0.1], [10, np.inf, 0, 0.1]],
        [[10, 90, 0, 0.1]],
    ],
    ids=["none", "all behind", "not finite", "beside the picture"],
)
def test_nothing_to_see_gives_no_boxes(untrained: PointGNN, points: object) -> None:
    output = untrained.observe(frame_of(np.array(points, np.float32)), Want.RESPONSES | Want.DEPTH)
    assert len(output.boxes) == 0
    assert output.boxes.frame == "camera"
    assert output.responses is not None
    assert output.responses.codes.shape == (0, 4, 7)
    assert output.depth is not None
    assert not output.depth.any()


def test_a_single_point_is_no_reason_to_fail(untrained: PointGNN) -> None:
    output = untrained.observe(frame_of(np.array([[10, 0, 0, 0.5]], np.float32)), Want.RESPONSES)
    assert output.responses is not None
    assert output.responses.logits.shape == (1, 4)


def test_points_that_are_not_finite_change_nothing(untrained: PointGNN) -> None:
    points = sweep()
    points[0, 3] = 0
    spoilt = np.insert(points, [0, 100, len(points)], [[np.nan, 1, 1, 0], [5, 0, np.inf, 0], [np.nan] * 4], 0)
    spoilt[1, 3] = np.nan  # an unknown intensity counts as none
    a, b = (untrained.observe(frame_of(cloud.astype(np.float32)), Want.RESPONSES) for cloud in (points, spoilt))
    assert a.responses is not None
    assert b.responses is not None
    assert np.array_equal(a.responses.logits, b.responses.logits)
    assert np.array_equal(a.boxes.centre, b.boxes.centre)


def test_only_what_is_wanted_comes(untrained: PointGNN) -> None:
    output = untrained.observe(frame_of(sweep()))
    assert output.responses is None
    assert output.depth is None
    assert output.bev is None


def test_a_frame_without_lidar_is_refused(untrained: PointGNN) -> None:
    with pytest.raises(DataError, match="frame 000000: has no LiDAR points"):
        untrained.observe(frame_of(None))


def test_intensities_on_another_scale_are_refused(untrained: PointGNN) -> None:
    points = sweep() * np.array([1, 1, 1, 255], np.float32)
    with pytest.raises(DataError, match=r"intensity reaches 255, .* trained on 0 to 1"):
        untrained.observe(frame_of(points))


@pytest.mark.slow
def test_cars_of_the_drive_are_found_where_their_labels_are(shared_data: Path) -> None:
    from mono3d_kd_core.io.kitti import KittiLabels

    errors, missed = [], 0
    for number, label in ((7, "001497"), (14, "004587"), (21, "001206"), (31, "001966")):
        frame = sensor_frame(shared_data, f"seq0052_{number:06d}")
        found = pretrained(shared_data, "T1").observe(frame).boxes
        labels = KittiLabels.read(shared_data / "kitti/object/training/label_2" / f"{label}.txt")
        for car in labels.boxes()[labels.type[labels.is_object] == "Car"].centre:
            distance = np.linalg.norm((found.centre - car)[:, :2], axis=1).min()
            if distance < 2:
                errors.append(distance)
            else:
                missed += 1
    assert len(errors) / (len(errors) + missed) > 0.7
    assert np.mean(errors) < 0.3
