"""The image branch: what each cell of the picture looks like, and how far away it may be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.students.backbones import build_backbone
from mono3d_kd_core.students.bev.deeplab import DeepLabHead, DilatedResNet50
from mono3d_kd_core.students.layers import conv_bn_relu
from mono3d_kd_core.students.necks import Fpn

ImageNetworkName = Literal["resnet18", "deeplab_resnet50"]


@dataclass(frozen=True)
class ImageFeatures:
    """What the image branch says of B pictures.

    backbone {stride: map} for distillation; features (B,C,h,w) to be lifted; depth_logits (B,D+1,h,w), the last class for
    what is out of range.
    """

    backbone: dict[int, Tensor]
    features: Tensor
    depth_logits: Tensor

    @property
    def depth(self) -> Tensor:
        """Probabilities (B,D,h,w) of the bins in range; they sum to less than one where the view goes farther."""
        return self.depth_logits.float().softmax(1)[:, :-1]


class DeepLabImage(nn.Module):
    """CMKD's: a DeepLabV3 over ResNet-50 classifies depth, its layer3 is reduced by a 1x1 convolution. Stride 8."""

    def __init__(self, channels: int, bins: int, width: float = 1.0) -> None:
        super().__init__()
        self.backbone = DilatedResNet50(width)
        self.classifier = DeepLabHead(self.backbone.channels[32], bins + 1)
        self.reduce = conv_bn_relu(self.backbone.channels[16], channels, 1)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Read normalised images (B,3,H,W)."""
        maps = self.backbone.levels(images)
        logits = self.classifier(maps.layer4)
        return ImageFeatures({4: maps.layer1, 8: maps.layer3}, self.reduce(maps.layer3), logits)


class FpnImage(nn.Module):
    """For small machines: a strided ResNet-18 and a feature pyramid read at one stride; depth by one 3x3 convolution."""

    def __init__(self, channels: int, bins: int, width: float, neck: int, stride: int) -> None:
        super().__init__()
        self.backbone = build_backbone("resnet18", width)
        self.strides = tuple(level for level in self.backbone.channels if level >= stride)
        self.neck = Fpn({level: self.backbone.channels[level] for level in self.strides}, neck)
        self.depth = nn.Sequential(conv_bn_relu(neck, neck), nn.Conv2d(neck, bins + 1, 1))
        self.reduce = conv_bn_relu(neck, channels, 1)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Read normalised images (B,3,H,W), H and W multiples of 32."""
        maps: Mapping[int, Tensor] = self.backbone(images)
        neck = self.neck({level: maps[level] for level in self.strides})
        return ImageFeatures(dict(maps), self.reduce(neck), self.depth(neck))


class Adaptation(nn.Sequential):
    """Self-calibrated bottlenecks that bring image features to look like LiDAR's (CMKD's domain adaptation)."""

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__(*(SelfCalibratedBlock(channels) for _ in range(blocks)))

    def forward(self, bev: Tensor) -> Tensor:
        """Map (B,C,rows,columns) to the same shape; in full precision, which distillation needs."""
        with torch.autocast(bev.device.type, enabled=False):
            return torch.as_tensor(super().forward(bev.float()))  # type: ignore[no-untyped-call]


class SelfCalibratedBlock(nn.Module):
    """A bottleneck of two halves, one gated by a coarser view of itself (Liu et al., CVPR 2020, SCNet)."""

    POOLING = 4

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1_a, self.bn1_a = nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half)
        self.conv1_b, self.bn1_b = nn.Conv2d(channels, half, 1, bias=False), nn.BatchNorm2d(half)
        self.plain = _conv_bn(half)
        self.gate, self.content, self.out = _conv_bn(half), _conv_bn(half), _conv_bn(half)
        self.conv3, self.bn3 = nn.Conv2d(2 * half, channels, 1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        a = self.bn1_a(self.conv1_a(x)).relu()
        b = self.bn1_b(self.conv1_b(x)).relu()
        coarse = self.gate(functional.avg_pool2d(b, self.POOLING))
        gate = torch.sigmoid(b + functional.interpolate(coarse, b.shape[-2:]))
        b = self.out(self.content(b) * gate).relu()
        merged = self.bn3(self.conv3(torch.cat([self.plain(a).relu(), b], 1)))
        return torch.relu(merged + x)


def _conv_bn(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels))
