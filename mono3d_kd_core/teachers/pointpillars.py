"""PointPillars: a LiDAR detector without 3D convolutions (Lang et al., CVPR 2019)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from mono3d_kd_core.teachers.anchored import AnchorConfig, AnchorTeacher
from mono3d_kd_core.teachers.pillars import PillarFeatures, PillarMap
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels, stack


class PointPillarsConfig(AnchorConfig):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

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

    @classmethod
    def cmkd(cls) -> PointPillarsConfig:
        """Return the variant that CMKD offers as a teacher (Hong, Dai & Ding, ECCV 2022): a map like its SECOND's."""
        return cls(
            width=128, map_layers=6, layers=(5, 5), strides=(1, 2), filters=(128, 256), up_strides=(1, 2),
            up_filters=(256, 256),
        )  # fmt: skip


class PointPillars(AnchorTeacher):
    """Pillars → pseudo-image → 2D backbone → anchor head. 4,834,888 parameters in OpenPCDet's KITTI shape."""

    architecture = "pointpillars"
    config_type = PointPillarsConfig
    config: PointPillarsConfig

    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__(config, config.width)
        columns, rows, _ = config.grid.shape
        self.vfe = PillarFeatures(config.grid, config.width)
        self.map_to_bev_module = PillarMap(rows, columns, config.width, config.map_layers)

    def bev(self, clouds: list[Voxels]) -> Tensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch."""
        voxels, sample = stack(clouds)
        features = self.vfe(voxels)
        cells, cloud = (torch.from_numpy(array).to(features.device) for array in (voxels.coordinates, sample))
        bev: Tensor = self.map_to_bev_module(features, cells, cloud, len(clouds))
        return bev
