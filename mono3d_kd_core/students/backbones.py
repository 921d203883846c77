"""Backbones by name, and their public ImageNet weights from a file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.dla import Dla34
from mono3d_kd_core.students.resnet import BasicBlock, Bottleneck, ResNet

BackboneName = Literal["resnet18", "resnet34", "resnet50", "dla34"]
Backbone = ResNet | Dla34


def build_backbone(name: BackboneName, width: float = 1.0) -> Backbone:
    """Return a backbone with random weights; it maps images (B,3,H,W) to features by stride {4, 8, 16, 32}."""
    if name == "dla34":
        return Dla34(width)
    if name == "resnet50":
        return ResNet(Bottleneck, (3, 4, 6, 3), width)
    return ResNet(BasicBlock, (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3), width)


def load_backbone_weights(backbone: nn.Module, path: Path) -> None:
    """Load public ImageNet weights: a .pth of torchvision (ResNet) or timm (DLA), or a .safetensors of either.

    The classifier in the file is left aside; everything else must fit, name for name and shape for shape. Nothing is
    unpickled but tensors. Raises ModelError.
    """
    state = {name: tensor for name, tensor in read_tensors(path).items() if not name.startswith(("fc.", "head.fc."))}
    expected = backbone.state_dict()
    # Files written before batch normalisation counted its batches lack the counters.
    missing = sorted(name for name in expected.keys() - state.keys() if not name.endswith("num_batches_tracked"))
    unknown = sorted(state.keys() - expected.keys())
    misfits = sorted(name for name in expected.keys() & state.keys() if expected[name].shape != state[name].shape)
    for problem, names in (("lacks", missing), ("has the unknown", unknown), ("has another shape for", misfits)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{path}: not the weights of this backbone: the file {problem} {names[0]}{more}")
    backbone.load_state_dict(state, strict=False)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read named tensors from a .safetensors file, or from a .pth/.pt that holds nothing but tensors."""
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise ModelError(f"{path}: not a weights file that can be read without running code ({error})") from error
    content = content.get("state_dict", content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ModelError(f"{path}: expected a mapping of names to tensors")
    return dict(content)
