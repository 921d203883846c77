"""Train-only layers between a student's features and its teacher's: top-down fusion and adapters."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional


class TopDownFusion(nn.Module):
    """Mixes each level with the coarser ones by learned attention, and keeps its width (Chen et al., "ReviewKD", CVPR 2021).

    Every level is brought to a common width; from coarse to fine, two attention maps weigh it against the mixture so far.
    """

    def __init__(self, channels: Mapping[int, int], width: int) -> None:
        """Mix levels of `channels` {stride: width}, in a common width."""
        super().__init__()
        self.strides = sorted(channels)
        self.project = nn.ModuleDict({str(s): _conv_bn(channels[s], width, 1) for s in self.strides})
        self.attend = nn.ModuleDict({str(s): nn.Conv2d(2 * width, 2, 1) for s in self.strides[:-1]})
        self.output = nn.ModuleDict({str(s): _conv_bn(width, channels[s], 3) for s in self.strides})

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Map {stride: (B,C,H/stride,W/stride)} to the same shapes."""
        fused: dict[int, Tensor] = {}
        above: Tensor | None = None
        for stride in reversed(self.strides):
            level = self.project[str(stride)](features[stride])
            if above is not None:
                coarser = functional.interpolate(above, level.shape[-2:], mode="nearest")
                attention = self.attend[str(stride)](torch.cat([level, coarser], 1)).sigmoid()
                level = level * attention[:, :1] + coarser * attention[:, 1:]
            above = level
            fused[stride] = self.output[str(stride)](level)
        return fused


class Adapters(nn.Module):
    """For each level a 3x3 convolution, ReLU and a 1x1 convolution towards the teacher's features."""

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        self.levels = nn.ModuleDict(
            {
                str(stride): nn.Sequential(
                    nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(width, width, 1)
                )
                for stride, width in channels.items()
            }
        )

    def forward(self, features: Mapping[int, Tensor]) -> dict[int, Tensor]:
        """Map the levels that have an adapter to the same shapes."""
        return {int(stride): adapter(features[int(stride)]) for stride, adapter in self.levels.items()}


def _conv_bn(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, 1, kernel // 2, bias=False), nn.BatchNorm2d(outputs))
