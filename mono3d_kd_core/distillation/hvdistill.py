"""HVDistill (Zhang et al., IJCV 2024): an image network teaches a LiDAR backbone what both see of a drive, without labels.

What a picture and a sweep say of the same superpixel, and of the same cell of the ground, is drawn together; what they say
of different ones is driven apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.distillation.hvdistill_losses import (
    TEMPERATURE,
    depth_loss,
    group_means,
    info_nce,
    matched_share,
    nearest_depth,
)
from mono3d_kd_core.distillation.image_teacher import ImageTeacher
from mono3d_kd_core.distillation.lifted_image import Lifted, LiftedImage
from mono3d_kd_core.distillation.point_student import PointFeatures, PointStudent
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth import depth_map, project_points
from mono3d_kd_core.geometry.depth_bins import UniformDepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.teachers.sparse_backbone import STRIDE
from mono3d_kd_core.teachers.volumes import VoxelConfig
from mono3d_kd_core.teachers.voxels import VoxelGrid

HEIGHTS = (-10.0, 10.0)
"""Metres over the ground's frame between which pixels are lifted onto its cells."""


@dataclass(frozen=True)
class Pair:
    """A picture and the sweep that was taken with it.

    image (H,W,3) uint8 RGB; superpixels (H,W) their numbers from 0 on, negative outside the picture; points (N,4) in the
    frame that pose, T_camera_lidar (4,4), maps into the camera: the LiDAR's, perhaps turned or mirrored.
    """

    id: str
    image: NDArray[np.uint8]
    superpixels: NDArray[np.int64]
    camera: CameraModel
    pose: Matrix
    points: NDArray[np.float32]


class HvWeights(BaseModel):
    """How much each term counts; 0 leaves it out, and the defaults are those of the released code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_plane: float = Field(default=1.0, ge=0)
    """Contrast of superpixels."""
    ground: float = Field(default=0.25, ge=0)
    """Contrast of cells of the bird's-eye map."""
    depth: float = Field(default=60.0, ge=0)
    """Depth of the LiDAR's points, for the lift."""


