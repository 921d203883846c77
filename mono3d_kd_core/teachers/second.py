"""SECOND: a LiDAR detector with sparse 3D convolutions (Yan, Mao & Li, Sensors 2018)."""

from __future__ import annotations

from pydantic import Field, model_validator
from torch import Tensor
from typing_extensions import Self

from mono3d_kd_core.teachers.anchored import AnchorConfig, AnchorTeacher
from mono3d_kd_core.teachers.sparse_backbone import STRIDE, SparseBackbone, levels_left
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels


class SecondConfig(AnchorConfig):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

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
    layers: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    filters: tuple[int, ...] = (128, 256)
    up_strides: tuple[int, ...] = (1, 2)
    up_filters: tuple[int, ...] = (256, 256)

    @property
    def grid(self) -> VoxelGrid:
        """The voxels."""
        return VoxelGrid(self.low, self.high, self.voxel)

    @property
    def bev_stride(self) -> int:
        """Voxels along a cell of the bird's-eye map."""
        return STRIDE

    def capacity(self, training: bool) -> int:
        """Return how many voxels a cloud may fill."""
        return self.max_voxels_training if training else self.max_voxels

    @model_validator(mode="after")
    def _is_high_enough(self) -> Self:
        levels = self.grid.shape[2]
        if levels_left(levels + 1) < 1:
            raise ValueError(f"{levels} voxels of height are too few: the 3D backbone leaves none of them")
        return self

    @classmethod
    def cmkd(cls) -> SecondConfig:
        """Return CMKD's teacher (Hong, Dai & Ding, ECCV 2022): finer voxels, residual and 64 wide, overlap-aware scores."""
        return cls(
            voxel=(0.04, 0.04, 0.1), max_voxels_training=20000, residual=True, out_width=64, classification="quality_focal"
        )


class Second(AnchorTeacher):
    """Means of voxels -> sparse 3D backbone -> 2D backbone -> anchor head.

    5,325,576 parameters in OpenPCDet's KITTI shape, 5,685,544 in CMKD's.
    """

    architecture = "second"
    config_type = SecondConfig
    config: SecondConfig

    def __init__(self, config: SecondConfig) -> None:
        levels = levels_left(config.grid.shape[2] + 1)
        super().__init__(config, config.out_width * levels)
        self.backbone_3d = SparseBackbone(4, config.widths, config.out_width, config.residual)

    def bev(self, clouds: list[Voxels]) -> Tensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch: what CMKD's student imitates."""
        return self.backbone_3d.ground_map(clouds, self.config.grid)
