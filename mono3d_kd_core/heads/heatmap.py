"""Centre heatmaps: Gaussian targets, the focal loss that learns them, and the peaks read from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

PRIOR_BIAS = -2.19
"""Bias of a heatmap's last convolution: sigmoid(-2.19) = 0.1, so that training does not start with alarms everywhere."""


class Peaks(NamedTuple):
    """The K highest local maxima of a heatmap per image; all tensors are (B,K)."""

    score: Tensor
    """Heatmap probability in [0, 1]."""
    label: Tensor
    """Class index, int64."""
    cell: Tensor
    """Flat cell index row * W + column, int64."""


def gaussian_radius(height: float, width: float, min_overlap: float = 0.7) -> int:
    """Return how far (cells) a box's centre may move before its IoU with the true box falls under `min_overlap`.

    The smallest root of the three cases of CornerNet (Law & Deng, ECCV 2018): both corners outside, both inside, one of
    each; at least 0. height and width in cells.
    """
    o, total, area = min_overlap, height + width, height * width
    shifted = (total - math.sqrt(max(total**2 - 4 * area * (1 - o) / (1 + o), 0))) / 2
    inside = (2 * total - math.sqrt(max(4 * total**2 - 16 * (1 - o) * area, 0))) / 8
    outside = (-2 * o * total + math.sqrt(4 * o**2 * total**2 + 16 * o * (1 - o) * area)) / (8 * o)
    return max(0, int(min(shifted, inside, outside)))


def draw_gaussian(heatmap: NDArray[np.float32], row: int, column: int, radius: int) -> None:
    """Raise a (H,W) heatmap in place to a Gaussian of standard deviation (2 radius + 1) / 6 around a cell."""
    reach = np.arange(-radius, radius + 1)
    sigma = (2 * radius + 1) / 6
    bell = np.exp(-(reach[:, None] ** 2 + reach[None] ** 2) / (2 * sigma**2)).astype(np.float32)
    top, left = max(0, row - radius), max(0, column - radius)
    window = heatmap[top : row + radius + 1, left : column + radius + 1]
    down, right = top - row + radius, left - column + radius
    np.maximum(window, bell[down : down + window.shape[0], right : right + window.shape[1]], out=window)


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Penalty-reduced focal loss of CornerNet (Law & Deng, ECCV 2018, eq. 1; alpha 2, beta 4), a scalar.

    logits and target are (B,C,H,W), target 1 at objects' cells and a Gaussian around; weight, broadcastable to them, scales
    each cell (0 where we do not know). Divided by the sum of the objects' weights, at least 1.

        object cell:  -(1 - p)^2 log p        other cell:  -(1 - target)^4 p^2 log(1 - p)
    """
    probability = logits.sigmoid()
    is_object = (target == 1).to(logits.dtype)
    positive = (1 - probability) ** 2 * functional.logsigmoid(logits) * is_object
    negative = (1 - target) ** 4 * probability**2 * functional.logsigmoid(-logits) * (1 - is_object)
    return -((positive + negative) * weight).sum() / (is_object * weight).sum().clamp(min=1)


def find_peaks(logits: Tensor, count: int) -> Peaks:
    """Return the `count` strongest cells of (B,C,H,W) logits that are the maximum of their 3x3 neighbourhood."""
    heat = logits.sigmoid()
    height, width = heat.shape[-2:]
    # NaN stays: whoever reads the peaks must see that the network is broken.
    is_peak = (functional.max_pool2d(heat, 3, 1, 1) == heat) | heat.isnan()
    score, index = torch.where(is_peak, heat, torch.zeros_like(heat)).flatten(1).topk(count, dim=1)
    return Peaks(score, index // (height * width), index % (height * width))
