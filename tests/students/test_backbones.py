"""Backbones: published sizes, public parameter names, weights from a file."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.students.backbones import BackboneName, build_backbone
from mono3d_kd_core.students.layers import parameter_count
from mono3d_kd_core.students.necks import build_neck


@pytest.mark.parametrize(
    ("name", "published", "classifier"),
    [  # as listed by torchvision (ResNet) and timm (DLA), classifier included
        ("resnet18", 11_689_512, 513_000),
        ("resnet34", 21_797_672, 513_000),
        ("resnet50", 25_557_032, 2_049_000),
        ("dla34", 15_742_104, 513_000),
    ],
)
def test_parameter_counts_are_the_published_ones(name: BackboneName, published: int, classifier: int) -> None:
    assert parameter_count(build_backbone(name)) == published - classifier


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("resnet18", {"conv1.weight": (64, 3, 7, 7), "layer2.0.downsample.0.weight": (128, 64, 1, 1)}),
        ("resnet50", {"layer1.0.conv3.weight": (256, 64, 1, 1), "layer4.2.bn3.running_var": (2048,)}),
        (
            "dla34",
            {
                "base_layer.0.weight": (16, 3, 7, 7), "level1.1.running_mean": (32,),
                "level2.root.conv.weight": (64, 128, 1, 1), "level3.tree1.tree1.conv1.weight": (128, 64, 3, 3),
                "level3.tree2.root.conv.weight": (128, 448, 1, 1), "level4.tree1.project.0.weight": (256, 128, 1, 1),
                "level5.root.conv.weight": (512, 1280, 1, 1),
            },
        ),
    ],
)  # fmt: skip
def test_parameter_names_and_shapes_are_the_public_ones(name: BackboneName, known: dict[str, tuple[int, ...]]) -> None:
    state = build_backbone(name).state_dict()
    assert {key: tuple(state[key].shape) for key in known} == known


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "dla34"])
def test_features_come_at_strides_4_to_32_and_necks_bring_them_to_4(name: BackboneName) -> None:
    backbone = build_backbone(name, 0.25)
    features = backbone(torch.zeros(2, 3, 64, 96))
    assert {s: tuple(f.shape) for s, f in features.items()} == {
        s: (2, backbone.channels[s], 64 // s, 96 // s) for s in (4, 8, 16, 32)
    }
    for neck in (build_neck("fpn", backbone.channels, 24), build_neck("dla_up", backbone.channels, 24)):
        assert neck(features).shape == (2, neck.channels, 16, 24)


def test_dla_up_starts_as_bilinear_interpolation() -> None:
    up = build_neck("dla_up", {4: 1, 8: 1}, 1).rounds[0].up[0]
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    expected = torch.nn.functional.interpolate(ramp, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(up(ramp)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])
