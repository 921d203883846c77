"""ResNet-18/34/50 (He et al., CVPR 2016) with torchvision's parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., Fig. 5 left)."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions beside a shortcut; the stride is in the 3x3 (torchvision's "v1.5")."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential | None:
    """Return the projection that makes the shortcut fit, or None where the identity does."""
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """A ResNet trunk without its classifier.

    `width` multiplies every channel count (0.5 makes a network of a quarter of the size and cost). Called with images
    (B,3,H,W), H and W multiples of 32, it returns the feature maps by stride, {4, 8, 16, 32}; `channels` says their widths.
    """

    def __init__(self, block: type[BasicBlock] | type[Bottleneck], depths: tuple[int, ...], width: float = 1.0) -> None:
        super().__init__()
        stem, *_ = widths = [round(64 * 2**level * width) for level in range(4)]
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        inputs = stem
        for level, (outputs, depth) in enumerate(zip(widths, depths)):
            blocks = [block(inputs, outputs, 1 if level == 0 else 2)]
            inputs = outputs * block.expansion
            blocks += [block(inputs, outputs, 1) for _ in range(depth - 1)]
            setattr(self, f"layer{level + 1}", nn.Sequential(*blocks))
        self.channels = {4 * 2**level: outputs * block.expansion for level, outputs in enumerate(widths)}
        _initialise(self)

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = {}
        for level, stride in enumerate(self.channels):
            x = getattr(self, f"layer{level + 1}")(x)
            features[stride] = x
        return features


def _initialise(module: nn.Module) -> None:
    """He initialisation of the convolutions (He et al., ICCV 2015)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
