"""DLA-34 (Yu et al., "Deep Layer Aggregation", CVPR 2018) with timm's parameter names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mono3d_kd_core.students.layers import conv_bn_relu


class DlaBlock(nn.Module):
    """Two 3x3 convolutions; the shortcut is handed in, since the tree shares its projection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor, shortcut: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + shortcut)


class DlaRoot(nn.Module):
    """The aggregation node: a 1x1 convolution over all its children side by side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, children: Sequence[Tensor]) -> Tensor:
        return torch.relu(self.bn(self.conv(torch.cat(list(children), 1))))


class DlaTree(nn.Module):
    """A binary tree of blocks with hierarchical aggregation (Yu et al., Fig. 3 and eq. 3).

    depth 1: two blocks and a root over both and over what was handed down. depth 2: two such trees, the second of which
    also aggregates the first one's output. `aggregate_input` gives the root the tree's own (pooled) input too.
    """

    def __init__(
        self, depth: int, inputs: int, outputs: int, stride: int = 1, aggregate_input: bool = False, handed_down: int = 0
    ) -> None:
        super().__init__()
        handed_down += inputs if aggregate_input else 0
        self.aggregate_input = aggregate_input
        self.downsample = nn.MaxPool2d(stride, stride) if stride > 1 else nn.Identity()
        self.project: nn.Module = nn.Identity()
        self.tree1: nn.Module
        self.tree2: nn.Module
        self.root: DlaRoot | None = None
        if depth == 1:
            self.tree1 = DlaBlock(inputs, outputs, stride)
            self.tree2 = DlaBlock(outputs, outputs, 1)
            if inputs != outputs:
                self.project = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
            self.root = DlaRoot(2 * outputs + handed_down, outputs)
        else:
            self.tree1 = DlaTree(depth - 1, inputs, outputs, stride)
            self.tree2 = DlaTree(depth - 1, outputs, outputs, handed_down=handed_down + outputs)

    def forward(self, x: Tensor, handed_down: Sequence[Tensor] = ()) -> Tensor:
        children = list(handed_down)
        bottom = self.downsample(x)
        if self.aggregate_input:
            children.append(bottom)
        if self.root is None:
            first = self.tree1(x)
            return torch.as_tensor(self.tree2(first, [*children, first]))
        first = self.tree1(x, self.project(bottom))
        second = self.tree2(first, first)
        return torch.as_tensor(self.root([second, first, *children]))


class Dla34(nn.Module):
    """DLA-34's trunk without its classifier.

    `width` multiplies every channel count. Called with images (B,3,H,W), H and W multiples of 32, it returns the feature
    maps by stride, {4, 8, 16, 32}; `channels` says their widths.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = [round(16 * 2**level * width) for level in range(6)]
        self.base_layer = conv_bn_relu(3, c[0], 7)
        self.level0 = conv_bn_relu(c[0], c[0])
        self.level1 = conv_bn_relu(c[0], c[1], stride=2)
        self.level2 = DlaTree(1, c[1], c[2], 2)
        self.level3 = DlaTree(2, c[2], c[3], 2, aggregate_input=True)
        self.level4 = DlaTree(2, c[3], c[4], 2, aggregate_input=True)
        self.level5 = DlaTree(1, c[4], c[5], 2, aggregate_input=True)
        self.channels = {4: c[2], 8: c[3], 16: c[4], 32: c[5]}
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> dict[int, Tensor]:
        x = self.level1(self.level0(self.base_layer(images)))
        features = {}
        for level, stride in enumerate(self.channels, start=2):
            x = getattr(self, f"level{level}")(x)
            features[stride] = x
        return features
