"""CenterPoint: LiDAR detectors without anchors, over voxels and over pillars (Yin, Zhou & Krähenbühl, CVPR 2021)."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import rows_3d
from mono3d_kd_core.heads.center import CenterHead, CenterResponses
from mono3d_kd_core.heads.center_loss import center_loss, center_targets
from mono3d_kd_core.teachers.base import Responses
from mono3d_kd_core.teachers.bev_backbone import BevBackbone
from mono3d_kd_core.teachers.lidar import LidarConfig, LidarTeacher
from mono3d_kd_core.teachers.volumes import OnPillars, OnVoxels, PillarConfig, VoxelConfig


class CenterConfig(LidarConfig):
    """Settings of the centre head."""

    names: tuple[str, ...] = Field(("Car", "Pedestrian", "Cyclist"), min_length=1)
    """The classes."""
    head_width: int = Field(64, gt=0)
    bias_before_norm: bool = True

    @property
    def cell(self) -> float:
        """Side of a cell of the heatmap, in metres."""
        return self.grid.size[0] * self.bev_stride * self.strides[0] / self.up_strides[0]


class CenterTeacher(LidarTeacher[CenterResponses]):
    """A LiDAR detector that answers with heatmaps. Subclasses make the bird's-eye map of `bev_channels` channels."""

    config: CenterConfig

    def __init__(self, config: CenterConfig, bev_channels: int) -> None:
        super().__init__(config, config.names)
        self.backbone_2d = BevBackbone(
            bev_channels, config.layers, config.strides, config.filters, config.up_strides, config.up_filters
        )
        head = CenterHead(self.backbone_2d.channels, len(config.names), config.head_width, config.bias_before_norm)
        self.dense_head = head

    def losses(self, answers: CenterResponses, boxes: list[Boxes3D]) -> dict[str, Tensor]:
        """Return the weighted terms of the training loss; boxes are in "lidar", one `Boxes3D` a sample."""
        config, shape = self.config, (answers.logits.shape[2], answers.logits.shape[3])
        targets = []
        for sample in boxes:
            labels = np.array([self.classes.index(str(label)) for label in sample.label], np.int64)
            targets.append(
                center_targets(rows_3d(sample), labels, len(self.classes), config.low, config.cell, shape)
            )
        return center_loss(answers, targets)

    @torch.no_grad()
    def decode(self, answers: CenterResponses) -> list[Boxes3D]:
        """Turn answers into boxes in "lidar": best class a cell, one suppression for all classes.

        Boxes whose centre is outside the volume score nothing.
        """
        boxes = answers.boxes(self.config.low, self.config.cell)
        scores, labels = answers.logits.flatten(2).sigmoid().max(1)
        low, high = boxes.new_tensor(self.config.low), boxes.new_tensor(self.config.high)
        inside = ((boxes[..., :3] >= low) & (boxes[..., :3] <= high)).all(-1)
        found, selection = [], self.config.selection
        for rows, score, label in zip(boxes, scores * inside, labels, strict=True):
            best = selection.best(score)
            found.append(selection.boxes(rows[best], score[best], label[best], self.classes))
        return found

    def responses(self, answers: CenterResponses) -> Responses:
        """Return the dense answers of the first sample as they are stored; positions are the cells' corners, at height 0."""
        corners = torch.zeros_like(answers.codes[:1])
        places = CenterResponses(answers.logits[:1], corners).boxes(self.config.low, self.config.cell)[0, :, :3]
        return Responses(
            places.float().cpu().numpy(),
            answers.logits[0].flatten(1).T.float().cpu().numpy(),
            answers.codes[0].flatten(1).T[:, None].float().cpu().numpy(),
        )


class CenterPointConfig(VoxelConfig, CenterConfig):
    """Shape of the voxel network; the defaults are those of CMKD's teacher on KITTI."""

    widths: tuple[int, int, int, int] = (16, 32, 64, 128)
    residual: bool = True
    layers: tuple[int, ...] = (5,)
    strides: tuple[int, ...] = (1,)
    filters: tuple[int, ...] = (128,)
    up_strides: tuple[int, ...] = (2,)
    up_filters: tuple[int, ...] = (256,)
    nms_before: int = Field(500, gt=0)


class CenterPoint(OnVoxels, CenterTeacher):
    """Means of voxels -> residual sparse 3D backbone -> 2D backbone -> centre head; answers every 4 voxels."""

    architecture = "centerpoint"
    config_type = CenterPointConfig
    config: CenterPointConfig

    def __init__(self, config: CenterPointConfig) -> None:
        super().__init__(config, config.bev_channels)
        self.add_voxels(config)


class CenterPillarsConfig(PillarConfig, CenterConfig):
    """Shape of the pillar network; the defaults are OpenPCDet's for Waymo, on KITTI's range."""

    low: tuple[float, float, float] = (0.0, -38.4, -3.0)
    high: tuple[float, float, float] = (70.4, 38.4, 1.0)
    pillar: float = Field(0.32, gt=0)
    max_points: int = Field(20, gt=0)
    strides: tuple[int, ...] = (1, 2, 2)
    nms_before: int = Field(500, gt=0)


class CenterPillars(OnPillars, CenterTeacher):
    """Pillars -> pseudo-image -> 2D backbone -> centre head; answers at every pillar."""

    architecture = "centerpoint_pillar"
    config_type = CenterPillarsConfig
    config: CenterPillarsConfig

    def __init__(self, config: CenterPillarsConfig) -> None:
        super().__init__(config, config.width)
        self.add_pillars(config)
