"""KITTI's figures of a validation: those of the evaluation on files, wherever the boxes come from."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch import LightningModule

from mono3d_kd_core.evaluation.inputs import read_tables
from mono3d_kd_core.evaluation.kitti_ap import evaluate_kitti
from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import frame_ids
from mono3d_kd_core.students.keypoint import KeypointStudent
from mono3d_kd_core.training.average_precision import AveragePrecision
from mono3d_kd_core.training.recipe import Recipe
from mono3d_kd_core.training.reference import Reference
from mono3d_kd_core.training.run import Run
from tests.training.conftest import CAMERA, write_world

RIG = Rig(CameraModel.pinhole(1242, 375, 720, 720, 620, 187), T_CAMERA_BODY)

LARGE = CAMERA.resized(3 * CAMERA.width, 3 * CAMERA.height)


def street(seed: int) -> Boxes3D:
    """Three cars and a cyclist before the camera, in the frame "camera"."""
    random = np.random.default_rng(seed)
    x, y = np.array([8.0, 15.0, 22.0, 30.0]) + random.uniform(-1, 1, 4), random.uniform(-4, 4, 4)
    size = np.array([[4.0, 1.7, 1.6]] * 3 + [[1.8, 0.6, 1.7]])
    label = np.array(["Car"] * 3 + ["Cyclist"])
    return Boxes3D(np.column_stack([x, y, np.full(4, -0.9)]), size, random.uniform(-3, 3, 4), label, frame="camera")


def reference(boxes: Boxes3D) -> Reference:
    return Reference(KittiLabels.from_boxes(boxes, RIG.camera, scored=False), RIG)


def for_one_epoch(recipe: Recipe) -> Recipe:
    return recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": 1})})


@pytest.mark.parametrize("sensor", ["camera", "lidar"])
def test_a_perfect_detector_of_either_sensor_has_100(sensor: str) -> None:
    meter = AveragePrecision(["Cyclist", "Car", "Tram"])
    frames = [street(seed) for seed in range(60)]
    meter.add([frame if sensor == "camera" else RIG.boxes_in_lidar(frame) for frame in frames], map(reference, frames))
    figures = meter.figures()
    assert set(figures) == {
        f"{group}/{title}_{name}_{level}"
        for group in ("val", "val_loose")
        for title in ("AP3D", "APBEV")
        for name in ("Car", "Cyclist")
        for level in ("easy", "moderate", "hard")
    }
    assert list(figures.values()) == pytest.approx([100] * len(figures))


def test_a_car_off_by_a_third_passes_the_looser_overlap_only() -> None:
    meter = AveragePrecision(["Car"])
    frames = [street(seed) for seed in range(60)]
    shifted = [replace(frame, size=frame.size * [0.6, 1, 1]) for frame in frames]
    meter.add(shifted, map(reference, frames))
    assert meter.figures()["val/AP3D_Car_moderate"] == 0
    assert meter.figures()["val_loose/AP3D_Car_moderate"] == pytest.approx(100)
    meter.clear()
    assert meter.figures() == {}


def test_rows_that_a_target_store_hardly_believes_need_not_be_found() -> None:
    frames = [street(seed) for seed in range(60)]
    believed = [KittiLabels.from_boxes(frame, RIG.camera).with_score([9, 9, 1, 9]) for frame in frames]
    for found, expected in (([0, 1], 100), ([0, 1, 2], 100), ([0, 2], 50)):
        meter = AveragePrecision(["Car"])
        meter.add([frame[found] for frame in frames], [Reference.of(rows, RIG, min_score=5.0) for rows in believed])
        assert meter.figures()["val/AP3D_Car_hard"] == pytest.approx(expected, abs=2)


def test_a_run_logs_what_the_command_says_of_the_files(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The student is made to know the labels but for a little; the picture that it is shown is a third as wide and high."""
    world = write_world(tmp_path / "world", 40, camera=LARGE)
    source = KittiObjectSource(world)
    answers = []
    for index in range(len(source)):
        boxes, random = source.labels(index).boxes(), np.random.default_rng(index)
        centre = boxes.centre + random.normal(0, 0.1, boxes.centre.shape)
        answers.append(replace(boxes, centre=centre, score=random.uniform(0, 1, len(boxes))))
        rows = KittiLabels.from_boxes(answers[-1], source[index].rig.camera)
        rows.write(tmp_path / "found" / f"{source.ids[index]}.txt")
    upcoming = iter(answers)
    monkeypatch.setattr(KeypointStudent, "decode", lambda self, output, cameras: [next(upcoming) for _ in cameras])
    logged: dict[str, float] = {}
    monkeypatch.setattr(LightningModule, "log_dict", lambda self, values, **_: logged.update(values))
    Run(for_one_epoch(recipe), [world], [world], tmp_path / "run").train(quiet=True)

    ids = frame_ids(tmp_path / "found")
    expected = evaluate_kitti(*read_tables(world, tmp_path / "found", ids))
    for title, metric in (("AP3D", "3d@0.7"), ("APBEV", "bev@0.7")):
        for level in ("easy", "moderate", "hard"):
            value = expected.ap("Car", metric, level)
            assert logged[f"val/{title}_Car_{level}"] == pytest.approx(value, abs=0.5)
            assert 5 < value < 95


def test_the_figures_reach_the_logs(recipe: Recipe, tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", 4, camera=LARGE)
    Run(for_one_epoch(recipe), [world], [world], tmp_path / "run").train(quiet=True)
    with open(tmp_path / "run" / "logs" / "csv" / "metrics.csv") as stream:
        columns = csv.DictReader(stream).fieldnames or []
    assert {"val/AP3D_Car_moderate", "val/APBEV_Car_easy", "val_loose/AP3D_Car_hard", "val/recall_Car"} <= set(columns)
