"""The teacher of HVDistill: a frozen image backbone, with finer maps than it was trained with."""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from mono3d_kd_core.students.backbones import BackboneName, build_backbone
from mono3d_kd_core.students.peaks import IMAGENET_MEAN, IMAGENET_STD
from mono3d_kd_core.students.resnet import Bottleneck, ResNet


class ImageTeacherConfig(BaseModel):
    """Which network looks at the pictures; the defaults are the authors'."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    backbone: BackboneName = "resnet50"
    width: float = Field(default=1.0, gt=0, le=2)
    weights: Path | None = None
    """A file of MoCo-v2, DINO, torchvision or timm, or the bundle of a student with this backbone."""
    level: int = 32
    """The map that is read: 4, 8, 16 or 32, by its stride in the network as published."""
    stride: int = 4
    """The stride at which it is read. Where it is less than `level`, layers dilate instead of striding."""

    @model_validator(mode="after")
    def _can_be_read(self) -> ImageTeacherConfig:
        if self.level not in (4, 8, 16, 32) or self.stride not in (4, 8, 16, 32) or self.stride > self.level:
            raise ValueError(
                f"level {self.level}, stride {self.stride}: each is 4, 8, 16 or 32, and stride at most level"
            )
        if self.backbone == "dla34" and self.stride != self.level:
            raise ValueError("only a ResNet's layers can dilate: give dla34 a stride equal to its level")
        return self


class ImageTeacher(nn.Module):
    """Pictures (B,3,H,W), uint8 RGB or the same range as float -> features (B,channels,H/stride,W/stride).

    It never learns: no gradient, and batch statistics as they came, whatever mode it is put into.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ImageTeacherConfig) -> None:
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, config.width)
        if isinstance(self.backbone, ResNet):
            dilate(self.backbone, config.stride)
        self.channels = self.backbone.channels[config.level]
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> ImageTeacher:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Look at pictures."""
        features: Tensor = self.backbone((images.float() - self.mean) / self.std)[self.config.level]
        return features


def dilate(network: ResNet, stride: int) -> None:
    """Let the layers of a ResNet beyond a stride dilate instead (Yu, Koltun & Funkhouser, CVPR 2017).

    At the places that striding would have left, its features are the very same; those between them are new. The
    convolution that strode still sees the layer before it, so it takes that one's dilation; all after it take their own.
    """
    rate = 1
    for published, name in ((8, "layer2"), (16, "layer3"), (32, "layer4")):
        if published <= stride:
            continue
        before, rate = rate, rate * 2
        for number, block in enumerate(getattr(network, name)):
            striding = block.conv2 if isinstance(block, Bottleneck) else block.conv1
            for convolution in (striding, block.conv2):
                _set(convolution, before if number == 0 and convolution is striding else rate)
            if block.downsample is not None:
                block.downsample[0].stride = (1, 1)


def _set(convolution: nn.Conv2d, rate: int) -> None:
    convolution.stride, convolution.dilation, convolution.padding = (1, 1), (rate, rate), (rate, rate)
