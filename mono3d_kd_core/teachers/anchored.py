"""LiDAR detectors with an anchor head: SECOND and PointPillars."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import rows_3d
from mono3d_kd_core.heads.anchor import KITTI_ANCHORS, AnchorClass, AnchorHead, AnchorResponses, anchor_grid
from mono3d_kd_core.heads.anchor_decode import select_boxes
from mono3d_kd_core.heads.anchor_loss import anchor_loss, assign
from mono3d_kd_core.heads.anchor_quality import quality_loss
from mono3d_kd_core.teachers.base import Responses
from mono3d_kd_core.teachers.bev_backbone import BevBackbone
from mono3d_kd_core.teachers.lidar import LidarConfig, LidarTeacher
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor


class AnchorSettings(BaseModel):
    """One class of anchors; see `heads.anchor.AnchorClass`."""

    model_config = ConfigDict(extra="forbid")

    name: str
    size: tuple[float, float, float]
    bottom: float
    positive_iou: float = Field(gt=0, le=1)
    negative_iou: float = Field(gt=0, le=1)


class AnchorConfig(LidarConfig):
    """Settings of a detector with anchors; the defaults are those of OpenPCDet's KITTI models."""

    anchors: tuple[AnchorSettings, ...] = tuple(AnchorSettings(**vars(kind)) for kind in KITTI_ANCHORS)
    classification: Literal["focal", "quality_focal"] = "focal"
    """Loss of the class scores: focal, or towards the boxes' overlap with the objects, as CMKD's teacher learns."""

    @property
    def kinds(self) -> tuple[AnchorClass, ...]:
        """The anchor classes as the head wants them."""
        return tuple(AnchorClass(**kind.model_dump()) for kind in self.anchors)


class AnchorTeacher(LidarTeacher[AnchorResponses]):
    """A LiDAR detector that answers at anchors. Subclasses make the bird's-eye map of `bev_channels` channels."""

    config: AnchorConfig
    dense_head: AnchorHead
    anchors: Tensor

    def __init__(self, config: AnchorConfig, bev_channels: int) -> None:
        super().__init__(config, tuple(kind.name for kind in config.anchors))
        self.backbone_2d = BevBackbone(
            bev_channels, config.layers, config.strides, config.filters, config.up_strides, config.up_filters
        )
        self.dense_head = AnchorHead(self.backbone_2d.channels, len(self.classes))
        anchors = anchor_grid(config.kinds, config.low[:2], config.high[:2], *config.response_shape)
        self.anchor_shape = anchors.shape
        self.register_buffer("anchors", anchors.view(-1, 7), persistent=False)

    def losses(self, answers: AnchorResponses, boxes: list[Boxes3D]) -> dict[str, Tensor]:
        """Return the weighted terms of the training loss; boxes are in "lidar", one `Boxes3D` a sample."""
        grid = self.anchors.view(self.anchor_shape)
        objects = [self._objects(sample) for sample in boxes]
        assignments = [assign(grid, self.config.kinds, rows, labels) for rows, labels in objects]
        terms = anchor_loss(answers, assignments)
        if self.config.classification == "quality_focal":
            terms["classification"] = quality_loss(answers, self.anchors, *zip(*objects, strict=True))
        return terms

    def _objects(self, boxes: Boxes3D) -> tuple[Tensor, Tensor]:
        indices = [self.classes.index(str(label)) for label in boxes.label]
        labels = torch.tensor(indices, dtype=torch.long, device=self.anchors.device)
        return torch.from_numpy(rows_3d(boxes)).to(self.anchors), labels

    def answer(self, ground: Tensor | SparseTensor) -> AnchorResponses:
        """Return the head's answers to a bird's-eye map; piece by piece, which is faster, where nothing is learned."""
        bands = [self.backbone_2d(ground)] if torch.is_grad_enabled() else self.backbone_2d.bands(ground)
        return self.dense_head.of_bands(bands)

    def decode(self, answers: AnchorResponses) -> list[Boxes3D]:
        """Turn answers into boxes in "lidar": best class an anchor, one suppression for all classes."""
        return select_boxes(answers, self.anchors, self.classes, self.config.selection)

    def responses(self, answers: AnchorResponses) -> Responses:
        """Return the dense answers of the first sample as they are stored."""
        return Responses(
            self.anchors[:, :3].float().cpu().numpy(),
            answers.logits[0].float().cpu().numpy(),
            answers.codes[0][:, None].float().cpu().numpy(),
            answers.directions[0].float().cpu().numpy(),
        )
