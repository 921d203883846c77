"""The image branch: parameter counts that others published, shapes, and the gate worked out by hand."""

from __future__ import annotations

import pytest
import torch

from mono3d_kd_core.students.bev.deeplab import DeepLabHead, DilatedResNet50
from mono3d_kd_core.students.bev.image import Adaptation, DeepLabImage, FpnImage, SelfCalibratedBlock
from mono3d_kd_core.students.layers import parameter_count


def test_the_deeplab_is_torchvision_s() -> None:
    # torchvision's documentation of DeepLabV3_ResNet50_Weights says 42,004,074 for 21 classes, among them those of the
    # auxiliary classifier: a 3x3 convolution 1024 -> 256, its normalisation, and a 1x1 with bias.
    auxiliary = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21
    assert parameter_count(DilatedResNet50()) + parameter_count(DeepLabHead(2048, 21)) == 42_004_074 - auxiliary


@pytest.mark.parametrize(("height", "width"), [(375, 1242), (64, 96)])
def test_deeplab_features_have_stride_8(height: int, width: int) -> None:
    network = DeepLabImage(64, 120, width=0.0625).eval()
    with torch.inference_mode():
        seen = network(torch.zeros(1, 3, height, width))
    shape = (-(-height // 8), -(-width // 8))  # KITTI: 47x156
    assert seen.features.shape == (1, 64, *shape)
    assert seen.depth_logits.shape == (1, 121, *shape)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_pyramid_features_have_the_stride_asked_for(stride: int) -> None:
    seen = FpnImage(8, 10, 0.125, 16, stride).eval()(torch.zeros(2, 3, 64, 96))
    assert seen.features.shape == (2, 8, 64 // stride, 96 // stride)
    assert seen.depth.shape == (2, 10, 64 // stride, 96 // stride)
    assert (seen.depth.sum(1) < 1).all()


def test_adaptation_has_the_parameters_of_four_self_calibrated_blocks() -> None:
    half = 64
    conv3x3 = half * half * 9 + half + 2 * half  # with bias, and its normalisation
    block = 2 * (128 * half + 2 * half) + 4 * conv3x3 + 128 * 128 + 2 * 128
    assert parameter_count(Adaptation(128, 4)) == 4 * block


def test_a_block_whose_last_convolution_is_zero_is_the_rectified_identity() -> None:
    block = SelfCalibratedBlock(8).eval()
    torch.nn.init.zeros_(block.conv3.weight)
    x = torch.randn(1, 8, 12, 20)
    torch.testing.assert_close(block(x), x.relu())


def test_the_gate_is_the_sigmoid_of_itself_and_its_coarse_view() -> None:
    block = SelfCalibratedBlock(4).eval()
    for conv in (block.gate[0], block.content[0], block.out[0], block.plain[0]):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.zeros_(conv.bias)
    torch.nn.init.dirac_(block.content[0].weight)
    torch.nn.init.dirac_(block.out[0].weight)
    torch.nn.init.constant_(block.gate[0].bias, 0.5)
    torch.nn.init.zeros_(block.conv1_a.weight)
    block.conv1_b.weight.data = torch.eye(2, 4).view(2, 4, 1, 1)
    block.conv3.weight.data = torch.eye(4).view(4, 4, 1, 1)
    norm = 1 / (1 + 1e-5) ** 0.5
    x = torch.rand(1, 4, 8, 8)
    b = x[:, :2] * norm
    gate = torch.sigmoid(b + 0.5 * norm)
    expected = x.clone()
    expected[:, 2:] += b * norm * gate * norm * norm  # the halves are concatenated: plain first, gated second
    torch.testing.assert_close(block(x), expected)
