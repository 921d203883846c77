"""CMKD's checkpoints: named as in the public repository, read without a tensor too many or too few."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from mono3d_kd_core.deploy.importers.cmkd import read
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from tests.students.bev.test_student import CAMERA, SMALL

CONFIG = BevConfig.model_validate(
    SMALL.model_dump() | {"image_network": "deeplab_resnet50", "width": 0.0625, "stride": 8, "lift": "sample"}
)
THEIRS = {
    "image_network.backbone.": "vfe.ffn.ddn.model.backbone.", "image_network.classifier.": "vfe.ffn.ddn.model.classifier.",
    "image_network.reduce.0.": "vfe.ffn.channel_reduce.conv.", "image_network.reduce.1.": "vfe.ffn.channel_reduce.bn.",
    "collapse.0.": "map_to_bev_module.block.conv.", "collapse.1.": "map_to_bev_module.block.bn.",
    "adaptation.0.plain.": "domain_adaptation.layers.0.k1.",
    "adaptation.0.content.": "domain_adaptation.layers.0.scconv.k3.",
    "adaptation.0.out.": "domain_adaptation.layers.0.scconv.k4.",
    "adaptation.0.gate.0.": "domain_adaptation.layers.0.scconv.k2.1.",
    "adaptation.0.gate.1.": "domain_adaptation.layers.0.scconv.k2.2.",
    "adaptation.0.": "domain_adaptation.layers.0.", "backbone_2d.": "backbone_2d.", "dense_head.": "dense_head.",
}  # fmt: skip


@pytest.fixture(scope="module")
def student() -> BevStudent:
    torch.manual_seed(0)
    return BevStudent(CONFIG).eval()


def as_published(student: BevStudent) -> dict[str, torch.Tensor]:
    state = {}
    for name, tensor in student.state_dict().items():
        ours, theirs = next((a, b) for a, b in THEIRS.items() if name.startswith(a))
        state[name.replace(ours, theirs, 1)] = tensor.clone()
    # Their voxels (B,C,Z,Y,X) are flattened channel first, ours height first.
    heights, channels = CONFIG.heights, CONFIG.feature_channels
    ours = state["map_to_bev_module.block.conv.weight"]
    theirs = torch.stack([ours[:, z * channels + c] for c in range(channels) for z in range(heights)], 1)
    state["map_to_bev_module.block.conv.weight"] = theirs
    return state


def write(folder: Path, state: dict[str, torch.Tensor]) -> tuple[Path, Path]:
    extra = {"global_step": torch.zeros(1), "vfe.ffn.ddn.model.aux_classifier.0.weight": torch.zeros(3)}
    torch.save({"epoch": 20, "model_state": state | extra}, folder / "checkpoint.pth")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG.model_dump(mode="json")))
    return folder / "checkpoint.pth", folder / "config.yaml"


def test_an_imported_student_answers_as_it_did(student: BevStudent, tmp_path: Path) -> None:
    imported = read(*write(tmp_path, as_published(student)))
    again = BevStudent(BevConfig.model_validate(imported.card.config)).eval()
    again.load_state_dict(imported.tensors)
    images = torch.randint(0, 255, (1, 3, 32, 96))
    with torch.inference_mode():
        expected, found = student(images, [CAMERA]), again(images, [CAMERA])
    torch.testing.assert_close(found.responses.logits, expected.responses.logits)
    torch.testing.assert_close(found.bev, expected.bev)


def test_the_heights_of_a_channel_lie_together_in_the_published_weights(student: BevStudent, tmp_path: Path) -> None:
    state = as_published(student)
    weight = torch.zeros_like(state["map_to_bev_module.block.conv.weight"])
    weight[0, 1 * CONFIG.heights + 2] = 1  # output 0 reads channel 1 at height 2
    state["map_to_bev_module.block.conv.weight"] = weight
    imported = read(*write(tmp_path, state)).tensors["collapse.0.weight"]
    assert imported[0].flatten().nonzero().item() == 2 * CONFIG.feature_channels + 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("backbone_2d.blocks.0.1.weight"), "backbone_2d.blocks.0.1.weight is missing"),
        (lambda state: state.update({"roi_head.weight": torch.zeros(1)}), "roi_head.weight has no place"),
        (lambda state: state.update({"dense_head.conv_cls.bias": torch.zeros(3)}), "is \\(3,\\), expected \\(18,\\)"),
    ],
)
def test_every_tensor_is_accounted_for(student: BevStudent, tmp_path: Path, change, words: str) -> None:  # type: ignore[no-untyped-def]
    state = as_published(student)
    change(state)
    with pytest.raises(ModelError, match=words):
        read(*write(tmp_path, state))
