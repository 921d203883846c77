"""Runs of ADD on the bird's-eye student: both stages from one command, and a bundle like any bird's-eye student's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.resources import resource
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.privileged.add_bev import AddBevRecipe, AddBevRun
from tests.distillation.test_add_bev import TINY
from tests.training.conftest import write_world


def recipe(**changes: object) -> AddBevRecipe:
    one = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
    content = {
        "architecture": "add_bev", "student": TINY, "teacher": {"schedule": one}, "schedule": one,
        "teach": {"depth": "objects"},
    }  # fmt: skip
    return AddBevRecipe.model_validate(content | changes)


def upright(root: Path, destination: Path) -> Path:
    """Copy a world, with the LiDAR's frame as it should be: x ahead and z up."""
    source, writer = KittiObjectSource(root), KittiWriter(destination)
    for index in range(len(source)):
        frame = source[index]
        writer.write(replace(frame, rig=Rig(frame.rig.camera, T_CAMERA_BODY)), source.labels(index))
    return destination


def test_one_command_trains_teacher_and_student(tmp_path: Path) -> None:
    train = upright(write_world(tmp_path / "flat", 8), tmp_path / "train")
    val = upright(write_world(tmp_path / "flat_val", 4, seed=1), tmp_path / "val")
    run = AddBevRun(recipe(), [train], [val], tmp_path / "run")
    bundle = run.train(quiet=True)
    teacher = load_bundle(tmp_path / "run" / "teacher" / "bundle").card
    assert (teacher.kind, teacher.architecture) == ("teacher", "bev_with_depth")
    assert np.allclose(bundle.card.config["pose"], T_CAMERA_BODY[:3].ravel())
    assert bundle.card.provenance["teacher_sha256"] == teacher.weights_sha256
    assert {"recall_40m_Car", "precision_40m_Car"} <= bundle.card.metrics.keys()
    # Nothing but the student.
    alone = BevStudent(BevConfig.model_validate(bundle.card.config))
    assert bundle.tensors.keys() == alone.state_dict().keys()
    frame = KittiObjectSource(val)[0]
    found = Detector.load(bundle.path, score_threshold=0.0).detect(frame.image, frame.rig.camera)
    assert found.frame == "camera"

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("model.safetensors")}
    run.train(resume=True, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in written} == written

    given = {"bundle": tmp_path / "run" / "teacher" / "bundle"}
    finer = TINY.model_copy(update={"depth_bins": 30})
    with pytest.raises(ModelError, match=r"student\.depth_bins is 30, the depth teacher's 20"):
        AddBevRun(recipe(student=finer, teacher=given), [train], [], tmp_path / "fine").train(quiet=True)
    stranger = {"bundle": bundle.path}
    with pytest.raises(ModelError, match="holds a bev, but this method's teacher is a bev_with_depth"):
        AddBevRun(recipe(teacher=stranger), [train], [], tmp_path / "strange").train(quiet=True)


def test_both_networks_start_from_what_the_recipe_names(tmp_path: Path) -> None:
    train = upright(write_world(tmp_path / "flat", 4), tmp_path / "train")
    still = {"epochs": 1, "batch_size": 4, "learning_rate": 1e-9}
    first = AddBevRun(recipe(), [train], [], tmp_path / "first").train(quiet=True)
    start = {"weights": first.path, "schedule": still, "teacher": {"schedule": still}}
    AddBevRun(recipe(**start), [train], [], tmp_path / "next").train(quiet=True)
    weights = {key for key in first.tensors if "running" not in key and "num_batches" not in key}
    for stage in ("teacher", "student"):
        begun = load_bundle(tmp_path / "next" / stage / "bundle").tensors
        same = {key for key in weights if torch.allclose(begun[key], first.tensors[key], atol=1e-4)}
        # All that sees the picture, its depth too, but not what sees the map.
        assert {key for key in weights if key.startswith("image_network.")} <= same
        assert not weights <= same


def test_the_student_has_the_shape_of_another_where_the_recipe_is_silent() -> None:
    said = {"image_network": "resnet18", "input_height": 64, "input_width": 192, "feature_channels": 8}
    teacher = resource("config/models/pointpillars_sim")
    like = AddBevRun(recipe(student=said, shape_of=teacher), [], [], Path("run")).student_config
    assert (like.cell, like.low, like.high) == (0.2, (0.0, -25.6, -3.0), (51.2, 25.6, 1.0))
    assert (like.image_network, like.input_height, like.feature_channels) == ("resnet18", 64, 8)
    keypoint = AddBevRun(recipe(shape_of=resource("config/models/keypoint_sim")), [], [], Path("run"))
    with pytest.raises(ModelError, match="keypoint_sim"):
        keypoint.student_config  # noqa: B018


@pytest.mark.parametrize("name", ["add_bev", "add_bev_small"])
def test_packaged_recipes_are_plans(name: str, tmp_path: Path) -> None:
    plan = planned_run(name, None, [tmp_path], [], tmp_path / "run")
    assert isinstance(plan, AddBevRun)
    BevStudent(plan.student_config)
