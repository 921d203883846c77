"""What a centre head should answer for the objects of a cloud, and its loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.heads.center import CODE_SIZE, CenterResponses
from mono3d_kd_core.heads.heatmap import draw_gaussian, focal_loss

MIN_OVERLAP, MIN_RADIUS = 0.1, 2
BOX_WEIGHT = 2.0


@dataclass(frozen=True)
class CenterTargets:
    """Targets of one sample: heatmap (classes, R, C); cell (M,) flat cell of each object and code (M, 8) of its box."""

    heatmap: NDArray[np.float32]
    cell: NDArray[np.int64]
    code: NDArray[np.float32]


def center_targets(
    boxes: NDArray[np.float64], labels: NDArray[np.int64], classes: int, low: tuple[float, ...], cell: float,
    shape: tuple[int, int],
) -> CenterTargets:  # fmt: skip
    """Draw boxes (M,7) of class indices (M,) on a map of `shape` cells; objects whose centre is beside it are left out."""
    heatmap = np.zeros((classes, *shape), np.float32)
    cells, codes = [], []
    for (x, y, z, length, width, height, yaw), label in zip(boxes, labels, strict=True):
        u, v = (x - low[0]) / cell, (y - low[1]) / cell
        column, row = math.floor(u), math.floor(v)
        if not (0 <= row < shape[0] and 0 <= column < shape[1]) or min(length, width, height) <= 0:
            continue
        draw_gaussian(heatmap[label], row, column, spread(length / cell, width / cell))
        cells.append(row * shape[1] + column)
        size = np.log([length, width, height])
        codes.append([u - column, v - row, z, *size, math.cos(yaw), math.sin(yaw)])
    return CenterTargets(heatmap, np.array(cells, np.int64), np.array(codes, np.float32).reshape(-1, CODE_SIZE))


def spread(length: float, width: float) -> int:
    """Return the radius, in cells, of the Gaussian of an object of so many cells.

    As OpenPCDet and CenterPoint have it, with the larger roots and without the division by the leading coefficient: larger
    than what `heatmap.gaussian_radius` derives, and what their networks were trained with.
    """
    o, total, area = MIN_OVERLAP, length + width, length * width
    shifted = (total + math.sqrt(total**2 - 4 * area * (1 - o) / (1 + o))) / 2
    inside = (2 * total + math.sqrt(4 * total**2 - 16 * (1 - o) * area)) / 2
    outside = (-2 * o * total + math.sqrt(4 * o**2 * total**2 + 16 * o * (1 - o) * area)) / 2
    return max(MIN_RADIUS, int(min(shifted, inside, outside)))


def center_loss(responses: CenterResponses, targets: Sequence[CenterTargets]) -> dict[str, Tensor]:
    """Losses of OpenPCDet's CenterPoint: focal on the heatmaps, and L1 x2 on the codes at the objects' cells.

    Both are divided by the number of objects in the batch, at least one.
    """
    heatmap = torch.from_numpy(np.stack([target.heatmap for target in targets])).to(responses.logits.device)
    errors = [
        (codes[:, target.cell] - torch.from_numpy(target.code.T).to(codes.device)).abs().sum()
        for codes, target in zip(responses.codes.flatten(2), targets, strict=True)
    ]
    objects = max(sum(len(target.cell) for target in targets), 1)
    return {
        "heatmap": focal_loss(responses.logits, heatmap, torch.ones_like(heatmap)),
        "box": BOX_WEIGHT * torch.stack(errors).sum() / objects,
    }
