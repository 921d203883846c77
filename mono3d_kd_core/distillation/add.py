"""ADD (Wu et al., AAAI 2023) on the keypoint student: the teacher is the student, with depth to look at.

Attention on the student's side, aware of space and of the targets, lets features and answers follow the teacher's; it is
needed in training only.
"""

from __future__ import annotations

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mono3d_kd_core.distillation import add_losses
from mono3d_kd_core.distillation.add_modules import POOL, SelfAttention3D, TargetAttention
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.position3d import PositionEncoding3D
from mono3d_kd_core.distillation.privileged import DepthAidedKeypoint
from mono3d_kd_core.distillation.privileged_distiller import PrivilegedDistiller, Scene
from mono3d_kd_core.distillation.regions import Objects, inside_boxes, padded_cells, regressions_of, roi_align
from mono3d_kd_core.heads.keypoint import KeypointHead
from mono3d_kd_core.students.keypoint import KeypointOutput, KeypointStudent
from mono3d_kd_core.students.keypoint_targets import STRIDE


class AddWeights(BaseModel):
    """How much each term counts beside the student's own losses, and what of the method is used (for ablations)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: float = Field(default=1.0, ge=0)
    responses: float = Field(default=1.0, ge=0)
    depth: DepthSource = "lidar"
    """What the teacher sees: the sweeps, or the boxes' own depth, which needs no LiDAR."""
    position: bool = True
    """3D-aware positional encoding."""
    attention: bool = True
    """Self- and cross-attention; without, features and answers are compared as they are."""


class Add(PrivilegedDistiller[KeypointStudent, KeypointOutput]):
    """The student's own losses, and what the teacher adds. Encoding and attention are trained along and stay here."""

    def __init__(self, student: KeypointStudent, teacher: DepthAidedKeypoint, weights: AddWeights) -> None:
        super().__init__(student, teacher, weights.depth)
        self.weights = weights
        if weights.attention:
            width = student.neck.channels
            self.position = PositionEncoding3D(width) if weights.position else None
            self.self_attention = SelfAttention3D(width)
            self.target_attention = TargetAttention(width, len(student.classes))

    def transfer(self, output: KeypointOutput, seen: KeypointOutput, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation."""
        mine, theirs, objects = output.neck.float(), seen.neck.float(), scene.objects
        position = self._position(mine, scene) if self.weights.attention else None
        terms = {}
        if self.weights.features:
            adapted = mine if position is None else self.self_attention(mine, position)
            rows, columns = mine.shape[-2:]
            ones = mine.new_ones(len(objects))
            inside = inside_boxes(objects, ones, len(mine), rows, columns, STRIDE) > 0
            terms["features"] = self.weights.features * add_losses.feature_loss(adapted, theirs, inside)
        if self.weights.responses:
            answers = _answers(self.student.head, output, objects)
            if position is not None and len(objects):
                size = mine.new_tensor([mine.shape[-1] * STRIDE, mine.shape[-2] * STRIDE])
                regions = roi_align(theirs, objects, STRIDE)
                answers = answers + self.target_attention(mine, position, regions, objects, size)
            wanted = _answers(self.teacher.head, seen, objects)
            loss = add_losses.response_loss(answers[objects.visible], wanted[objects.visible])
            terms["responses"] = self.weights.responses * loss
        return terms

    def _position(self, neck: Tensor, scene: Scene) -> Tensor:
        """Return where the cells of the pooled map look (B,C,h/4,w/4); zeros without the encoding."""
        rows, columns = neck.shape[-2] // POOL, neck.shape[-1] // POOL
        if self.position is None:
            return neck.new_zeros(*neck.shape[:2], rows, columns)
        return torch.as_tensor(self.position(scene.cameras, rows, columns, STRIDE * POOL))


def _answers(head: KeypointHead, output: KeypointOutput, objects: Objects) -> Tensor:
    """Return the head's regressions at the objects' cells, then the heatmap's logits there: (K,34+classes)."""
    regressions = regressions_of(head, output.neck, objects)
    cells, slot = padded_cells(objects.image, objects.cell, len(output.heatmap))
    logits = output.heatmap.flatten(2).transpose(1, 2)
    read = logits.gather(1, cells[..., None].expand(-1, -1, logits.shape[-1]))
    return torch.cat([*regressions, read[objects.image, slot]], -1).float()
