"""The two ways from points to a bird's-eye map, sparse 3D convolutions over voxels and pillars: settings and parts."""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from mono3d_kd_core.teachers.lidar import LidarConfig
from mono3d_kd_core.teachers.pillars import PillarFeatures, PillarMap
from mono3d_kd_core.teachers.sparse_backbone import STRIDE, SparseBackbone, levels_left
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels


class VoxelConfig(LidarConfig):
    """Voxels and the sparse 3D backbone; the defaults are those of OpenPCDet's SECOND on KITTI."""

    low: tuple[float, float, float] = (0.0, -40.0, -3.0)
    high: tuple[float, float, float] = (70.4, 40.0, 1.0)
    voxel: tuple[float, float, float] = (0.05, 0.05, 0.1)
    """Size of a voxel along x, y, z in metres."""
    max_points: int = Field(5, gt=0)
    max_voxels_training: int = Field(16000, gt=0)
    max_voxels: int = Field(40000, gt=0)
    widths: tuple[int, int, int, int] = (16, 32, 64, 64)
    """Channels of the 3D backbone at its four resolutions."""
    out_width: int = Field(128, gt=0)
    residual: bool = False

    @property
    def grid(self) -> VoxelGrid:
        """The voxels."""
        return VoxelGrid(self.low, self.high, self.voxel)

    @property
    def bev_stride(self) -> int:
        """Voxels along a cell of the bird's-eye map."""
        return STRIDE

    @property
    def bev_channels(self) -> int:
        """Channels of the bird's-eye map: those of the layers of height that are left."""
        return self.out_width * levels_left(self.grid.shape[2] + 1)

    def capacity(self, training: bool) -> int:
        """Return how many voxels a cloud may fill."""
        return self.max_voxels_training if training else self.max_voxels

    @model_validator(mode="after")
    def _is_high_enough(self) -> Self:
        levels = self.grid.shape[2]
        if levels_left(levels + 1) < 1:
            raise ValueError(f"{levels} voxels of height are too few: the 3D backbone leaves none of them")
        return self


class OnVoxels:
    """The part of a detector that makes the map from voxels, named as OpenPCDet's; it comes before the head's class."""

    config: VoxelConfig
    backbone_3d: SparseBackbone

    def add_voxels(self, config: VoxelConfig) -> None:
        """Build the 3D backbone."""
        self.backbone_3d = SparseBackbone(4, config.widths, config.out_width, config.residual)

    def ground(self, clouds: list[Voxels]) -> Tensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch: what CMKD's student imitates."""
        return self.backbone_3d.ground_map(clouds, self.config.grid)


class PillarConfig(LidarConfig):
    """Pillars and their features; the defaults are those of OpenPCDet's PointPillars on KITTI."""

    low: tuple[float, float, float] = (0.0, -39.68, -3.0)
    high: tuple[float, float, float] = (69.12, 39.68, 1.0)
    pillar: float = Field(0.16, gt=0)
    """Side of a pillar in metres."""
    max_points: int = Field(32, gt=0)
    max_pillars_training: int = Field(16000, gt=0)
    max_pillars: int = Field(40000, gt=0)
    width: int = Field(64, gt=0)
    """Channels of the pillar features."""
    map_layers: int = Field(0, ge=0)
    """Convolutions over the map before it counts as the bird's-eye map; the first has stride 2. CMKD's teacher has 6."""
    layers: tuple[int, ...] = (3, 5, 5)
    strides: tuple[int, ...] = (2, 2, 2)
    filters: tuple[int, ...] = (64, 128, 256)
    up_strides: tuple[int, ...] = (1, 2, 4)
    up_filters: tuple[int, ...] = (128, 128, 128)

    @property
    def grid(self) -> VoxelGrid:
        """The pillars: one voxel high."""
        return VoxelGrid(self.low, self.high, (self.pillar, self.pillar, self.high[2] - self.low[2]))

    @property
    def bev_stride(self) -> int:
        """Pillars along a cell of the bird's-eye map."""
        return 2 if self.map_layers else 1

    def capacity(self, training: bool) -> int:
        """Return how many pillars a cloud may fill."""
        return self.max_pillars_training if training else self.max_pillars


class OnPillars:
    """The part of a detector that makes the map from pillars, named as OpenPCDet's; it comes before the head's class."""

    vfe: PillarFeatures
    map_to_bev_module: PillarMap

    def add_pillars(self, config: PillarConfig) -> None:
        """Build the pillars' features and the map of them."""
        self.vfe = PillarFeatures(config.grid, config.width)
        self.map_to_bev_module = PillarMap(config.grid, config.width, config.map_layers)

    def ground(self, clouds: list[Voxels]) -> Tensor | SparseTensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch, or its occupied cells."""
        ground: Tensor | SparseTensor = self.map_to_bev_module(self.vfe, clouds)
        return ground
