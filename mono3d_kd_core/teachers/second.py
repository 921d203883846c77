"""SECOND: a LiDAR detector with sparse 3D convolutions (Yan, Mao & Li, Sensors 2018)."""

from __future__ import annotations

from mono3d_kd_core.teachers.anchored import AnchorConfig, AnchorTeacher
from mono3d_kd_core.teachers.volumes import OnVoxels, VoxelConfig


class SecondConfig(VoxelConfig, AnchorConfig):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

    layers: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    filters: tuple[int, ...] = (128, 256)
    up_strides: tuple[int, ...] = (1, 2)
    up_filters: tuple[int, ...] = (256, 256)

    @classmethod
    def cmkd(cls) -> SecondConfig:
        """Return CMKD's teacher (Hong, Dai & Ding, ECCV 2022): finer voxels, residual and 64 wide, overlap-aware scores."""
        return cls(
            voxel=(0.04, 0.04, 0.1), max_voxels_training=20000, residual=True, out_width=64, classification="quality_focal"
        )


class Second(OnVoxels, AnchorTeacher):
    """Means of voxels -> sparse 3D backbone -> 2D backbone -> anchor head.

    5,325,576 parameters in OpenPCDet's KITTI shape, 5,685,544 in CMKD's.
    """

    architecture = "second"
    config_type = SecondConfig
    config: SecondConfig

    def __init__(self, config: SecondConfig) -> None:
        super().__init__(config, config.bev_channels)
        self.add_voxels(config)
