"""PointPillars: a LiDAR detector without 3D convolutions (Lang et al., CVPR 2019)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.geometry.overlap import nms_bev
from mono3d_kd_core.heads.anchor import KITTI_ANCHORS, AnchorClass, AnchorHead, AnchorResponses, anchor_grid
from mono3d_kd_core.teachers.base import BevFeatures, Responses, TeacherOutput, Want
from mono3d_kd_core.teachers.bev_backbone import BevBackbone
from mono3d_kd_core.teachers.pillars import PillarFeatures, scatter_to_bev
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels, voxelise


class AnchorSettings(BaseModel):
    """One class of anchors; see `heads.anchor.AnchorClass`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    size: tuple[float, float, float]
    bottom: float
    positive_iou: float = Field(gt=0, le=1)
    negative_iou: float = Field(gt=0, le=1)


class PointPillarsConfig(BaseModel):
    """Shape of the network; the defaults are OpenPCDet's KITTI model."""

    model_config = ConfigDict(extra="forbid")

    low: tuple[float, float, float] = (0.0, -39.68, -3.0)
    """Nearest corner of the volume looked at, metres, LiDAR frame."""
    high: tuple[float, float, float] = (69.12, 39.68, 1.0)
    pillar: float = Field(0.16, gt=0)
    """Side of a pillar in metres."""
    max_points: int = Field(32, gt=0)
    max_pillars_training: int = Field(16000, gt=0)
    max_pillars: int = Field(40000, gt=0)
    width: int = Field(64, gt=0)
    """Channels of the pillar features."""
    layers: tuple[int, ...] = (3, 5, 5)
    strides: tuple[int, ...] = (2, 2, 2)
    filters: tuple[int, ...] = (64, 128, 256)
    up_strides: tuple[int, ...] = (1, 2, 4)
    up_filters: tuple[int, ...] = (128, 128, 128)
    anchors: tuple[AnchorSettings, ...] = tuple(AnchorSettings(**vars(kind)) for kind in KITTI_ANCHORS)
    camera_view: bool = True
    """Look only at the points that the camera sees, as training on KITTI's labels does."""
    score_threshold: float = Field(0.1, ge=0, le=1)
    nms_iou: float = Field(0.01, ge=0, le=1)
    nms_before: int = Field(4096, gt=0)
    nms_after: int = Field(500, gt=0)

    @property
    def grid(self) -> VoxelGrid:
        """The pillars: one voxel high."""
        return VoxelGrid(self.low, self.high, (self.pillar, self.pillar, self.high[2] - self.low[2]))

    @property
    def kinds(self) -> tuple[AnchorClass, ...]:
        """The anchor classes as the head wants them."""
        return tuple(AnchorClass(**kind.model_dump()) for kind in self.anchors)


class PointPillars(nn.Module):
    """Pillars → pseudo-image → 2D backbone → anchor head. A `Teacher`; parameter names equal OpenPCDet's.

    4,834,888 parameters in the KITTI shape. Points are x, y, z in metres and intensity in [0, 1], LiDAR frame, with the
    sensor at KITTI's height (1.73 m above the road) unless the anchors say otherwise.
    """

    architecture = "pointpillars"
    config_type = PointPillarsConfig
    fingerprint = ""

    def __init__(self, config: PointPillarsConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = tuple(kind.name for kind in config.anchors)
        self.vfe = PillarFeatures(config.grid, config.width)
        self.backbone_2d = BevBackbone(
            config.width, config.layers, config.strides, config.filters, config.up_strides, config.up_filters
        )
        self.dense_head = AnchorHead(self.backbone_2d.channels, len(self.classes))
        columns, rows, _ = config.grid.shape
        stride = config.strides[0] // config.up_strides[0]
        self.anchors: Tensor
        anchors = anchor_grid(config.kinds, config.low[:2], config.high[:2], rows // stride, columns // stride)
        self.anchor_shape = anchors.shape
        self.register_buffer("anchors", anchors.view(-1, 7), persistent=False)

    def pillars(self, points: NDArray[np.float32]) -> Voxels:
        """Cut a cloud (N,4) into pillars, as many as training or inference allows."""
        most = self.config.max_pillars_training if self.training else self.config.max_pillars
        return voxelise(points, self.config.grid, self.config.max_points, most)

    def forward(self, clouds: list[Voxels]) -> tuple[AnchorResponses, Tensor]:
        """Return the head's responses and the pseudo-image (B, C, rows, columns) of a batch of pillared clouds."""
        columns, rows, _ = self.config.grid.shape
        joined = Voxels(
            np.concatenate([cloud.points for cloud in clouds]),
            np.concatenate([cloud.coordinates for cloud in clouds]),
            np.concatenate([cloud.counts for cloud in clouds]),
        )
        features = self.vfe(joined)
        sample = torch.repeat_interleave(torch.tensor([len(cloud.counts) for cloud in clouds])).to(features.device)
        coordinates = torch.from_numpy(joined.coordinates).to(features.device)
        bev = scatter_to_bev(features, coordinates, sample, len(clouds), rows, columns)
        return self.dense_head(self.backbone_2d(bev)), bev

    @torch.no_grad()
    def decode(self, responses: AnchorResponses) -> list[Boxes3D]:
        """Turn responses into boxes in "lidar": best class a place, one suppression for all classes."""
        boxes = responses.boxes(self.anchors)
        scores, labels = responses.logits.sigmoid().max(-1)
        return [self._select(*sample) for sample in zip(boxes, scores, labels, strict=True)]

    def _select(self, boxes: Tensor, scores: Tensor, labels: Tensor) -> Boxes3D:
        config = self.config
        scores, order = torch.topk(scores, min(config.nms_before, len(scores)))
        order = order[scores >= config.score_threshold]
        rows = boxes[order].double().cpu().numpy()
        score = scores[: len(order)].double().cpu().numpy()
        kept = nms_bev(rows[:, [0, 1, 3, 4, 6]], score, config.nms_iou)[: config.nms_after]
        names = np.array(self.classes)[labels[order].cpu().numpy()]
        return Boxes3D(rows[kept, :3], rows[kept, 3:6], rows[kept, 6], names[kept], score[kept], frame="lidar")

    @torch.no_grad()
    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        """Look at a frame's points. Raises DataError when it has none."""
        if frame.points is None:
            raise DataError(f"frame {frame.id}: has no LiDAR points, so a LiDAR teacher cannot look at it")
        points = frame.points
        if self.config.camera_view:
            points = points[points_in_view(points, frame.rig.camera, frame.rig.T_camera_lidar)]
        responses, bev = self([self.pillars(points)])
        return TeacherOutput(
            self.decode(responses)[0],
            bev=self._features(bev) if Want.BEV_FEATURES in want else None,
            responses=self._responses(responses) if Want.RESPONSES in want else None,
        )

    def _features(self, bev: Tensor) -> BevFeatures:
        low, high = self.config.low, self.config.high
        return BevFeatures(bev[0].float().cpu().numpy(), (low[0], high[0]), (low[1], high[1]))

    def _responses(self, responses: AnchorResponses) -> Responses:
        return Responses(
            self.anchors[:, :3].float().cpu().numpy(),
            responses.logits[0].float().cpu().numpy(),
            responses.codes[0][:, None].float().cpu().numpy(),
            responses.directions[0].float().cpu().numpy(),
        )
