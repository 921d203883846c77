"""Runs of MonoSTL and ADD: all stages from one command, resumed stage by stage, and a bundle like any student's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.resources import config_dir
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.student import QueryStudent
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.lessons import LessonBatch
from mono3d_kd_core.training.privileged.recipe import RECIPES
from mono3d_kd_core.training.privileged.run import PrivilegedModule, PrivilegedRun
from mono3d_kd_core.training.recipe import Recipe
from tests.students.query.tiny import TINY
from tests.training.conftest import write_world


def with_sweeps(root: Path, destination: Path) -> Path:
    """Copy a world and add LiDAR points: the road and a wall. Its rig has the LiDAR in the camera's own frame."""
    source, writer = KittiObjectSource(root), KittiWriter(destination)
    random = np.random.default_rng(0)
    for index in range(len(source)):
        road = np.column_stack([random.uniform(-8, 8, 900), np.full(900, 1.6), random.uniform(4, 30, 900)])
        wall = np.column_stack([random.uniform(-12, 12, 300), random.uniform(-2, 1.6, 300), np.full(300, 30.0)])
        points = np.column_stack([np.concatenate([road, wall]), np.zeros(1200)]).astype(np.float32)
        writer.write(replace(source[index], points=points), source.labels(index))
    return destination


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return with_sweeps(write_world(tmp_path / "plain", 8), tmp_path / "train")


@pytest.fixture
def val(tmp_path: Path) -> Path:
    return with_sweeps(write_world(tmp_path / "plain_val", 4, seed=1), tmp_path / "val")


def run(architecture: str, recipe: Recipe, train: Path, val: Path, out: Path, **changes: object) -> PrivilegedRun:
    one = {"epochs": 1, "batch_size": 4, "learning_rate": 5e-3}
    content = {
        "architecture": architecture, "student": recipe.student, "augment": recipe.augment,
        "teacher": {"schedule": one}, "schedule": one,
    }  # fmt: skip
    return PrivilegedRun(RECIPES[architecture].model_validate(content | changes), [train], [val], out)


def test_one_command_trains_teacher_baseline_and_student(
    recipe: Recipe, train: Path, val: Path, tmp_path: Path
) -> None:
    plan = run("monostl", recipe, train, val, tmp_path / "run", baseline={"epochs": 1, "batch_size": 4})
    bundle = plan.train(quiet=True)
    teacher = load_bundle(tmp_path / "run" / "teacher" / "bundle").card
    assert (teacher.kind, teacher.architecture) == ("teacher", "keypoint_on_depth")
    assert (tmp_path / "run" / "baseline" / "bundle" / "card.yaml").is_file()
    assert bundle.card.provenance["method"] == "monostl"
    assert bundle.card.provenance["teacher_sha256"] == teacher.weights_sha256
    # Nothing but the student.
    alone = KeypointStudent(KeypointConfig.model_validate(bundle.card.config))
    assert bundle.tensors.keys() == alone.state_dict().keys()
    frame = KittiObjectSource(val)[0]
    found = Detector.load(bundle.path, score_threshold=0.0).detect(frame.image, frame.rig.camera)
    assert found.frame == "camera"

    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("model.safetensors")}
    assert len(written) == 3
    plan.train(resume=True, quiet=True)
    assert {path: path.stat().st_mtime_ns for path in written} == written
    other = run("monostl", recipe, train, val, tmp_path / "run", teach={"features": 2.0})
    with pytest.raises(ModelError, match="begun with another recipe"):
        other.train(resume=True, quiet=True)

    given = {"bundle": tmp_path / "run" / "teacher" / "bundle"}
    wider = recipe.student.model_copy(update={"neck_channels": 16})
    misfit = run("monostl", recipe, train, val, tmp_path / "wide", student=wider, teacher=given)
    with pytest.raises(ModelError, match="neck_channels is 16, the depth teacher's 8"):
        misfit.train(quiet=True)
    stranger = run("add", recipe, train, val, tmp_path / "add", teacher=given)
    with pytest.raises(
        ModelError, match="holds a keypoint_on_depth, but this method's teacher is a keypoint_with_depth"
    ):
        stranger.train(quiet=True)


@pytest.mark.slow
def test_a_student_stopped_in_the_middle_goes_on_as_if_it_never_was(
    recipe: Recipe, train: Path, val: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = {"epochs": 2, "batch_size": 4, "learning_rate": 5e-3}
    whole = run("monostl", recipe, train, val, tmp_path / "whole", schedule=two).train(quiet=True)
    given = {"bundle": tmp_path / "whole" / "teacher" / "bundle"}
    stopped = run("monostl", recipe, train, val, tmp_path / "stopped", schedule=two, teacher=given)
    step = PrivilegedModule.training_step

    def interrupted(self: PrivilegedModule, batch: LessonBatch, index: int) -> Tensor:
        if self.current_epoch == 1 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(PrivilegedModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stopped.train(quiet=True)
    resumed = stopped.train(resume=True, quiet=True)
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(resumed.tensors[name], tensor, rtol=0, atol=0)


def test_add_needs_no_lidar_when_boxes_give_the_depth(recipe: Recipe, tmp_path: Path) -> None:
    train, val = write_world(tmp_path / "train", 8), write_world(tmp_path / "val", 4, seed=1)
    with pytest.raises(DataError, match="has no LiDAR points"):
        run("add", recipe, train, val, tmp_path / "lidar").train(quiet=True)
    bundle = run("add", recipe, train, val, tmp_path / "run", teach={"depth": "objects"}).train(quiet=True)
    assert bundle.card.architecture == "keypoint"
    assert not [name for name in bundle.tensors if "attention" in name or "position" in name]


@pytest.mark.parametrize(("method", "teacher"), [("monostl", "query_on_depth"), ("add", "query_with_depth")])
def test_the_query_student_is_taught_by_the_same_command(
    recipe: Recipe, train: Path, val: Path, tmp_path: Path, method: str, teacher: str
) -> None:
    plan = run(f"{method}_query", recipe, train, val, tmp_path / "run", student=TINY)
    bundle = plan.train(quiet=True)
    assert load_bundle(tmp_path / "run" / "teacher" / "bundle").card.architecture == teacher
    assert bundle.card.architecture == "query"
    assert bundle.card.provenance["method"] == f"{method}_query"
    alone = QueryStudent(QueryConfig.model_validate(bundle.card.config))
    assert bundle.tensors.keys() == alone.state_dict().keys()
    frame = KittiObjectSource(val)[0]
    found = Detector.load(bundle.path, score_threshold=0.0).detect(frame.image, frame.rig.camera)
    assert found.frame == "camera"


def test_what_is_validated_on_is_not_trained_on(recipe: Recipe, train: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="on which is validated"):
        run("monostl", recipe, train, train, tmp_path / "run").train(quiet=True)


@pytest.mark.parametrize("method", ["monostl", "add"])
@pytest.mark.parametrize("host", ["", "_small", "_query", "_query_small"])
def test_packaged_recipes_are_plans(method: str, host: str, tmp_path: Path) -> None:
    name = method + host
    assert (config_dir() / "recipes" / f"{name}.yaml").is_file()
    plan = planned_run(name, None, [tmp_path], [], tmp_path / "run")
    assert isinstance(plan, PrivilegedRun)


def test_monodistill_is_a_change_of_two_words(tmp_path: Path) -> None:
    changes = ["teach.weighting=none", "teach.relation=affinity"]
    plan = planned_run("monostl_small", changes, [tmp_path], [], tmp_path / "run")
    assert isinstance(plan, PrivilegedRun)
    assert plan.recipe.model_dump()["teach"]["weighting"] == "none"
