"""ADD on the query student: features are those of the depth branch, answers those of the matched queries."""

from __future__ import annotations

import torch
from torch import Tensor

from mono3d_kd_core.distillation import add_losses
from mono3d_kd_core.distillation.add import AddWeights
from mono3d_kd_core.distillation.add_modules import SelfAttention3D, TargetAttention
from mono3d_kd_core.distillation.position3d import PositionEncoding3D
from mono3d_kd_core.distillation.privileged_distiller import PrivilegedDistiller, Scene
from mono3d_kd_core.distillation.privileged_query import DepthAidedQuery
from mono3d_kd_core.distillation.query_answers import (
    HEADING,
    LOGITS,
    answers_about,
    heading_divergence,
    score_loss,
    value_loss,
)
from mono3d_kd_core.distillation.regions import inside_boxes, roi_align
from mono3d_kd_core.students.query.depth_predictor import STRIDE
from mono3d_kd_core.students.query.student import QueryOutput, QueryStudent


class AddQuery(PrivilegedDistiller[QueryStudent, QueryOutput]):
    """The student's own losses, and what the teacher adds. Encoding and attention are trained along and stay here.

    The map that both nets have and that depth changes is the embedding that queries ask, at stride 16; so attention needs
    no pooling.
    """

    def __init__(self, student: QueryStudent, teacher: DepthAidedQuery, weights: AddWeights) -> None:
        super().__init__(student, teacher, weights.depth)
        self.weights = weights
        if weights.attention:
            width, heads = student.config.channels, student.config.heads
            self.position = PositionEncoding3D(width) if weights.position else None
            self.self_attention = SelfAttention3D(width, heads, pool=1)
            self.target_attention = TargetAttention(width, len(student.classes), heads, values=LOGITS, pool=1)

    def transfer(self, output: QueryOutput, seen: QueryOutput, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation."""
        mine, theirs, objects = output.depth.embedding.float(), seen.depth.embedding.float(), scene.objects
        position = self._position(mine, scene) if self.weights.attention else None
        terms = {}
        if self.weights.features:
            adapted = mine if position is None else self.self_attention(mine, position)
            rows, columns = mine.shape[-2:]
            inside = inside_boxes(objects, mine.new_ones(len(objects)), len(mine), rows, columns, STRIDE) > 0
            terms["features"] = self.weights.features * add_losses.feature_loss(adapted, theirs, inside)
        if self.weights.responses:
            terms["responses"] = self.weights.responses * self._responses(output, seen, scene, position)
        return terms

    def _responses(self, output: QueryOutput, seen: QueryOutput, scene: Scene, position: Tensor | None) -> Tensor:
        mine, theirs = output.depth.embedding.float(), seen.depth.embedding.float()
        targets = self.student.targets(scene.annotations, scene.cameras).to(mine.device)
        queries = self.student.config.queries
        own = answers_about(output.layers[-1], targets, queries)
        wanted = answers_about(seen.layers[-1], targets, queries)
        found = own.found & wanted.found
        if not found.any():
            return own.said.sum() * 0
        said = own.said
        if position is not None:
            size = mine.new_tensor([mine.shape[-1] * STRIDE, mine.shape[-2] * STRIDE])
            objects = scene.objects.chosen(targets.row)
            said = said + self.target_attention(mine, position, roi_align(theirs, objects, STRIDE), objects, size)
        said, asked = said[found], wanted.said[found]
        heading = heading_divergence(said[:, HEADING], asked[:, HEADING])
        return value_loss(said, asked) + heading + score_loss(said[:, LOGITS:], asked[:, LOGITS:])

    def _position(self, embedding: Tensor, scene: Scene) -> Tensor:
        """Return where the cells of the embedding look (B,C,h,w); zeros without the encoding."""
        if self.position is None:
            return torch.zeros_like(embedding)
        return torch.as_tensor(self.position(scene.cameras, *embedding.shape[-2:], STRIDE))
