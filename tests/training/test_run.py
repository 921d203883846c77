"""A whole run: it learns, resumes as if never stopped, and refuses what it must."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.training.module import TrainingModule, learning_rate_at
from mono3d_kd_core.training.recipe import Recipe
from mono3d_kd_core.training.run import Run
from tests.training.conftest import write_world


def losses(out: Path) -> list[tuple[int, float]]:
    with open(out / "logs" / "csv" / "metrics.csv") as stream:
        return [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(stream) if row.get("loss")]


@pytest.fixture(autouse=True)
def log_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    import lightning.pytorch as pl

    plain = pl.Trainer.__init__
    monkeypatch.setattr(pl.Trainer, "__init__", lambda self, **kw: plain(self, **{**kw, "log_every_n_steps": 1}))


def test_a_run_ends_with_a_bundle_that_detects(world: Path, recipe: Recipe, tmp_path: Path) -> None:
    out = tmp_path / "run"
    bundle = Run(recipe, [world], [world], out).train(quiet=True)
    assert bundle.card.classes == ["Car"]
    assert bundle.card.camera is not None
    assert (bundle.card.camera.width, bundle.card.camera.fx) == (192, 108)
    assert "recall_40m_Car" in bundle.card.metrics
    assert bundle.card.config["reference_focal"] == pytest.approx(108)
    assert not list((out / "cache").iterdir())
    assert list((out / "logs" / "tensorboard").glob("events*"))
    assert Recipe.model_validate(yaml.safe_load((out / "recipe.yaml").read_text())) == recipe
    frame = KittiObjectSource(world)[0]
    assert Detector.load(out / "bundle", score_threshold=0.0).detect(frame.image, frame.rig.camera).frame == "camera"


@pytest.mark.slow
@pytest.mark.parametrize("ema", [None, 0.9])
def test_resuming_equals_never_having_stopped(
    world: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ema: float | None
) -> None:
    schedule = recipe.schedule.model_copy(update={"epochs": 4, "ema": ema})
    recipe = recipe.model_copy(update={"schedule": schedule})
    whole = Run(recipe, [world], [world], tmp_path / "whole").train(quiet=True)

    step = TrainingModule.training_step

    def interrupted(self: TrainingModule, batch: object, index: int) -> torch.Tensor:
        if self.current_epoch == 2 and index == 1:
            raise KeyboardInterrupt
        return step(self, batch, index)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(TrainingModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Run(recipe, [world], [world], tmp_path / "stopped").train(quiet=True)
    before = losses(tmp_path / "stopped")
    resumed = Run(recipe, [world], [world], tmp_path / "stopped").train(resume=True, quiet=True)

    expected, after = losses(tmp_path / "whole"), losses(tmp_path / "stopped")
    assert len(expected) == 16
    assert before[:8] == expected[:8]
    assert after[-8:] == expected[8:]
    for name, tensor in whole.tensors.items():
        torch.testing.assert_close(resumed.tensors[name], tensor, rtol=0, atol=0)


def test_a_loss_that_is_no_number_stops_with_the_frames_named(
    world: Path, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "mono3d_kd_core.students.keypoint.KeypointStudent.losses",
        lambda self, output, *_: {"depth": output.heatmap.sum() * float("nan")},
    )
    with pytest.raises(ModelError, match=r"not finite at step 0 .*depth nan, frames 00000\d, 00000\d"):
        Run(recipe, [world], [], tmp_path / "run").train(quiet=True)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1 + 1",))


def test_a_checkpoint_that_holds_code_is_refused(world: Path, recipe: Recipe, tmp_path: Path) -> None:
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    torch.save({"state_dict": {}, "extra": Evil()}, last)
    with pytest.raises(ModelError, match="holds more than tensors"):
        Run(recipe, [world], [], tmp_path / "run").train(resume=True, quiet=True)


def test_a_run_is_not_overwritten_and_nothing_is_not_resumed(world: Path, recipe: Recipe, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no checkpoint to resume"):
        Run(recipe, [world], [], tmp_path / "run").train(resume=True, quiet=True)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir(parents=True)
    last.touch()
    with pytest.raises(ModelError, match="holds a run already"):
        Run(recipe, [world], [], tmp_path / "run").train(quiet=True)


def test_a_student_starts_from_a_bundle(world: Path, recipe: Recipe, tmp_path: Path) -> None:
    one = recipe.model_copy(update={"schedule": recipe.schedule.model_copy(update={"epochs": 1})})
    first = Run(one, [world], [], tmp_path / "first").train(quiet=True)
    still = one.schedule.model_copy(update={"learning_rate": 1e-12, "seed": 5})
    again = one.model_copy(update={"weights": first.path, "schedule": still})
    second = Run(again, [world], [], tmp_path / "second").train(quiet=True)
    name = "head.heatmap.0.weight"
    np.testing.assert_allclose(second.tensors[name], first.tensors[name], atol=1e-3)
    wider = again.model_copy(update={"student": one.student.model_copy(update={"head_channels": 16})})
    with pytest.raises(ModelError, match="another shape"):
        Run(wider, [world], [], tmp_path / "third").train(quiet=True)
    # Its backbone alone suits other heads, and leaves them as they would be.
    part = wider.model_copy(update={"weights_of": "backbone"})
    third = Run(part, [world], [], tmp_path / "fourth").train(quiet=True)
    name = "backbone.layer1.0.conv1.weight"
    np.testing.assert_allclose(third.tensors[name], first.tensors[name], atol=1e-3)
    absent = again.model_copy(update={"weights": tmp_path / "absent"})
    with pytest.raises(ModelError, match=r"absent: no such file or bundle"):
        Run(absent, [world], [], tmp_path / "fifth").train(quiet=True)


@pytest.mark.parametrize("every", [2, 5])
def test_the_card_speaks_of_the_last_weights_whatever_the_rhythm_of_validation(
    world: Path, recipe: Recipe, tmp_path: Path, every: int
) -> None:
    cards = []
    for rhythm in (1, every):
        schedule = recipe.schedule.model_copy(update={"epochs": 3, "validate_every": rhythm})
        run = Run(recipe.model_copy(update={"schedule": schedule}), [world], [world], tmp_path / str(rhythm))
        cards.append(run.train(quiet=True).card)
    assert cards[0].config["calibration"] == cards[1].config["calibration"]
    assert cards[0].metrics == cards[1].metrics


@pytest.mark.slow
def test_it_learns_a_simple_world_from_scored_targets(recipe: Recipe, tmp_path: Path) -> None:
    world = write_world(tmp_path / "targets", 24, scored=True)
    schedule = recipe.schedule.model_copy(update={"epochs": 50, "batch_size": 6, "validate_every": 50})
    augment = recipe.augment.model_copy(update={"flip": 0.0, "colour": 0.0, "scale_crop": 0.0})
    wider = recipe.student.model_copy(update={"width": 0.25, "neck_channels": 16, "head_channels": 16})
    recipe = recipe.model_copy(update={"schedule": schedule, "augment": augment, "student": wider})
    bundle = Run(recipe, [world], [world], tmp_path / "run").train(quiet=True)
    assert bundle.card.metrics["recall_40m_Car"] > 0.7


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [learning_rate_at(step, 100, 0.1) for step in range(100)]
    assert rates[9] == rates[10] == pytest.approx(1.0)
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.01
