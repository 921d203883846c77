"""The frozen image teacher: it never learns, and dilation gives finer maps without changing what strides would show."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.distillation.image_teacher import ImageTeacher, ImageTeacherConfig, dilate
from mono3d_kd_core.students.backbones import BackboneName, build_backbone
from mono3d_kd_core.students.resnet import ResNet


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
@pytest.mark.parametrize("stride", [4, 8, 16])
def test_a_dilated_map_holds_the_strided_one(name: BackboneName, stride: int) -> None:
    torch.manual_seed(0)
    plain, dilated = (build_backbone(name, 0.125).double().eval() for _ in range(2))
    dilated.load_state_dict(plain.state_dict())
    assert isinstance(dilated, ResNet)
    dilate(dilated, stride)
    images = torch.randn(1, 3, 64, 96, dtype=torch.float64)
    with torch.no_grad():
        coarse, fine = plain(images), dilated(images)
    for level, features in coarse.items():
        step = max(1, level // stride)
        assert fine[level].shape[-1] == 96 // min(level, stride)
        torch.testing.assert_close(fine[level][..., ::step, ::step], features)


def test_it_stays_as_it_is_in_any_mode() -> None:
    teacher = ImageTeacher(ImageTeacherConfig(backbone="resnet18", width=0.125, level=16, stride=8)).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    images = torch.randint(0, 255, (2, 3, 32, 64), dtype=torch.uint8)
    features = teacher(images)
    assert features.shape == (2, teacher.channels, 4, 8)
    assert not features.requires_grad
    assert not any(part.training for part in teacher.modules())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


def test_what_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="stride at most level"):
        ImageTeacherConfig(level=8, stride=16)
    with pytest.raises(ValueError, match="only a ResNet"):
        ImageTeacherConfig(backbone="dla34", level=16, stride=4)
