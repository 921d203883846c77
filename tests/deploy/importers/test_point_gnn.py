"""Published weights become a bundle: every array in its place, or a refusal that names it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from mono3d_kd_core.cli import app
from mono3d_kd_core.deploy.importers.point_gnn import read
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.point_gnn import PointGNN

Arrays = dict[str, np.ndarray]


def dense(arrays: Arrays, scope: str, *widths: int) -> None:
    """Add a stack of dense layers under the original's names."""
    random = np.random.default_rng(len(arrays))
    for i, (inputs, outputs) in enumerate(pairwise(widths)):
        name = f"{scope}/fully_connected" + (f"_{i}" if i else "")
        arrays[f"{name}/weights"] = random.normal(size=(inputs, outputs)).astype(np.float32)
        arrays[f"{name}/biases"] = random.normal(size=outputs).astype(np.float32)


def original(num_steps: int) -> Arrays:
    """Return weights by the table of the published checkpoints."""
    arrays: Arrays = {}
    dense(arrays, "layer1/extract_vertex_features", 4, 32, 64, 128, 300)
    dense(arrays, "layer1/combined_features", 300, 300, 300)
    for number in range(2, 2 + num_steps):
        dense(arrays, f"layer{number}", 300, 64, 3)
        dense(arrays, f"layer{number}/extract_vertex_features", 303, 300, 300)
        dense(arrays, f"layer{number}/combined_features", 300, 300, 300)
    dense(arrays, "output/predictor/cls", 300, 64, 4)
    for kind in range(4):
        dense(arrays, f"output/predictor/loc/cls_{kind}", 300, 64, 64, 7)
    return arrays


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "weights.npz"


@pytest.mark.parametrize(("num_steps", "arrays", "numbers"), [(0, 40, 344_932), (1, 52, 726_491), (2, 64, 1_108_050)])
def test_sizes_are_those_published(file: Path, num_steps: int, arrays: int, numbers: int) -> None:
    np.savez(file, **original(num_steps))
    imported = read(file)
    assert imported.card.config["num_steps"] == num_steps
    assert len(imported.tensors) == arrays
    assert sum(tensor.numel() for tensor in imported.tensors.values()) == numbers


def test_weights_are_transposed_into_their_place(file: Path) -> None:
    arrays = original(1)
    np.savez(file, **arrays)
    tensors = read(file).tensors
    name = "layer2/extract_vertex_features/fully_connected_1/weights"
    assert np.array_equal(tensors["network.steps.0.edge_mlp.1.weight"], arrays[name].T)
    assert np.array_equal(
        tensors["network.localisers.3.4.bias"], arrays["output/predictor/loc/cls_3/fully_connected_2/biases"]
    )


def test_from_the_command_line_to_a_teacher(file: Path, tmp_path: Path) -> None:
    np.savez(file, **original(1))
    run = CliRunner().invoke(app, ["import-weights", str(file), "--as", "point_gnn", "--out", str(tmp_path / "bundle")])
    assert run.exit_code == 0, run.output
    assert "52 arrays, 726491 numbers, none left over" in run.output
    assert "CC BY-NC-SA" in run.output
    teacher = load_teacher(tmp_path / "bundle")
    assert isinstance(teacher, PointGNN)
    assert teacher.classes == ("Car",)
    assert len(teacher.fingerprint) == 64
    assert torch.equal(
        teacher.state_dict()["network.classifier.2.bias"], read(file).tensors["network.classifier.2.bias"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer1/combined_features/fully_connected/biases": None},
            "layer1/combined_features/fully_connected/biases is missing",
        ),
        (
            {"output/predictor/loc/cls_4/fully_connected/biases": np.zeros(64, "f4")},
            r"cls_4/fully_connected/biases has no place",
        ),
        (
            {"output/predictor/cls/fully_connected/biases": np.zeros(63, "f4")},
            r"float32 \(63,\), expected float32 \(64,\)",
        ),
        ({"output/predictor/cls/fully_connected/biases": np.zeros(64, int)}, r"is int64 \(64,\), expected float32"),
        ({"output/predictor/cls/fully_connected/biases": np.full(64, np.nan)}, "holds a value that is not finite"),
        ({"layer3/fully_connected/biases": np.zeros(64, "f4")}, "layer3/fully_connected/weights is missing"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(file: Path, change: dict[str, np.ndarray | None], message: str) -> None:
    arrays = {name: array for name, array in (original(1) | change).items() if array is not None}
    np.savez(file, **arrays)
    with pytest.raises(ModelError, match=r"weights\.npz: .*" + message):
        read(file)


def test_code_in_the_file_is_not_run(file: Path) -> None:
    np.savez(file, anything=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(ModelError, match=r"is not an \.npz of plain arrays"):
        read(file)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"text"])
def test_another_file_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ModelError, match=r"weights\.npz: is not an \.npz"):
        read(file)


def test_an_unknown_kind_names_the_known(tmp_path: Path) -> None:
    run = CliRunner().invoke(app, ["import-weights", "x", "--as", "pointgnn", "--out", str(tmp_path)])
    assert "unknown; known are cmkd, openpcdet, point_gnn" in str(run.exception)
