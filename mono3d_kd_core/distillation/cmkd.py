"""CMKD (Hong, Dai & Ding, ECCV 2022): a LiDAR detector's map and dense answers, taught to an image detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from mono3d_kd_core.distillation import cmkd_losses
from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.distillation.cmkd_responses import response_terms
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import iou_3d, rows_3d
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse
from mono3d_kd_core.heads.anchor import AnchorResponses, decode
from mono3d_kd_core.heads.anchor_loss import Assignment
from mono3d_kd_core.students.base import StudentOutput
from mono3d_kd_core.students.bev.answers import AnchorAnswers, CentreAnswers
from mono3d_kd_core.students.bev.student import BevOutput, BevStudent
from mono3d_kd_core.teachers.base import BevFeatures, Responses, Want

Part = TypeVar("Part")


class CmkdWeights(BaseModel):
    """How much each term counts; 0 leaves it out. Released: 32, 8 (2 summed over a batch of 4), 2, 0.4 and depth 0.5."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: float = Field(default=0.0, ge=0)
    """Bird's-eye features."""
    empty_weight: float | None = Field(default=None, ge=0, le=1)
    """How much cells without LiDAR points count among the features; none of them is special by default."""
    classification: float = Field(default=0.0, ge=0)
    """Dense scores: of anchors, or the heatmaps of a centre head."""
    box: float = Field(default=0.0, ge=0)
    direction: float = Field(default=0.0, ge=0)
    """Heading bins, which an anchor head has."""
    depth: float = Field(default=0.0, ge=0)
    """Depth of the LiDAR's points."""
    pseudo_labels: float = Field(default=0.0, ge=0)
    """The teacher's boxes as labels (V1), all three terms of them."""
    full_score: float = Field(default=1.0, gt=0)
    """Pseudo-labels' scores are divided by it, and cut at 1."""
    labels: float = Field(default=0.0, ge=0)
    """A person's labels, where a frame has them."""

    @property
    def responses(self) -> float:
        """Whether any dense answers are distilled."""
        return self.classification + self.box + self.direction


