"""Where in space the cells of a feature map may look: 3D-aware positional encoding from intrinsics alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins

CANDIDATES = DepthBins(64, 1.0, 60.0)
"""Depths at which each cell's ray is sampled."""
SCENE_LOW, SCENE_HIGH = (-40.0, -5.0, 0.0), (40.0, 5.0, 60.0)
"""Metres, camera optical frame: what is brought to [0, 1]; points outside are cut to it."""


def ray_points(camera: CameraModel, rows: int, columns: int, stride: int) -> Tensor:
    """Return (3*64,rows,columns): the points of the ray through each cell's middle pixel, scaled to the scene's range."""
    v, u = np.mgrid[:rows, :columns] * stride + (stride - 1) / 2
    rays = camera.rays(np.column_stack([u.ravel(), v.ravel()]))
    depth = CANDIDATES.depth(np.arange(CANDIDATES.count, dtype=np.float64))
    points = rays[:, None] * depth[:, None] + camera.optical_centre
    low, high = np.array(SCENE_LOW), np.array(SCENE_HIGH)
    # Beyond the lens's field of view there is no ray.
    share = np.nan_to_num(np.clip((points - low) / (high - low), 0, 1), nan=0.0)
    return torch.from_numpy(share.astype(np.float32).reshape(rows, columns, -1)).permute(2, 0, 1)


class PositionEncoding3D(nn.Module):
    """Two 1x1 convolutions on the points of each cell's ray (Liu et al., "PETR", ECCV 2022, section 3.3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            nn.Conv2d(3 * CANDIDATES.count, 2 * channels, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(2 * channels, channels, 1),
        )

    def forward(self, cameras: Sequence[CameraModel], rows: int, columns: int, stride: int) -> Tensor:
        """Return (B,C,rows,columns) for maps of a stride; follows every crop and flip, as the cameras do."""
        device = next(self.parameters()).device
        points = torch.stack([ray_points(camera, rows, columns, stride) for camera in cameras])
        return torch.as_tensor(self.encode(points.to(device)))
