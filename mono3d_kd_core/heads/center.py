"""The centre head: objects as peaks over a bird's-eye map, boxes read there (Yin, Zhou & Krähenbühl, CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mono3d_kd_core.heads.heatmap import PRIOR_BIAS

BRANCHES = {"center": 2, "center_z": 1, "dim": 3, "rot": 2}
"""Channels of the regressions, in the order of a code: offset from the cell's corner in cells, height of the centre in
metres, logarithm of length, width, height, cosine and sine of the yaw."""
CODE_SIZE = 8


@dataclass(frozen=True)
class CenterResponses:
    """Dense responses for B maps of R x C cells: logits (B, classes, R, C) of the heatmaps, codes (B, 8, R, C)."""

    logits: Tensor
    codes: Tensor

    def of(self, maps: Sequence[int]) -> CenterResponses:
        """Return what is said on some of the maps."""
        index = list(maps)
        return CenterResponses(self.logits[index], self.codes[index])

    def boxes(self, low: tuple[float, ...], cell: float) -> Tensor:
        """Decode all boxes (B, R*C, 7) x, y, z, l, w, h, yaw; low is the map's corner, cell a cell's side, metres."""
        rows, columns = self.codes.shape[2:]
        corner_x = torch.arange(columns, device=self.codes.device)[None, :]
        corner_y = torch.arange(rows, device=self.codes.device)[:, None]
        dx, dy, z, length, width, height, cosine, sine = self.codes.unbind(1)
        box = [
            (corner_x + dx) * cell + low[0], (corner_y + dy) * cell + low[1], z,
            length.exp(), width.exp(), height.exp(), torch.atan2(sine, cosine),
        ]  # fmt: skip
        return torch.stack(box, -1).flatten(1, 2)


class _Branches(nn.Module):
    """One small convolutional branch for each output: named as OpenPCDet's SeparateHead."""

    def __init__(self, channels: int, classes: int, bias: bool) -> None:
        super().__init__()
        for name, outputs in (BRANCHES | {"hm": classes}).items():
            last = nn.Conv2d(channels, outputs, 3, padding=1)
            self.add_module(name, nn.Sequential(_unit(channels, channels, bias), last))
        for name in BRANCHES:
            for layer in self.get_submodule(name).modules():
                if isinstance(layer, nn.Conv2d):
                    nn.init.kaiming_normal_(layer.weight)
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)
        nn.init.constant_(self.get_parameter("hm.1.bias"), PRIOR_BIAS)

    def forward(self, x: Tensor) -> CenterResponses:
        codes = torch.cat([self.get_submodule(name)(x) for name in BRANCHES], 1)
        return CenterResponses(self.get_submodule("hm")(x), codes)


class CenterHead(nn.Module):
    """A shared convolution, then two for each output; parameter names are those of OpenPCDet's CenterHead with one task.

    bias: whether convolutions before a normalisation have one, as in OpenPCDet's models for Waymo and in CMKD's.
    """

    def __init__(self, channels: int, classes: int, width: int = 64, bias: bool = True) -> None:
        super().__init__()
        self.shared_conv = _unit(channels, width, bias)
        self.heads_list = nn.ModuleList([_Branches(width, classes, bias)])

    def forward(self, bev: Tensor) -> CenterResponses:
        """Map features (B, C, rows, columns) to responses."""
        responses: CenterResponses = self.heads_list[0](self.shared_conv(bev))
        return responses


def _unit(channels: int, width: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1, bias=bias), nn.BatchNorm2d(width), nn.ReLU())
