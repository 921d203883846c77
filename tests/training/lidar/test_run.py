"""Training a LiDAR teacher: clouds and boxes change together, and a run ends with a bundle that finds cars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.resources import config_dir
from mono3d_kd_core.teachers.pointpillars import PointPillarsConfig
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.lidar.augment import WorldAugmentConfig, change_world
from mono3d_kd_core.training.lidar.clouds import CloudExample, Clouds
from mono3d_kd_core.training.lidar.recipe import PointPillarsRecipe
from mono3d_kd_core.training.lidar.run import TeacherRun, start_from
from mono3d_kd_core.training.recipe import ScheduleConfig
from mono3d_kd_core.training.reference import Reference

RIG = Rig(CameraModel.pinhole(96, 48, 60, 60, 47.5, 23.5), T_CAMERA_BODY)


def write_streets(folder: Path, frames: int) -> Path:
    """Frames with one car each: the points of its rear and side on a flat road."""
    writer = KittiWriter(folder)
    for i in range(frames):
        random = np.random.default_rng(i)
        x, y = random.uniform(7, 16), random.uniform(-3, 3)
        road = np.column_stack([random.uniform(0, 20, 2000), random.uniform(-10, 10, 2000), np.full(2000, -1.73)])
        heights = random.uniform(-1.6, -0.3, 500)
        rear = np.column_stack([np.full(200, x - 1.9), random.uniform(y - 0.7, y + 0.7, 200), heights[:200]])
        side = np.column_stack([random.uniform(x - 1.9, x + 1.9, 300), np.full(300, y - 0.7), heights[200:]])
        xyz = np.concatenate([road, rear, side])
        points = np.column_stack([xyz, np.full(len(xyz), 0.3)]).astype(np.float32)
        frame = SensorFrame(f"{i:06d}", i + 1, np.zeros((48, 96, 3), np.uint8), points, RIG)
        car = Boxes3D(np.array([[x, y, -0.95]]), np.array([[3.9, 1.6, 1.5]]), np.zeros(1), np.array(["Car"]))
        writer.write(frame, KittiLabels.from_boxes(RIG.boxes_in_camera(car), RIG.camera))
    return folder


def test_cloud_and_boxes_change_together() -> None:
    cloud = np.random.default_rng(0).uniform([0, -10, -2, 0], [30, 10, 2, 1], (4000, 4)).astype(np.float32)
    centres, sizes, yaws = [[10.0, 2, 0], [20.0, -5, 0]], np.full((2, 3), 3.0), [0.3, -2.0]
    boxes = Boxes3D(np.array(centres), sizes, np.array(yaws), np.array(["Car", "Car"]))
    reference = Reference(KittiLabels.from_boxes(RIG.boxes_in_camera(boxes), RIG.camera), RIG)
    before = boxes.contains(cloud[:, :3])
    assert before.any(1).all()
    config = WorldAugmentConfig(flip=0.5)
    for seed in range(20):
        changed = change_world(CloudExample("0", cloud, boxes, reference), config, np.random.default_rng(seed))
        np.testing.assert_array_equal(changed.boxes.contains(changed.points[:, :3], 1e-4) & before, before)
        np.testing.assert_array_equal(changed.points[:, 3], cloud[:, 3])
        distance = np.linalg.norm(changed.boxes.centre[0] - changed.boxes.centre[1])
        ratio = distance / np.linalg.norm(boxes.centre[0] - boxes.centre[1])
        assert ratio == pytest.approx(changed.boxes.size[0, 0] / 3.0)


def test_clouds_keep_what_the_camera_sees_and_objects_with_points(tmp_path: Path) -> None:
    source = KittiObjectSource(write_streets(tmp_path / "streets", 3))
    example = Clouds([source], ["Car"])[1]
    frame = source[1]
    assert frame.points is not None
    assert 0 < len(example.points) < len(frame.points)
    assert len(example.boxes) == 1
    assert len(Clouds([source], ["Pedestrian"])[1].boxes) == 0
    assert len(Clouds([source], ["Car"], min_points=100_000)[1].boxes) == 0


def test_clouds_stay_in_memory_as_far_as_there_is_room(tmp_path: Path) -> None:
    source = KittiObjectSource(write_streets(tmp_path / "streets", 3))
    anew, kept = Clouds([source], ["Car"]), Clouds([source], ["Car"], cache_gib=1)
    assert anew[1] is not anew[1]
    assert kept[1] is kept[1]
    np.testing.assert_array_equal(kept[1].points, anew[1].points)
    room = 1.5 * kept[0].points.nbytes / 2**30
    some = Clouds([source], ["Car"], cache_gib=room)
    assert [some[i] is some[i] for i in range(3)] == [True, False, False]


@pytest.mark.slow
def test_a_run_ends_with_a_teacher_that_finds_cars(tmp_path: Path) -> None:
    streets = write_streets(tmp_path / "streets", 16)
    network = PointPillarsConfig(
        low=(0.0, -10.24, -3.0), high=(20.48, 10.24, 1.0), pillar=0.32, width=16, layers=(1, 1), strides=(2, 2),
        filters=(16, 32), up_strides=(1, 2), up_filters=(16, 16), max_points=8,
    )  # fmt: skip
    # Long enough for the slow running statistics (momentum 0.01) to settle.
    schedule = ScheduleConfig(epochs=120, batch_size=4, learning_rate=3e-3, weight_decay=0.01, validate_every=120)
    recipe = PointPillarsRecipe(teacher=network, schedule=schedule, augment=WorldAugmentConfig(rotation=0.1))
    bundle = TeacherRun(recipe, [streets], [streets], tmp_path / "run").train(quiet=True)
    assert bundle.card.metrics["recall_40m_Car"] > 0.8
    found = load_teacher(bundle.path).observe(KittiObjectSource(streets)[0]).boxes
    assert "Car" in found.label


@pytest.mark.parametrize("name", [file.stem for file in sorted((config_dir() / "recipes").glob("*.yaml"))])
def test_packaged_recipes_of_teachers_build_their_networks(name: str, tmp_path: Path) -> None:
    run = planned_run(name, None, [tmp_path], [], tmp_path / "run")
    if not isinstance(run, TeacherRun):
        pytest.skip("trains a student")
    network = run.recipe.network()
    assert network.architecture == run.recipe.architecture
    assert set(run.recipe.sampling) <= set(network.classes)


def test_a_run_can_start_from_a_like_teachers_bundle_and_from_no_other(tmp_path: Path) -> None:
    run = planned_run("pointpillars_small", None, [tmp_path], [], tmp_path / "run")
    assert isinstance(run, TeacherRun)
    trained, fresh = run.recipe.network(), run.recipe.network()
    card = Card(kind="teacher", architecture="pointpillars", classes=list(trained.classes))
    start_from(fresh, save_bundle(tmp_path / "bundle", card, trained.state_dict()).path)
    assert all(torch.equal(a, b) for a, b in zip(trained.state_dict().values(), fresh.state_dict().values(), strict=True))
    other = planned_run("second_small", None, [tmp_path], [], tmp_path / "run")
    assert isinstance(other, TeacherRun)
    with pytest.raises(ModelError, match="another shape"):
        start_from(other.recipe.network(), tmp_path / "bundle")


def test_the_recipe_decides_what_is_trained(tmp_path: Path) -> None:
    teacher = planned_run("pointpillars_small", ["schedule.epochs=1"], [tmp_path], [], tmp_path / "a")
    assert isinstance(teacher, TeacherRun)
    assert teacher.recipe.schedule.epochs == 1
    with pytest.raises(ModelError, match="pilar"):
        planned_run("pointpillars_small", ["teacher.pilar=0.2"], [tmp_path], [], tmp_path / "a")
