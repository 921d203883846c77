"""The heads of a keypoint detector: what an object's centre cell says about the object (Ma et al., CVPR 2021, "MonoDLE")."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.heads.heatmap import PRIOR_BIAS

HEADING_BINS = 12
CHANNELS = {"offset2d": 2, "size2d": 2, "depth": 2, "offset3d": 2, "size3d": 3, "heading": 2 * HEADING_BINS}
DEPTH_BIAS = (-3.0, 1.0)
"""The depth head starts at exp(3) = 20 m with a standard deviation of exp(1) = 3 m, near where the objects are."""


class Regressions(NamedTuple):
    """Raw outputs of the regression heads, dense (B,C,H,W) or read at cells (B,K,C); lengths in cells of stride 4."""

    offset2d: Tensor
    """Centre of the 2D box minus the cell (2)."""
    size2d: Tensor
    """Width and height of the 2D box (2)."""
    depth: Tensor
    """Logit of the depth, and log standard deviation (2)."""
    offset3d: Tensor
    """Projected centre of the 3D box minus the cell (2)."""
    size3d: Tensor
    """Length, width, height minus the class's mean, metres (3)."""
    heading: Tensor
    """12 bin logits and 12 residuals of the observation angle alpha, radians (24)."""


class KeypointHead(nn.Module):
    """A 3x3 convolution, ReLU and a 1x1 convolution for the heatmap and for each regression.

    The regressions' first convolutions are one convolution side by side: the same numbers, computed faster. And since
    regressions are only ever read at object centres, `at_cells` evaluates them there alone: the same result as reading the
    dense maps of `dense`, for a thousandth of the arithmetic.
    """

    def __init__(self, inputs: int, hidden: int, classes: int) -> None:
        super().__init__()
        self.heatmap = nn.Sequential(
            nn.Conv2d(inputs, hidden, 3, 1, 1), nn.ReLU(inplace=True), _output(hidden, classes)
        )
        self.regression_hidden = nn.Conv2d(inputs, hidden * len(CHANNELS), 3, 1, 1)
        self.regressions = nn.ModuleDict({name: _output(hidden, count) for name, count in CHANNELS.items()})
        with torch.no_grad():
            self.heatmap.get_parameter("2.bias").fill_(PRIOR_BIAS)
            self.regressions.get_parameter("depth.bias").copy_(torch.tensor(DEPTH_BIAS))

    def heatmap_logits(self, neck: Tensor) -> Tensor:
        """Map the neck's features (B,C,H,W) to heatmap logits (B,classes,H,W)."""
        return torch.as_tensor(self.heatmap(neck))

    def dense(self, neck: Tensor) -> Regressions:
        """Evaluate the regressions at every cell of (B,C,H,W)."""
        hidden = functional.relu(self.regression_hidden(neck)).chunk(len(CHANNELS), 1)
        return Regressions(*(head(part) for head, part in zip(self.regressions.values(), hidden)))

    def at_cells(self, neck: Tensor, cells: Tensor) -> Regressions:
        """Evaluate the regressions at the flat cells (B,K) of (B,C,H,W) only."""
        patches = _patches(neck, cells)
        layer = self.regression_hidden
        hidden = functional.relu(functional.linear(patches, layer.weight.flatten(1), layer.bias))
        weights = (
            (self.regressions.get_parameter(f"{name}.weight"), self.regressions.get_parameter(f"{name}.bias"))
            for name in CHANNELS
        )
        parts = hidden.chunk(len(CHANNELS), -1)
        return Regressions(*(functional.linear(part, w.flatten(1), b) for part, (w, b) in zip(parts, weights)))


def _output(inputs: int, outputs: int) -> nn.Conv2d:
    """Return a last convolution that starts near zero."""
    layer = nn.Conv2d(inputs, outputs, 1)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.zeros_(torch.as_tensor(layer.bias))
    return layer


def _patches(neck: Tensor, cells: Tensor) -> Tensor:
    """Cut the zero-padded 3x3 neighbourhoods (B,K,C*9) of flat cells (B,K), in the order of a convolution's weights."""
    batch, channels, _, width = neck.shape
    padded = functional.pad(neck, (1, 1, 1, 1)).flatten(2)
    first = cells // width * (width + 2) + cells % width
    reach = torch.arange(3, device=neck.device)
    around = (reach[:, None] * (width + 2) + reach).flatten()
    index = (first[..., None] + around).flatten(1)
    gathered = padded.gather(2, index[:, None].expand(-1, channels, -1))
    return gathered.reshape(batch, channels, cells.shape[1], 9).permute(0, 2, 1, 3).flatten(2)
