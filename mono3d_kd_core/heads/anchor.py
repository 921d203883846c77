"""Anchors over a bird's-eye map: where they stand, how boxes are written relative to them, and the dense head."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

DIRECTION_OFFSET = 0.78539
"""Where the two heading bins part (OpenPCDet's DIR_OFFSET)."""
CODE_SIZE = 7


@dataclass(frozen=True)
class AnchorClass:
    """Anchor of one class: size (length, width, height) and bottom height in metres, IoU limits of the assignment."""

    name: str
    size: tuple[float, float, float]
    bottom: float
    positive_iou: float
    negative_iou: float


KITTI_ANCHORS = (
    AnchorClass("Car", (3.9, 1.6, 1.56), -1.78, 0.60, 0.45),
    AnchorClass("Pedestrian", (0.8, 0.6, 1.73), -0.6, 0.50, 0.35),
    AnchorClass("Cyclist", (1.76, 0.6, 1.73), -0.6, 0.50, 0.35),
)
"""SECOND's and PointPillars' anchors for a LiDAR 1.73 m above the road (Yan et al. 2018, Lang et al. 2019)."""
ROTATIONS = (0.0, 1.57)


def anchor_grid(
    classes: tuple[AnchorClass, ...], low: tuple[float, ...], high: tuple[float, ...], rows: int, columns: int
) -> Tensor:
    """Return the anchors (rows, columns, classes, 2, 7) as x, y, z (centre), l, w, h, yaw.

    low, high are the x, y limits of the map in metres; rows run along y, columns along x. The first and last anchors stand
    *on* the limits, as in OpenPCDet's generator (align_center false).
    """
    x = torch.linspace(low[0], high[0], columns)
    y = torch.linspace(low[1], high[1], rows)
    anchors = torch.empty(rows, columns, len(classes), len(ROTATIONS), CODE_SIZE)
    anchors[..., 0] = x[None, :, None, None]
    anchors[..., 1] = y[:, None, None, None]
    for index, kind in enumerate(classes):
        anchors[:, :, index, :, 2] = kind.bottom + kind.size[2] / 2
        anchors[:, :, index, :, 3:6] = torch.tensor(kind.size)
    anchors[..., 6] = torch.tensor(ROTATIONS)
    return anchors


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Write boxes (..., 7) relative to anchors (..., 7) (SECOND, Yan et al. 2018, section 3.2)."""
    diagonal = torch.hypot(anchors[..., 3], anchors[..., 4])
    return torch.stack(
        [
            (boxes[..., 0] - anchors[..., 0]) / diagonal,
            (boxes[..., 1] - anchors[..., 1]) / diagonal,
            (boxes[..., 2] - anchors[..., 2]) / anchors[..., 5],
            torch.log(boxes[..., 3].clamp_min(1e-5) / anchors[..., 3]),
            torch.log(boxes[..., 4].clamp_min(1e-5) / anchors[..., 4]),
            torch.log(boxes[..., 5].clamp_min(1e-5) / anchors[..., 5]),
            boxes[..., 6] - anchors[..., 6],
        ],
        -1,
    )


def decode(codes: Tensor, anchors: Tensor) -> Tensor:
    """Invert `encode`."""
    diagonal = torch.hypot(anchors[..., 3], anchors[..., 4])
    return torch.stack(
        [
            codes[..., 0] * diagonal + anchors[..., 0],
            codes[..., 1] * diagonal + anchors[..., 1],
            codes[..., 2] * anchors[..., 5] + anchors[..., 2],
            torch.exp(codes[..., 3]) * anchors[..., 3],
            torch.exp(codes[..., 4]) * anchors[..., 4],
            torch.exp(codes[..., 5]) * anchors[..., 5],
            codes[..., 6] + anchors[..., 6],
        ],
        -1,
    )


def direction_bin(yaw: Tensor) -> Tensor:
    """Return the heading bin (0 or 1) of angles in radians: which half turn from `DIRECTION_OFFSET` they lie in."""
    return (((yaw - DIRECTION_OFFSET) % (2 * math.pi)) / math.pi).long().clamp(0, 1)


def resolve_direction(yaw: Tensor, bin_index: Tensor) -> Tensor:
    """Turn an angle known modulo pi into the half turn that `bin_index` names."""
    return (yaw - DIRECTION_OFFSET) % math.pi + DIRECTION_OFFSET + math.pi * bin_index


@dataclass(frozen=True)
class AnchorResponses:
    """Dense responses of the head for B maps of rows x columns cells and A = classes x 2 anchors a cell.

    logits (B, N, classes), codes (B, N, 7), directions (B, N, 2), with N = rows*columns*A in the order of `anchor_grid`.
    """

    logits: Tensor
    codes: Tensor
    directions: Tensor

    def of(self, maps: Sequence[int]) -> AnchorResponses:
        """Return what is said on some of the maps."""
        index = list(maps)
        return AnchorResponses(self.logits[index], self.codes[index], self.directions[index])

    def boxes(self, anchors: Tensor) -> Tensor:
        """Decode all boxes (B, N, 7), headings resolved by the direction bins. anchors (N, 7)."""
        boxes = decode(self.codes, anchors)
        yaw = resolve_direction(boxes[..., 6], self.directions.argmax(-1))
        return torch.cat([boxes[..., :6], yaw[..., None]], -1)


class AnchorHead(nn.Module):
    """Three 1x1 convolutions over a bird's-eye map (SECOND's region proposal network).

    The class prior is 0.01 and box weights start at N(0, 0.001), as in RetinaNet (Lin et al. 2017) and OpenPCDet, whose
    parameter names these are.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.classes = classes
        anchors = classes * len(ROTATIONS)
        self.conv_cls = nn.Conv2d(channels, anchors * classes, 1)
        self.conv_box = nn.Conv2d(channels, anchors * CODE_SIZE, 1)
        self.conv_dir_cls = nn.Conv2d(channels, anchors * 2, 1)
        nn.init.constant_(_bias(self.conv_cls), -math.log(99.0))
        nn.init.normal_(self.conv_box.weight, std=0.001)

    def forward(self, bev: Tensor) -> AnchorResponses:
        """Map features (B, C, rows, columns) to responses."""
        return self.of_bands([bev])

    def of_bands(self, bands: Iterable[Tensor]) -> AnchorResponses:
        """Map features to responses that come in pieces (B, C, rows, columns), one after the other along the rows."""
        layers = (self.conv_cls, self.conv_box, self.conv_dir_cls)
        # As one convolution the three read the map once.
        weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([_bias(layer) for layer in layers])
        cells = torch.cat([functional.conv2d(band, weight, bias).permute(0, 2, 3, 1) for band in bands], 1)
        parts = torch.split(cells, [layer.out_channels for layer in layers], -1)
        logits, codes, directions = (
            part.reshape(len(part), -1, width) for part, width in zip(parts, (self.classes, CODE_SIZE, 2), strict=True)
        )
        return AnchorResponses(logits, codes, directions)


def _bias(layer: nn.Conv2d) -> Tensor:
    if layer.bias is None:
        raise ValueError("the classification layer needs a bias for its prior")
    return layer.bias
