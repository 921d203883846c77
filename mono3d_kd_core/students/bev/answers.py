"""How a bird's-eye student answers: at anchors, as SECOND and PointPillars do, or as heatmaps, as CenterPoint does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import rows_3d
from mono3d_kd_core.heads.anchor import AnchorHead, AnchorResponses, anchor_grid
from mono3d_kd_core.heads.anchor_decode import select_boxes
from mono3d_kd_core.heads.anchor_loss import Assignment, anchor_loss, assign
from mono3d_kd_core.heads.center import CenterHead, CenterResponses
from mono3d_kd_core.heads.center_loss import center_loss, center_targets
from mono3d_kd_core.heads.selection import Selection
from mono3d_kd_core.students.bev.config import BevConfig

Dense = TypeVar("Dense", AnchorResponses, CenterResponses)


class Answers(nn.Module, Generic[Dense]):
    """What the head's numbers mean on a student's map; there is nothing to learn. Boxes are in "lidar", the map's frame."""

    positions: Tensor
    """Where each answer is given (P,3), as the teacher's `Responses.position`."""

    def __init__(self, config: BevConfig) -> None:
        super().__init__()
        self.config, self.classes = config, config.classes

    @property
    def selection(self) -> Selection:
        """Which boxes count."""
        c = self.config
        return Selection(c.score_threshold, c.nms_iou, c.nms_before, c.nms_after)

    def head(self, channels: int) -> nn.Module:
        """Return a new head over maps of so many channels."""
        raise NotImplementedError

    def boxes(self, responses: Dense) -> list[Boxes3D]:
        """Return each sample's boxes, best first."""
        raise NotImplementedError

    def losses(self, responses: Dense, boxes: Sequence[Boxes3D]) -> dict[str, Tensor]:
        """Return the terms by which the head learns from boxes, one `Boxes3D` a sample; unknown classes are left out."""
        raise NotImplementedError

    def objects(self, boxes: Boxes3D) -> tuple[Tensor, Tensor]:
        """Return rows (M,7) and class indices (M,) of the boxes whose class is learned."""
        boxes = boxes[np.isin(boxes.label, self.classes)]
        labels = torch.tensor([self.classes.index(str(label)) for label in boxes.label], dtype=torch.long)
        return torch.from_numpy(rows_3d(boxes)).to(self.positions), labels.to(self.positions.device)


class AnchorAnswers(Answers[AnchorResponses]):
    """Two anchors a class and cell."""

    anchors: Tensor

    def __init__(self, config: BevConfig) -> None:
        super().__init__(config)
        anchors = anchor_grid(config.kinds, config.low[:2], config.high[:2], *config.response_shape)
        self.shape = anchors.shape
        self.register_buffer("anchors", anchors.view(-1, 7), persistent=False)

    @property
    def positions(self) -> Tensor:  # type: ignore[override]
        """The anchors' centres."""
        return self.anchors[:, :3]

    def head(self, channels: int) -> AnchorHead:
        """Return a new head over maps of so many channels."""
        return AnchorHead(channels, len(self.classes))

    def boxes(self, responses: AnchorResponses) -> list[Boxes3D]:
        """Return each sample's boxes, best first."""
        r = AnchorResponses(responses.logits.float(), responses.codes.float(), responses.directions.float())
        return select_boxes(r, self.anchors, self.classes, self.selection)

    def losses(self, responses: AnchorResponses, boxes: Sequence[Boxes3D]) -> dict[str, Tensor]:
        """Return SECOND's losses."""
        return anchor_loss(responses, [self.assignment(sample) for sample in boxes])

    def assignment(self, boxes: Boxes3D) -> Assignment:
        """Say which anchors answer for which of the boxes; classes that are not learned are left out."""
        return assign(self.anchors.view(self.shape), self.config.kinds, *self.objects(boxes))


class CentreAnswers(Answers[CenterResponses]):
    """One heatmap a class, and one box a cell."""

    positions: Tensor

    def __init__(self, config: BevConfig) -> None:
        super().__init__(config)
        self.cell = config.cell * config.strides[0] / config.up_strides[0]
        empty = torch.zeros(1, 8, *config.response_shape)
        corners = CenterResponses(empty, empty).boxes(config.low, self.cell)[0, :, :3]
        self.register_buffer("positions", corners, persistent=False)

    def head(self, channels: int) -> CenterHead:
        """Return a new head over maps of so many channels."""
        return CenterHead(channels, len(self.classes), self.config.head_width, self.config.bias_before_norm)

    @torch.no_grad()
    def boxes(self, responses: CenterResponses) -> list[Boxes3D]:
        """Return each sample's boxes, best first; centres outside the volume count for nothing."""
        boxes = CenterResponses(responses.logits, responses.codes.float()).boxes(self.config.low, self.cell)
        scores, labels = responses.logits.float().flatten(2).sigmoid().max(1)
        low, high = boxes.new_tensor(self.config.low), boxes.new_tensor(self.config.high)
        inside = ((boxes[..., :3] >= low) & (boxes[..., :3] <= high)).all(-1)
        found, selection = [], self.selection
        for rows, score, label in zip(boxes, scores * inside, labels, strict=True):
            best = selection.best(score)
            found.append(selection.boxes(rows[best], score[best], label[best], self.classes))
        return found

    def losses(self, responses: CenterResponses, boxes: Sequence[Boxes3D]) -> dict[str, Tensor]:
        """Return CenterPoint's losses."""
        shape, count, low = self.config.response_shape, len(self.classes), self.config.low
        objects = [self.objects(sample) for sample in boxes]
        return center_loss(
            responses,
            [
                center_targets(rows.double().cpu().numpy(), labels.cpu().numpy(), count, low, self.cell, shape)
                for rows, labels in objects
            ],
        )


def answers_of(config: BevConfig) -> AnchorAnswers | CentreAnswers:
    """Return the answers that a student's settings ask for."""
    return CentreAnswers(config) if config.head == "center" else AnchorAnswers(config)
