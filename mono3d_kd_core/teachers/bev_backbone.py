"""The 2D backbone over a bird's-eye map that SECOND, PointPillars and CMKD's student share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def conv_bn_relu(layer: nn.Module, channels: int) -> list[nn.Module]:
    """Return a layer followed by batch normalisation as everywhere in OpenPCDet (eps 1e-3, momentum 0.01) and ReLU."""
    return [layer, nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01), nn.ReLU()]


class BevBackbone(nn.Module):
    """Levels of 3x3 convolutions, each brought back to one resolution and concatenated.

    (B, channels, rows, columns) -> (B, sum(up_filters), rows*, columns*). Level i: one convolution of stride strides[i],
    then layers[i] more; its result is upsampled by up_strides[i]. Parameter names equal OpenPCDet's BaseBEVBackbone
    (`blocks.i.j`, `deblocks.i.j`).
    """

    def __init__(
        self, channels: int, layers: Sequence[int], strides: Sequence[int], filters: Sequence[int],
        up_strides: Sequence[int], up_filters: Sequence[int],
    ) -> None:  # fmt: skip
        super().__init__()
        self.blocks, self.deblocks = nn.ModuleList(), nn.ModuleList()
        widths = [channels, *filters[:-1]]
        for before, depth, stride, width, up, up_width in zip(
            widths, layers, strides, filters, up_strides, up_filters, strict=True
        ):
            block: list[nn.Module] = [nn.ZeroPad2d(1)]
            block += conv_bn_relu(nn.Conv2d(before, width, 3, stride=stride, bias=False), width)
            for _ in range(depth):
                block += conv_bn_relu(nn.Conv2d(width, width, 3, padding=1, bias=False), width)
            self.blocks.append(nn.Sequential(*block))
            upsample = nn.ConvTranspose2d(width, up_width, up, stride=up, bias=False)
            self.deblocks.append(nn.Sequential(*conv_bn_relu(upsample, up_width)))
        self.channels = sum(up_filters)

    def forward(self, bev: Tensor) -> Tensor:
        """Return the concatenated levels."""
        levels = []
        for block, deblock in zip(self.blocks, self.deblocks, strict=True):
            bev = block(bev)
            levels.append(deblock(bev))
        return torch.cat(levels, 1)
