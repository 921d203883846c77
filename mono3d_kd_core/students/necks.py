"""Necks: bring the feature maps at strides 4 to 32 together at stride 4."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.students.layers import conv_bn_relu

NeckName = Literal["dla_up", "fpn"]


def build_neck(name: NeckName, channels: Mapping[int, int], width: int) -> Fpn | DlaUp:
    """Return a neck for feature maps of `channels` {stride: width}; `width` is the FPN's, DLA-up keeps stride 4's."""
    return DlaUp(channels) if name == "dla_up" else Fpn(channels, width)


class Fpn(nn.Module):
    """The top-down path of a feature pyramid (Lin et al., CVPR 2017), read at its finest level only.

    1x1 laterals to one width, nearest upsampling and addition, one 3x3 smoothing convolution: a few per cent of a
    ResNet's cost, where CenterNet's transposed convolutions cost as much as the ResNet.
    """

    def __init__(self, channels: Mapping[int, int], width: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in channels.values())
        self.smooth = conv_bn_relu(width, width)
        self.channels = width

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        """Map {stride: (B,C,H/stride,W/stride)} to (B,width,H/4,W/4)."""
        fine_to_coarse = [lateral(level) for lateral, level in zip(self.lateral, features.values())]
        merged = fine_to_coarse.pop()
        while fine_to_coarse:
            finer = fine_to_coarse.pop()
            merged = finer + functional.interpolate(merged, scale_factor=2.0, mode="nearest")
        return torch.as_tensor(self.smooth(merged))


class DlaUp(nn.Module):
    """Iterative deep aggregation up to stride 4 (Yu et al., CVPR 2018, sec. 3; with plain convolutions, as MonoDLE).

    From the coarsest pair on, each round brings every coarser map of the rounds before to the next finer stride.
    """

    def __init__(self, channels: Mapping[int, int]) -> None:
        super().__init__()
        widths = list(channels.values())
        strides = list(channels)
        self.rounds = nn.ModuleList()
        for finest in range(len(widths) - 2, -1, -1):
            factors = [stride // strides[finest] for stride in strides[finest + 1 :]]
            self.rounds.append(_Aggregation(widths[finest], widths[finest + 1 :], factors))
            widths[finest + 1 :] = [widths[finest]] * (len(widths) - finest - 1)
            strides[finest + 1 :] = [strides[finest]] * (len(strides) - finest - 1)
        self.channels = widths[0]

    def forward(self, features: Mapping[int, Tensor]) -> Tensor:
        """Map {stride: (B,C,H/stride,W/stride)} to (B,C of stride 4,H/4,W/4)."""
        levels = list(features.values())
        for step, aggregation in enumerate(self.rounds, start=2):
            levels[-step:] = aggregation(levels[-step:])
        return levels[-1]


class _Aggregation(nn.Module):
    """One round: each coarser map is projected, upsampled and merged with the map before it."""

    def __init__(self, outputs: int, inputs: list[int], factors: list[int]) -> None:
        super().__init__()
        self.project = nn.ModuleList(conv_bn_relu(width, outputs) for width in inputs)
        self.up = nn.ModuleList(_bilinear_upsampling(outputs, factor) for factor in factors)
        self.node = nn.ModuleList(conv_bn_relu(2 * outputs, outputs) for _ in inputs)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        merged = [levels[0]]
        for level, project, up, node in zip(levels[1:], self.project, self.up, self.node):
            merged.append(node(torch.cat([merged[-1], up(project(level))], 1)))
        return merged


def _bilinear_upsampling(channels: int, factor: int) -> nn.Module:
    """Return a depthwise transposed convolution that starts as bilinear interpolation (Long et al., CVPR 2015)."""
    if factor == 1:
        return nn.Identity()
    up = nn.ConvTranspose2d(channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False)
    half = math.ceil(factor * 2 / 2)
    centre = (2 * half - 1 - half % 2) / (2.0 * half)
    ramp = torch.tensor([1 - abs(i / half - centre) for i in range(2 * factor)])
    up.weight.data[:] = torch.outer(ramp, ramp)
    return up
