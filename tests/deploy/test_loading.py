"""From a bundle to a model, and what is said when they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.deploy.loading import load_student, load_teacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.point_gnn import PointGNN, PointGNNConfig


def save(path: Path, tensors: dict[str, torch.Tensor] | None = None, **changes: object) -> Path:
    card = {"kind": "teacher", "architecture": "point_gnn", "classes": ["Car"], "config": {"num_steps": 0}, **changes}
    weights = PointGNN(PointGNNConfig(num_steps=0)).state_dict()
    save_bundle(path, Card.model_validate(card), weights if tensors is None else weights | tensors)
    return path


def test_a_teacher_comes_in_evaluation_mode_and_knows_its_fingerprint(tmp_path: Path) -> None:
    torch.manual_seed(0)
    a, b = load_teacher(save(tmp_path / "a")), load_teacher(save(tmp_path / "b"))
    assert isinstance(a, PointGNN)
    assert not a.training
    assert a.config.num_steps == 0
    assert a.fingerprint != b.fingerprint  # other random weights
    assert a.fingerprint == load_teacher(tmp_path / "a").fingerprint


def test_a_teachers_card_says_from_which_score_on_it_is_to_be_trusted(tmp_path: Path) -> None:
    assert load_teacher(save(tmp_path / "a")).trusted_score == 0
    assert load_teacher(save(tmp_path / "b", score_threshold=5.0)).trusted_score == 5


def test_settings_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    weights = PointGNN(PointGNNConfig(num_steps=0)).state_dict()
    a = load_teacher(save(tmp_path / "a", weights))
    b = load_teacher(save(tmp_path / "b", weights, config={"num_steps": 0, "x_bias": 0.035}))
    assert a.fingerprint != b.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"architecture": "point_gmm"}, "unknown teacher architecture point_gmm; did you mean point_gnn?"),
        ({"kind": "student"}, "holds a student, a teacher is needed here"),
        ({"config": {"num_step": 0}}, "config: unknown key num_step, did you mean num_steps?"),
        ({"config": {"num_steps": "many"}}, "config: num_steps: Input should be a valid integer"),
        (
            {"config": {"num_steps": 1}},
            "do not fit the architecture point_gnn: network.steps.0.edge_mlp.0.bias is missing",
        ),
        ({"tensors": {"extra": torch.zeros(1)}}, "extra has no place"),
        (
            {"tensors": {"network.classifier.0.bias": torch.zeros(63)}},
            r"network.classifier.0.bias is (63,), expected (64,)",
        ),
    ],
)
def test_what_does_not_fit_is_said_in_words(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError) as error:
        load_teacher(save(tmp_path / "b", **changes))  # type: ignore[arg-type]
    assert message in str(error.value)


def test_a_teacher_is_no_student(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds a teacher, a student is needed here"):
        load_student(save(tmp_path / "b"))
