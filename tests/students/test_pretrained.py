"""Public weights of backbones: torchvision's names, the layouts of MoCo and DINO, every tensor accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.backbones import Backbone, build_backbone
from mono3d_kd_core.students.pretrained import load_backbone_weights


def backbone(seed: int = 0) -> Backbone:
    torch.manual_seed(seed)
    return build_backbone("resnet50", 0.125)


def with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def moco(query: Backbone, key: Backbone) -> dict[str, Any]:
    """The keys of the published file moco_v2_800ep_pretrain.pth.tar."""
    head = {"fc.0.weight": torch.zeros(2, 2), "fc.2.bias": torch.zeros(2)}
    state = with_prefix("module.encoder_q.", dict(query.state_dict()) | head)
    state |= with_prefix("module.encoder_k.", dict(key.state_dict()) | head)
    state |= {"module.queue": torch.zeros(2, 8), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return {"epoch": 800, "arch": "resnet50", "state_dict": state, "optimizer": {"param_groups": [{"lr": 0.03}]}}


def dino(teacher: Backbone, student: Backbone) -> dict[str, Any]:
    """The keys of a whole DINO checkpoint: student and teacher with their heads."""
    head = {"module.head.mlp.0.weight": torch.zeros(2, 2)}
    return {
        "student": with_prefix("module.backbone.", dict(student.state_dict())) | head,
        "teacher": with_prefix("module.backbone.", dict(teacher.state_dict())) | head,
        "epoch": 100,
    }


def same(a: Backbone, b: Backbone) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.parametrize("kind", ["moco", "dino", "dino backbone alone"])
def test_the_right_network_of_a_file_is_loaded(kind: str, tmp_path: Path) -> None:
    wanted, other, fresh = backbone(1), backbone(2), backbone(3)
    content = {"moco": moco(wanted, other), "dino": dino(wanted, other)}.get(kind, dict(wanted.state_dict()))
    torch.save(content, tmp_path / "weights.pth")
    said = load_backbone_weights(fresh, tmp_path / "weights.pth")
    assert said == {"moco": "MoCo", "dino": "DINO"}.get(kind, "plain names")
    assert same(fresh, wanted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module.encoder_q.conv1.weight": None}, r"MoCo.*lacks conv1\.weight"),
        ({"module.encoder_q.extra": torch.zeros(1)}, "has no place for extra"),
        ({"module.projector.weight": torch.zeros(1)}, r"has no place for module\.projector\.weight"),
        ({"module.encoder_q.conv1.weight": torch.zeros(3)}, r"another shape for conv1\.weight"),
        ({"module.encoder_q.bn1.bias": torch.full((8,), torch.nan)}, r"not finite in bn1\.bias"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Tensor | None], message: str, tmp_path: Path) -> None:
    content = moco(backbone(1), backbone(2))
    content["state_dict"] |= change
    content["state_dict"] = {name: tensor for name, tensor in content["state_dict"].items() if tensor is not None}
    torch.save(content, tmp_path / "moco.pth.tar")
    with pytest.raises(ModelError, match=r"moco\.pth\.tar.*" + message):
        load_backbone_weights(backbone(), tmp_path / "moco.pth.tar")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_public_weights_load_without_the_classifier(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(0)
    trained = build_backbone("resnet18", 0.125)
    state = {**trained.state_dict(), "fc.weight": torch.zeros(10, 64), "fc.bias": torch.zeros(10)}
    # The oldest files of torchvision have no counters of batches.
    state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    path = tmp_path / f"weights{suffix}"
    torch.save(state, path) if suffix == ".pth" else save_file(state, path)
    fresh = build_backbone("resnet18", 0.125)
    load_backbone_weights(fresh, path)
    for name, tensor in trained.state_dict().items():
        torch.testing.assert_close(fresh.state_dict()[name], tensor)


def test_weights_of_another_network_are_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(build_backbone("resnet18", 0.25).state_dict(), path)
    with pytest.raises(ModelError, match=r"weights\.pth.*another shape"):
        load_backbone_weights(build_backbone("resnet18", 0.125), path)
    with pytest.raises(ModelError, match="lacks"):
        load_backbone_weights(build_backbone("dla34", 0.25), path)


class _Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return print, ("code ran",)


def test_a_file_that_would_run_code_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(moco(backbone(1), backbone(2)) | {"args": _Harmful()}, tmp_path / "weights.pth")
    with pytest.raises(ModelError, match="without running code"):
        load_backbone_weights(backbone(), tmp_path / "weights.pth")
    assert "code ran" not in capsys.readouterr().out


def test_what_is_no_file_of_weights_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such weights file"):
        load_backbone_weights(backbone(), tmp_path / "absent.pth")
    torch.save({"epoch": 3}, tmp_path / "numbers.pth")
    with pytest.raises(ModelError, match="no named tensors"):
        load_backbone_weights(backbone(), tmp_path / "numbers.pth")