class HvConfig(BaseModel):
    """The shapes of what is trained along and left behind; the defaults are those of the released code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    channels: int = Field(default=64, gt=0)
    """Of the space in which both sides are compared."""
    lift_width: int = Field(default=256, gt=0)
    depth_bins: int = Field(default=118, gt=1)
    depth_range: tuple[float, float] = (1.0, 60.0)
    temperature: float = Field(default=TEMPERATURE, gt=0)
    most_cells: int = Field(default=8192, gt=0)
    """Cells of the ground in one contrast; of more, so many are drawn."""


@dataclass(frozen=True)
class Contrast:
    """keys (N,C) of the points and queries (N,C) of the picture, row by row of the same place.

    place (N,2) is sample and number of a superpixel, (N,3) sample, row and column of a cell.
    """

    keys: Tensor
    queries: Tensor
    place: Tensor


@dataclass(frozen=True)
class Seen:
    """What both networks say of a batch: superpixels, and where they were asked for cells of the ground and depth."""

    superpixels: Contrast
    ground: Contrast | None
    depth: Tensor | None


class HvDistill(nn.Module):
    """Student, heads and lift: all that learns. The image teacher belongs to it but is no part of its parameters."""

    def __init__(self, points: VoxelConfig, image: ImageTeacher, config: HvConfig) -> None:
        super().__init__()
        self.config = config
        self._image = (image,)  # a tuple hides it from torch
        self.student = PointStudent(points, config.channels)
        self.image_head = nn.Conv2d(image.channels, config.channels, 1)
        low, high, cell = points.low, points.high, [size * STRIDE for size in points.voxel[:2]]
        grid = VoxelGrid(
            (low[0], low[1], HEIGHTS[0]), (high[0], high[1], HEIGHTS[1]), (cell[0], cell[1], HEIGHTS[1] - HEIGHTS[0])
        )
        self.bins = UniformDepthBins(config.depth_bins, *config.depth_range)
        self.lifted = LiftedImage(config.channels, config.lift_width, grid, self.bins)

    @property
    def image(self) -> ImageTeacher:
        """Who teaches."""
        return self._image[0]

    def losses(self, pairs: Sequence[Pair], weights: HvWeights) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the weighted terms of a batch, and by name the share of keys that are most like their own query."""
        seen = self(pairs, weights)
        t = self.config.temperature
        terms: dict[str, Tensor] = {}
        figures: dict[str, Tensor] = {}
        if weights.image_plane:
            terms["image_plane"] = weights.image_plane * info_nce(seen.superpixels.keys, seen.superpixels.queries, t)
            figures["superpixels"] = matched_share(seen.superpixels.keys, seen.superpixels.queries)
        if seen.ground is not None:
            terms["ground"] = weights.ground * info_nce(seen.ground.keys, seen.ground.queries, t)
            figures["cells"] = matched_share(seen.ground.keys, seen.ground.queries)
        if seen.depth is not None and weights.depth:
            terms["depth"] = weights.depth * depth_loss(seen.depth, self.depth_labels(pairs).to(seen.depth.device))
        return terms, figures

    def forward(self, pairs: Sequence[Pair], weights: HvWeights) -> Seen:
        """Let both look at a batch of pictures of one size."""
        device = self.image_head.weight.device
        images = torch.from_numpy(np.stack([pair.image for pair in pairs])).permute(0, 3, 1, 2).to(device)
        projected = functional.normalize(self.image_head(self.image(images)).float(), dim=1)
        points = self.student([pair.points for pair in pairs])
        superpixels = self._superpixels(pairs, points, projected)
        if not (weights.ground or weights.depth):
            return Seen(superpixels, None, None)
        lifted: Lifted = self.lifted(projected, [pair.camera for pair in pairs], [pair.pose for pair in pairs])
        return Seen(superpixels, self._cells(points, lifted.bev) if weights.ground else None, lifted.depth)

    def _superpixels(self, pairs: Sequence[Pair], points: PointFeatures, projected: Tensor) -> Contrast:
        """Pool both sides over superpixels in which there are points."""
        numbers = np.stack([pair.superpixels for pair in pairs])
        most = int(numbers.max()) + 1
        own = np.arange(len(pairs))[:, None, None] * most
        of_pixel = torch.from_numpy(np.where(numbers >= 0, numbers + own, -1)).to(projected.device)
        of_point = superpixel_of_points(pairs, points, of_pixel)
        shown = of_point >= 0
        keys, count = group_means(points.points[shown], of_point[shown], len(pairs) * most)

        size = (pairs[0].camera.height, pairs[0].camera.width)
        # The map at the picture's size, of vectors of length 1 again, as released.
        fine = functional.interpolate(projected, size, mode="bilinear", align_corners=True)
        pixels = functional.normalize(fine, dim=1).permute(0, 2, 3, 1).reshape(-1, fine.shape[1])
        flat = of_pixel.reshape(-1)
        inside = torch.nonzero(flat >= 0)[:, 0]
        queries, _ = group_means(pixels[inside], flat[inside], len(pairs) * most)
        chosen = torch.nonzero(count)[:, 0]
        return Contrast(keys[chosen], queries[chosen], torch.stack([chosen // most, chosen % most], 1))

    def _cells(self, points: PointFeatures, bev: Tensor) -> Contrast:
        """Pair the cells with points with what was lifted there, where the picture shows them."""
        b, row, column = points.cells.unbind(1)
        lifted = bev.permute(0, 2, 3, 1)[b, row, column]
        shown = torch.nonzero(lifted.detach().abs().sum(1) > 0)[:, 0]
        if len(shown) > self.config.most_cells:
            shown = shown[torch.randperm(len(shown))[: self.config.most_cells].to(shown.device)]
        return Contrast(points.ground[shown], functional.normalize(lifted[shown], dim=1), points.cells[shown])

    def depth_labels(self, pairs: Sequence[Pair]) -> Tensor:
        """Return the bin (B,h,w) of the nearest point in each cell of the lifted map; -1 where there is none in range."""
        maps = torch.from_numpy(np.stack([depth_map(pair.points, pair.camera, pair.pose) for pair in pairs]))
        nearest = nearest_depth(maps, self.image.config.stride).numpy()
        label = self.bins.label(nearest)
        return torch.from_numpy(np.where((nearest > 0) & (label < self.bins.count), label, -1))


def superpixel_of_points(pairs: Sequence[Pair], points: PointFeatures, of_pixel: Tensor) -> Tensor:
    """Return the superpixel (P,), as numbered in `of_pixel` (B,H,W), onto which each point falls; -1 where none does."""
    maps = []
    for pair, numbers in zip(pairs, of_pixel.cpu().numpy()):
        uv, _, index = project_points(pair.points, pair.camera, pair.pose)
        column, row = np.rint(uv).astype(np.intp).T
        own = np.full(len(pair.points), -1, np.int64)
        own[index] = numbers[row, column]
        maps.append(own)
    first = np.cumsum([0, *(len(own) for own in maps[:-1])])
    flat = torch.from_numpy(np.concatenate(maps)).to(of_pixel.device)
    found: Tensor = flat[torch.from_numpy(first).to(of_pixel.device)[points.sample] + points.index]
    return found
