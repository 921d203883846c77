"""A student of the public CMKD repository: its checkpoint, parameter by parameter, as a bird's-eye student."""

from __future__ import annotations

import hashlib
import pickle
import re
from pathlib import Path

import torch
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Card
from mono3d_kd_core.deploy.importers import Imported
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.io.settings import read_settings
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent

LICENCE = (
    "Weights: CMKD (Hong, Dai & Ding, ECCV 2022; github.com/Cc-Hy/CMKD), Apache-2.0. They were trained on the KITTI Vision "
    "Benchmark Suite, whose data is licensed CC BY-NC-SA 3.0, for non-commercial use."
)
SCORE_THRESHOLD = 0.1
# The beginning of the repository's names -> ours, within one model.
_NAMES = (
    (r"vfe\.ffn\.ddn\.model\.(backbone|classifier)\.", r"image_network.\1."),
    (r"vfe\.ffn\.channel_reduce\.conv\.", "image_network.reduce.0."),
    (r"vfe\.ffn\.channel_reduce\.bn\.", "image_network.reduce.1."),
    (r"map_to_bev_module\.block\.conv\.", "collapse.0."),
    (r"map_to_bev_module\.block\.bn\.", "collapse.1."),
    (r"domain_adaptation\.layers\.(\d+)\.k1\.(\d)\.", r"adaptation.\1.plain.\2."),
    (r"domain_adaptation\.layers\.(\d+)\.scconv\.k2\.1\.", r"adaptation.\1.gate.0."),
    (r"domain_adaptation\.layers\.(\d+)\.scconv\.k2\.2\.", r"adaptation.\1.gate.1."),
    (r"domain_adaptation\.layers\.(\d+)\.scconv\.k3\.(\d)\.", r"adaptation.\1.content.\2."),
    (r"domain_adaptation\.layers\.(\d+)\.scconv\.k4\.(\d)\.", r"adaptation.\1.out.\2."),
    (r"domain_adaptation\.layers\.(\d+)\.(conv1_a|bn1_a|conv1_b|bn1_b|conv3|bn3)\.", r"adaptation.\1.\2."),
    (r"(backbone_2d|dense_head)\.", r"\1."),
)
_NOT_OURS = re.compile(r"^(model_lidar\..*|(model_img\.)?global_step|.*\.aux_classifier\..*)$")
"""The teacher, a counter of steps, and a classifier that only served the training of the image backbone."""


def read(path: Path, config: Path | None = None) -> Imported:
    """Read a checkpoint of CMKD's image model with anchors; `config` is a YAML of `BevConfig` for other shapes.

    The lift is *sample*, which the weights were trained with. Every tensor of the file must have its place and shape.
    Raises ModelError otherwise.
    """
    settings = BevConfig() if config is None else read_settings(config, BevConfig, ModelError)
    settings = settings.model_copy(update={"lift": "sample"})
    found = {ours: tensor for name, tensor in _tensors(path).items() if (ours := _ours(name, path)) is not None}
    with torch.device("meta"):
        expected = {name: tensor.shape for name, tensor in BevStudent(settings).state_dict().items()}
    _check(path, found, expected)
    found["collapse.0.weight"] = _height_last(found["collapse.0.weight"], settings.heights)
    classes = [kind.name for kind in settings.anchors]
    card = Card(
        kind="student", architecture=BevStudent.architecture, config=settings.model_dump(mode="json"), classes=classes,
        score_threshold=SCORE_THRESHOLD,
        provenance={"imported_from": path.name, "imported_sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        licence=LICENCE,
    )  # fmt: skip
    return Imported(card, found)


def _tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ModelError(f"{path}: no such file")
    try:
        content = torch.load(path, "cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: cannot be read without running code: {error}") from error
    state = content.get("model_state", content) if isinstance(content, dict) else content
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: expected the repository's checkpoint: named tensors, or those under model_state")
    return dict(state)


def _ours(name: str, path: Path) -> str | None:
    """Return our name of a tensor, None for what a student alone does not have."""
    if _NOT_OURS.match(name):
        return None
    plain = name.removeprefix("model_img.")
    for pattern, replacement in _NAMES:
        ours, hits = re.subn(f"^{pattern}", replacement, plain)
        if hits:
            return ours
    raise ModelError(f"{path}: {name} has no place in a bird's-eye student")


def _check(path: Path, found: dict[str, Tensor], expected: dict[str, torch.Size]) -> None:
    problems = [f"{name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name} has no place" for name in found.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(found[name].shape)}, expected {tuple(expected[name])}"
        for name in found.keys() & expected.keys()
        if found[name].shape != expected[name]
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(f"{path}: {'; '.join(sorted(problems)[:3])}{more}; does --config describe this network?")


def _height_last(weight: Tensor, heights: int) -> Tensor:
    """Reorder the inputs of the collapse: the repository counts channel by channel, here it is height by height."""
    outputs, inputs = weight.shape[:2]
    return weight.view(outputs, inputs // heights, heights, 1, 1).transpose(1, 2).reshape(weight.shape).contiguous()
