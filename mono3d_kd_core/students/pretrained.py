"""Public weights of image backbones: of ImageNet by torchvision's and timm's names, of MoCo and DINO by theirs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mono3d_kd_core.errors import ModelError

# For each kind of file: where its tensors are, how the wanted names begin, and which names are known and left aside.
_PLAIN = ("", ("fc.", "head.fc."))
_MOCO = ("module.encoder_q.", ("module.encoder_q.fc.", "module.encoder_k.", "module.queue", "module.queue_ptr"))
_DINO = ("module.backbone.", ("module.head.",))
_DINO_LOCAL = ("backbone.", ("head.",))


def load_backbone_weights(backbone: nn.Module, path: Path) -> str:
    """Load a backbone from a .pth or .safetensors of torchvision (ResNet) or timm (DLA), or a checkpoint of MoCo or DINO.

    Of MoCo (v1 or v2) the query encoder is taken, of a whole DINO checkpoint the teacher; classifiers, momentum encoder,
    queue and heads are left aside. Every other tensor must have its place and shape. Nothing is unpickled but tensors and
    plain values.
    Returns what the file was; raises ModelError, naming tensors.
    """
    kind, state = _recognised(path, _content(path))
    prefix, aside = {"MoCo": _MOCO, "DINO": _DINO, "DINO (one process)": _DINO_LOCAL}.get(kind, _PLAIN)
    found: dict[str, Tensor] = {}
    unknown = []
    for name, value in state.items():
        if name.startswith(aside):
            continue
        if name.startswith(prefix):
            found[name.removeprefix(prefix)] = value
        else:
            unknown.append(name)
    fill(backbone, found, f"{path} ({kind})", unknown)
    return kind


def fill(backbone: nn.Module, found: dict[str, Tensor], where: str, unknown: list[str] | None = None) -> None:
    """Copy tensors into a backbone; each must have its place and shape, but for counters of batches that may lack.

    Raises ModelError, naming the first tensor of each kind of misfit.
    """
    expected = backbone.state_dict()
    missing = sorted(name for name in expected.keys() - found.keys() if not name.endswith("num_batches_tracked"))
    left = sorted(found.keys() - expected.keys()) + sorted(unknown or [])
    shapes = [name for name in sorted(expected.keys() & found.keys()) if expected[name].shape != found[name].shape]
    bad = [name for name in sorted(expected.keys() & found.keys()) if not torch.isfinite(found[name]).all()]
    for problem, names in (
        ("lacks", missing), ("has no place for", left), ("has another shape for", shapes), ("is not finite in", bad)
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(f"{where}: not the weights of this backbone: it {problem} {names[0]}{more}")
    backbone.load_state_dict(found, strict=False)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ModelError(f"{path}: no such weights file")
    try:
        content: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(
            f"{path}: not a weights file that can be read without running code ({first}). Where you trust it, make a file "
            'of its tensors alone, such as torch.save(checkpoint["teacher"], FILE)'
        ) from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected a mapping of names to tensors")
    return content


def _recognised(path: Path, content: dict[str, Any]) -> tuple[str, dict[str, Tensor]]:
    """Return what kind of file it is, and its named tensors."""
    teacher = content.get("teacher")
    state: Any = teacher if isinstance(teacher, dict) else content.get("state_dict", content)
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: holds no named tensors, neither plainly nor under state_dict or teacher")
    names = list(state)
    if any(name.startswith("module.encoder_q.") for name in names):
        return "MoCo", state
    if any(name.startswith("module.backbone.") for name in names):
        return "DINO", state
    if any(name.startswith("backbone.") for name in names):
        return "DINO (one process)", state
    return "plain names", state
