"""Runs of the query student: the same command and the same bundle as the keypoint student's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.data import Batch
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.recipe import QueryRecipe
from mono3d_kd_core.training.run import Run
from tests.students.query.tiny import TINY


@pytest.fixture
def query_recipe() -> QueryRecipe:
    schedule = {"epochs": 2, "batch_size": 4, "learning_rate": 1e-3}
    return QueryRecipe.model_validate({"architecture": "query", "student": TINY, "schedule": schedule})


def test_a_run_ends_with_a_bundle_that_detects(world: Path, query_recipe: QueryRecipe, tmp_path: Path) -> None:
    bundle = Run(query_recipe, [world], [world], tmp_path / "run").train(quiet=True)
    assert bundle.card.architecture == "query"
    assert bundle.card.config["reference_focal"] == pytest.approx(108)
    frame = KittiObjectSource(world)[0]
    found = Detector.load(bundle.path, score_threshold=0.0).detect(frame.image, frame.rig.camera)
    assert len(found) > 0


@pytest.mark.slow
def test_resuming_equals_never_having_stopped(
    world: Path, query_recipe: QueryRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Run(query_recipe, [world], [world], tmp_path / "whole").train(quiet=True)
    step = TrainingModule.training_step

    def interrupted(self: TrainingModule, batch: Batch, index: int) -> torch.Tensor:
        if self.current_epoch == 1 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Run(query_recipe, [world], [world], tmp_path / "stopped").train(quiet=True)
    resumed = Run(query_recipe, [world], [world], tmp_path / "stopped").train(resume=True, quiet=True)
    for name, tensor in whole.tensors.items():  # dropout included
        torch.testing.assert_close(resumed.tensors[name], tensor, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["query_small", "query_resnet50"])
def test_packaged_recipes_are_plans(name: str, tmp_path: Path) -> None:
    plan = planned_run(name, None, [tmp_path], [], tmp_path / "run")
    assert isinstance(plan, Run)
    assert isinstance(plan.recipe, QueryRecipe)