class Cmkd(Distiller):
    """The sum of the terms that have a weight. It has nothing to learn of its own."""

    def __init__(self, student: BevStudent, weights: CmkdWeights) -> None:
        super().__init__()
        # In a tuple, so that the student is no part of this module.
        self._student = (student,)
        self.weights = weights
        if isinstance(student.answers, CentreAnswers) and (weights.pseudo_labels or weights.direction):
            raise ModelError(
                "pseudo_labels and direction are terms of an anchor head; a student with a centre head learns from "
                "features, classification, box, depth and labels"
            )

    @property
    def student(self) -> BevStudent:
        """Whom it teaches."""
        return self._student[0]

    @property
    def want(self) -> Want:
        """What the weights need."""
        want = Want.BOXES
        if self.weights.features:
            want |= Want.BEV_FEATURES
        if self.weights.responses:
            want |= Want.RESPONSES
        return want

    @property
    def wants_teacher(self) -> bool:
        """Whether a teacher is needed at all."""
        return bool(self.want) or self.weights.pseudo_labels > 0

    @property
    def untaught(self) -> Sequence[nn.Module]:
        """The teacher's part of the student while only features are taught: it rests, its statistics too."""
        w = self.weights
        if w.responses or w.pseudo_labels or w.labels:
            return ()
        return self.student.backbone_2d, self.student.dense_head

    @property
    def wants_depth(self) -> bool:
        """Whether depth is taught."""
        return self.weights.depth > 0

    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Return the weighted terms; see `CmkdWeights`."""
        assert isinstance(output, BevOutput)
        parts: list[tuple[float, Callable[[BevOutput, Sequence[Taught]], dict[str, Tensor]]]] = [
            (self.weights.features, self._features),
            (self.weights.responses, self._responses),
            (self.weights.depth, self._depth),
            (self.weights.pseudo_labels, self._pseudo_labels),
            (self.weights.labels, self._labels),
        ]
        terms: dict[str, Tensor] = {}
        for weight, part in parts:
            if weight:
                terms |= part(output, taught)
        # A batch without anything to learn from still has a gradient, of zero.
        return terms or {"nothing": output.bev.sum() * 0}

    def _features(self, output: BevOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        chosen, maps = _known(taught, _map_of)
        if not chosen:
            return {}
        bev = output.bev[chosen]
        for found in maps:
            self._check_map(found, bev)
        teacher = torch.from_numpy(np.stack([found.features for found in maps])).to(bev.device)
        loss = cmkd_losses.feature_loss(bev, teacher, self.weights.empty_weight)
        return {"features": self.weights.features * _share(chosen, taught) * loss}

    def _check_map(self, found: BevFeatures, bev: Tensor) -> None:
        c = self.student.config
        mine = ((c.low[0], c.high[0]), (c.low[1], c.high[1]))
        theirs = (found.x_range, found.y_range)
        if found.features.shape != bev.shape[1:] or not np.allclose(mine, theirs, atol=1e-3):
            raise ModelError(
                f"the teacher's bird's-eye map is {found.features.shape} over x, y {theirs} m, the student's "
                f"{tuple(bev.shape[1:])} over {mine} m; give the student the teacher's low, high, cell and channels"
            )

    def _responses(self, output: BevOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        chosen, found = _known(taught, _responses_of)
        if not chosen:
            return {}
        terms = response_terms(output.responses.of(chosen), found, self.student.answers)
        share = _share(chosen, taught)
        factor = {name: float(getattr(self.weights, name)) * share for name in terms}
        return {name: factor[name] * value for name, value in terms.items() if factor[name]}

    def _depth(self, output: BevOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        chosen, maps = _known(taught, lambda one: one.depth)
        if not chosen:
            return {}
        logits = output.depth_logits[chosen]
        pooled = cmkd_losses.pooled_depth(torch.from_numpy(np.stack(maps)), *logits.shape[-2:]).numpy()
        label = np.where(pooled > 0, self.student.config.bins.label(pooled), -1)
        loss = cmkd_losses.depth_loss(logits, torch.from_numpy(label).to(logits.device))
        return {"depth": self.weights.depth * _share(chosen, taught) * loss}

    def _pseudo_labels(self, output: BevOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        chosen, boxes = _known(taught, _boxes_of)
        if not chosen:
            return {}
        answers, responses = self.student.answers, output.responses.of(chosen)
        assert isinstance(answers, AnchorAnswers)
        assert isinstance(responses, AnchorResponses)
        placed = [_in_map(found, output.poses[i]) for i, found in zip(chosen, boxes)]
        assignments = [answers.assignment(found) for found in placed]
        scores = [self._score(found, one, answers.anchors) for found, one in zip(placed, assignments)]
        losses = cmkd_losses.pseudo_label_losses(responses, answers.anchors, assignments, scores)
        factors = {"pseudo_classification": 8.0, "pseudo_box": 2.0, "pseudo_direction": 0.4}
        share = self.weights.pseudo_labels * _share(chosen, taught)
        return {name: share * factor * loss for (name, factor), loss in zip(factors.items(), losses)}

    def _score(self, boxes: Boxes3D, assignment: Assignment, anchors: Tensor) -> Tensor:
        """Return for each anchor (N,) the score of the box that it answers for, 0 for none."""
        boxes = boxes[np.isin(boxes.label, self.student.classes)]
        score = torch.zeros(len(anchors), device=anchors.device)
        positive = assignment.positive
        if len(boxes):
            wanted = decode(assignment.code[positive], anchors[positive]).double().cpu().numpy()
            own = boxes.score[iou_3d(wanted, rows_3d(boxes)).argmax(1)] / self.weights.full_score
            score[positive] = torch.from_numpy(own.clip(0, 1)).to(score)
        return score

    def _labels(self, output: BevOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        chosen, labels = _known(taught, lambda one: one.labels)
        if not chosen:
            return {}
        responses = output.responses.of(chosen)
        terms = self.student.answers.losses(responses, labels)  # type: ignore[arg-type]  # head and answers go together
        share = self.weights.labels * _share(chosen, taught)
        return {f"label_{name}": share * value for name, value in terms.items()}


def _map_of(one: Taught) -> BevFeatures | None:
    return None if one.teacher is None else one.teacher.bev


def _responses_of(one: Taught) -> Responses | None:
    return None if one.teacher is None else one.teacher.responses


def _boxes_of(one: Taught) -> Boxes3D | None:
    return None if one.teacher is None else one.teacher.boxes


def _known(taught: Sequence[Taught], part: Callable[[Taught], Part | None]) -> tuple[list[int], list[Part]]:
    """Return which frames have a part, and the parts."""
    found = [(i, value) for i, one in enumerate(taught) if (value := part(one)) is not None]
    return [i for i, _ in found], [value for _, value in found]


def _share(chosen: Sequence[int], taught: Sequence[Taught]) -> float:
    """The share of a batch that a term is about: each frame counts the same, whatever it is mixed with."""
    return len(chosen) / len(taught)


def _in_map(boxes: Boxes3D, pose: Matrix) -> Boxes3D:
    return boxes if boxes.frame == "lidar" else boxes.transformed(inverse(pose) @ T_CAMERA_BODY, "lidar")
