"""PointPillars: a LiDAR detector without 3D convolutions (Lang et al., CVPR 2019)."""

from __future__ import annotations

from mono3d_kd_core.teachers.anchored import AnchorConfig, AnchorTeacher
from mono3d_kd_core.teachers.volumes import OnPillars, PillarConfig


class PointPillarsConfig(PillarConfig, AnchorConfig):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

    @classmethod
    def cmkd(cls) -> PointPillarsConfig:
        """Return the variant that CMKD offers as a teacher (Hong, Dai & Ding, ECCV 2022): a map like its SECOND's."""
        return cls(
            width=128, map_layers=6, layers=(5, 5), strides=(1, 2), filters=(128, 256), up_strides=(1, 2),
            up_filters=(256, 256),
        )  # fmt: skip


class PointPillars(OnPillars, AnchorTeacher):
    """Pillars → pseudo-image → 2D backbone → anchor head. 4,834,888 parameters in OpenPCDet's KITTI shape."""

    architecture = "pointpillars"
    config_type = PointPillarsConfig
    config: PointPillarsConfig

    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__(config, config.width)
        self.add_pillars(config)
