"""PointPillars: a LiDAR detector without 3D convolutions (Lang et al., CVPR 2019)."""

from __future__ import annotations

from torch import Tensor

from mono3d_kd_core.teachers.anchored import AnchorConfig, AnchorTeacher
from mono3d_kd_core.teachers.pillars import PillarFeatures, PillarMap
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.volumes import PillarConfig
from mono3d_kd_core.teachers.voxels import Voxels


class PointPillarsConfig(PillarConfig, AnchorConfig):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

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
        self.vfe = PillarFeatures(config.grid, config.width)
        self.map_to_bev_module = PillarMap(config.grid, config.width, config.map_layers)

    def ground(self, clouds: list[Voxels]) -> Tensor | SparseTensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch, or its occupied cells."""
        ground: Tensor | SparseTensor = self.map_to_bev_module(self.vfe, clouds)
        return ground
