"""DeepLabV3 with a ResNet-50 (Chen et al. 2017) as torchvision builds it: parameter names, shapes and function."""

from __future__ import annotations

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.students.resnet import Bottleneck, ResNet

RATES = (12, 24, 36)
WIDTH = 256


class DeepLabFeatures(NamedTuple):
    """Maps of layer1 (B,256,H/4,W/4), and of layer3 (B,1024) and layer4 (B,2048) at H/8, W/8."""

    layer1: Tensor
    layer3: Tensor
    layer4: Tensor


class DilatedResNet50(ResNet):
    """A ResNet-50 whose last two levels dilate instead of striding, so that everything from layer2 on is at stride 8."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__(Bottleneck, (3, 4, 6, 3), width)
        _dilate(cast("nn.Sequential", self.layer3), first=1, others=2)
        _dilate(cast("nn.Sequential", self.layer4), first=2, others=4)

    def levels(self, images: Tensor) -> DeepLabFeatures:
        """Return the maps that a DeepLab and CMKD read."""
        maps = [self.maxpool(self.relu(self.bn1(self.conv1(images))))]
        for number in range(1, 5):
            maps.append(getattr(self, f"layer{number}")(maps[-1]))
        return DeepLabFeatures(maps[1], maps[3], maps[4])


def _dilate(layer: nn.Sequential, first: int, others: int) -> None:
    for number, block in enumerate(layer):
        assert isinstance(block, Bottleneck)
        rate = others if number else first
        block.conv2.stride, block.conv2.dilation, block.conv2.padding = (1, 1), (rate, rate), (rate, rate)
        if block.downsample is not None:
            cast("nn.Conv2d", block.downsample[0]).stride = (1, 1)


class _Pooling(nn.Sequential):
    """The image's mean, brought back to every place."""

    def __init__(self, inputs: int) -> None:
        super().__init__(nn.AdaptiveAvgPool2d(1), *_conv_bn_relu(inputs, WIDTH, 1))

    def forward(self, x: Tensor) -> Tensor:
        mean = torch.as_tensor(super().forward(x))  # type: ignore[no-untyped-call]
        return functional.interpolate(mean, x.shape[-2:], mode="bilinear", align_corners=False)


class Aspp(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the global mean, concatenated and mixed."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Sequential(*_conv_bn_relu(inputs, WIDTH, 1))])
        for rate in RATES:
            self.convs.append(nn.Sequential(*_conv_bn_relu(inputs, WIDTH, 3, rate)))
        self.convs.append(_Pooling(inputs))
        self.project = nn.Sequential(*_conv_bn_relu(WIDTH * (len(RATES) + 2), WIDTH, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return torch.as_tensor(self.project(torch.cat([conv(x) for conv in self.convs], 1)))


class DeepLabHead(nn.Sequential):
    """ASPP, one 3x3 convolution and the classes' logits, at the resolution of its input."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__(Aspp(inputs), *_conv_bn_relu(WIDTH, WIDTH, 3), nn.Conv2d(WIDTH, classes, 1))


def _conv_bn_relu(inputs: int, outputs: int, kernel: int, rate: int = 1) -> list[nn.Module]:
    padding = rate * (kernel // 2)
    return [
        nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=rate, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    ]  # fmt: skip
