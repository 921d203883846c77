"""Settings of a bird's-eye student."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.heads.anchor import KITTI_ANCHORS, AnchorClass
from mono3d_kd_core.students.bev.image import ImageNetworkName
from mono3d_kd_core.students.bev.lift_index import LiftName
from mono3d_kd_core.teachers.anchored import AnchorSettings
from mono3d_kd_core.teachers.voxels import VoxelGrid

Pose = tuple[float, ...]
KITTI_POSE: Pose = (0, -1, 0, 0, 0, 0, -1, -0.08, 1, 0, 0, -0.27)


class BevConfig(BaseModel):
    """What makes a bird's-eye student; the defaults are CMKD's with SECOND as the teacher (Hong et al., ECCV 2022).

    Map, 2D backbone and anchors must be the teacher's, whose weights they start from. Frames are z-up: the teacher's
    LiDAR, `lidar_height` metres above the road.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_network: ImageNetworkName = "deeplab_resnet50"
    width: float = Field(default=1.0, gt=0, le=2)
    """Multiplies the image backbone's channels."""
    neck_channels: int = Field(default=128, gt=0)
    """Of the resnet18's feature pyramid."""
    stride: int = Field(default=8)
    """Of the feature map that is lifted: 4, 8 or 16; a DeepLab's is 8."""
    input_height: int = Field(default=375, gt=0)
    input_width: int = Field(default=1242, gt=0)
    """Pictures are fitted into this size; the resnet18 wants multiples of 32."""
    feature_channels: int = Field(default=64, gt=0)
    depth_bins: int = Field(default=120, gt=1)
    depth_range: tuple[float, float] = (2.0, 46.8)
    lift: LiftName = "splat"
    depth_threshold: float = Field(default=0.0, ge=0, lt=1)
    """Probabilities of a depth below this are taken for none, which spares the lift most of its work; 0 is exact."""
    low: tuple[float, float, float] = (2.0, -30.08, -3.0)
    """Nearest corner of the volume, metres."""
    high: tuple[float, float, float] = (46.8, 30.08, 1.0)
    cell: float = Field(default=0.32, gt=0)
    """Side of a cell of the bird's-eye map."""
    heights: int = Field(default=10, gt=0)
    """Voxels above each cell."""
    bev_channels: int = Field(default=128, gt=0, multiple_of=2)
    adaptation_blocks: int = Field(default=4, ge=0)
    layers: tuple[int, ...] = (5, 5)
    strides: tuple[int, ...] = (1, 2)
    filters: tuple[int, ...] = (128, 256)
    up_strides: tuple[int, ...] = (1, 2)
    up_filters: tuple[int, ...] = (256, 256)
    head: Literal["anchor", "center"] = "anchor"
    """The teacher's: SECOND and PointPillars answer at anchors, CenterPoint by heatmaps."""
    anchors: tuple[AnchorSettings, ...] = tuple(AnchorSettings(**vars(kind)) for kind in KITTI_ANCHORS)
    """Of an anchor head: its classes."""
    names: tuple[str, ...] = Field(("Car", "Pedestrian", "Cyclist"), min_length=1)
    """The classes of a centre head."""
    head_width: int = Field(default=64, gt=0)
    """Channels within a centre head."""
    bias_before_norm: bool = True
    """Whether a centre head's convolutions before a normalisation have a bias."""
    score_threshold: float = Field(default=0.1, ge=0, le=1)
    nms_iou: float = Field(default=0.01, ge=0, le=1)
    nms_before: int = Field(default=4096, gt=0)
    nms_after: int = Field(default=500, gt=0)
    lidar_height: float = 1.73
    """Metres from the road to the origin of the map's frame: KITTI's Velodyne."""
    pose: Pose = Field(default=KITTI_POSE, min_length=12, max_length=12)
    """The first three rows of T_camera_bev as in training, for images that come without a pose."""

    @model_validator(mode="after")
    def _fits(self) -> BevConfig:
        columns, rows, _ = self.grid.shape
        step = math.prod(self.strides)
        for axis, cells, low, high in zip("xy", (columns, rows), self.low, self.high):
            if cells % step or abs(low + cells * self.cell - high) > 1e-6:
                raise ValueError(
                    f"the range along {axis}, {low} to {high}, is not a multiple of {step} cells of {self.cell} m"
                )
        if self.image_network == "deeplab_resnet50" and self.stride != 8:
            raise ValueError("a DeepLab's features have stride 8")
        if self.stride not in (4, 8, 16):
            raise ValueError("stride must be 4, 8 or 16")
        if self.image_network == "resnet18" and (self.input_height % 32 or self.input_width % 32):
            raise ValueError("input_height and input_width must be multiples of 32 for the resnet18")
        return self

    @property
    def grid(self) -> VoxelGrid:
        """The voxels that image features are lifted into."""
        return VoxelGrid(self.low, self.high, (self.cell, self.cell, (self.high[2] - self.low[2]) / self.heights))

    @property
    def bins(self) -> DepthBins:
        """The depths that the image branch tells apart."""
        return DepthBins(self.depth_bins, *self.depth_range)

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that boxes may carry."""
        return self.names if self.head == "center" else tuple(kind.name for kind in self.anchors)

    @property
    def response_shape(self) -> tuple[int, int]:
        """Rows and columns of the map on which the head answers."""
        columns, rows, _ = self.grid.shape
        return rows // self.strides[0] * self.up_strides[0], columns // self.strides[0] * self.up_strides[0]

    @property
    def kinds(self) -> tuple[AnchorClass, ...]:
        """The anchor classes as the head wants them."""
        return tuple(AnchorClass(**kind.model_dump()) for kind in self.anchors)
