"""SKD-WM3D (Jiang et al., CVPR 2024) on the keypoint student: 3D detection from 2D boxes and a depth map, no 3D label.

A self-teaching network that is shown how deep things are, and the student, which is not, learn side by side; both are
judged by how their 3D boxes project. No code was released: docs/methods/skd_wm3d.md says what is published and what is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from mono3d_kd_core.distillation import weak_losses
from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.distillation.modulation import Modulation
from mono3d_kd_core.distillation.projection import placed, project
from mono3d_kd_core.distillation.regions import inside_boxes, padded_cells
from mono3d_kd_core.distillation.self_teacher import BINS, Lesson3D, SelfTeacher
from mono3d_kd_core.distillation.self_teacher import STRIDE as DEPTH_STRIDE
from mono3d_kd_core.distillation.weak_losses import Placement
from mono3d_kd_core.distillation.weak_targets import WeakTargets, encode_weak
from mono3d_kd_core.heads.heatmap import focal_loss
from mono3d_kd_core.heads.keypoint import HEADING_BINS, KeypointHead, Regressions
from mono3d_kd_core.students.base import StudentOutput
from mono3d_kd_core.students.keypoint import KeypointOutput, KeypointStudent
from mono3d_kd_core.students.keypoint_losses import depth_of, laplacian_depth_loss
from mono3d_kd_core.students.keypoint_targets import STRIDE, network_focal


class SkdWeights(BaseModel):
    """How much each term counts beside heatmap and 2D box, and what of the method is used (for ablations)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    projection: float = Field(default=1.0, ge=0)
    """Of both networks' boxes."""
    size_prior: float = Field(default=1.0, ge=0)
    self_teacher: bool = True
    """Without, the student learns from 2D boxes alone, and no depth is read."""
    depth_map: float = Field(default=1.0, ge=0)
    """Of the self-teacher's."""
    pseudo: float = Field(default=1.0, ge=0)
    """Depth and axis that the depth map shows in a 2D box, for the self-teacher, at the beginning."""
    pseudo_end: float = Field(default=0.2, ge=0)
    """The same at the end of training; in between it falls steadily."""
    student_pseudo: float = Field(default=0.0, ge=0)
    """The same as `pseudo` for the student itself: depth as a label, to compare the self-teacher with."""
    distillation: float = Field(default=1.0, ge=0)
    modulation: bool = True
    """Without, the self-teacher is never taught by the student, and distillation counts the same all the time."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of the training before the student may feed back."""

    @property
    def wants_depth(self) -> bool:
        """Whether a depth map is looked at."""
        return self.self_teacher or self.student_pseudo > 0


class View(NamedTuple):
    """What a network says of K objects: regressions (K,C), score (K,) of the class, its boxes in space and in the image."""

    regressions: Regressions
    score: Tensor
    depth: Tensor
    size: Tensor
    projected: Tensor
    """(K,12,4): the box under each of the headings."""


class SkdWm3d(Distiller):
    """2D boxes teach student and self-teacher, a depth map teaches the self-teacher, and that the student.

    `progress` is how much of the training is done, 0 to 1; the training sets it before each step.
    """

    def __init__(self, student: KeypointStudent, weights: SkdWeights) -> None:
        super().__init__()
        self._student = (student,)  # a tuple, so that it is no part of this module
        self.weights = weights
        self.progress = 0.0
        if weights.self_teacher:
            self.teacher = SelfTeacher(student.config, student.backbone.channels)
            self.modulation = Modulation()

    @property
    def student(self) -> KeypointStudent:
        """Whom it teaches."""
        return self._student[0]

    @property
    def wants_depth(self) -> bool:
        """Whether a depth map is looked at."""
        return self.weights.wants_depth

    def gate(self) -> Tensor:
        """Return the share of the gradient that reaches the self-teacher through what it teaches."""
        if not self.weights.modulation or self.progress < self.weights.warmup:
            return torch.zeros(())
        return self.modulation.gate()

    def certain(self, output: KeypointOutput, taught: Sequence[Taught]) -> Tensor:
        """Return how much the self-teacher's word about each object of the batch counts (K,)."""
        targets = self._targets(taught).to(output.neck.device)
        lesson: Lesson3D = self.teacher(output.features)
        return _certainty(self._view(self.teacher.head, lesson.neck, lesson.heatmap, targets), targets)

    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Return the student's terms, and with a self-teacher its own (teacher_...) and those between the two."""
        assert isinstance(output, KeypointOutput)
        device = output.neck.device
        targets = self._targets(taught).to(device)
        w = self.weights
        mine = self._view(self.student.head, output.neck, output.heatmap, targets)
        terms = self._judged(mine, output.heatmap, targets)
        if w.student_pseudo:
            terms["pseudo"] = w.student_pseudo * _pseudo(mine.regressions, targets)
        if not w.self_teacher:
            return terms
        lesson: Lesson3D = self.teacher(output.features)
        theirs = self._view(self.teacher.head, lesson.neck, lesson.heatmap, targets)
        their_terms = self._judged(theirs, lesson.heatmap, targets)
        if self.training and w.projection:
            self.modulation.update(terms["projection"] / w.projection, their_terms["projection"] / w.projection)
        terms |= {f"teacher_{name}": value for name, value in their_terms.items()}
        terms["teacher_depth_map"] = w.depth_map * self._depth_map(lesson, taught, targets)
        fading = w.pseudo + (w.pseudo_end - w.pseudo) * self.progress
        terms["teacher_pseudo"] = fading * _pseudo(theirs.regressions, targets)
        return terms | self._transferred(mine, theirs, targets)

    def _targets(self, taught: Sequence[Taught]) -> WeakTargets:
        config = self.student.config
        known = [one for one in taught if one.boxes2d is not None and one.camera is not None]
        return encode_weak(
            [one.boxes2d for one in known if one.boxes2d is not None],
            [one.camera for one in known if one.camera is not None],
            [one.depth for one in known], config.sizes, config.classes, config.reference_focal,
        )  # fmt: skip

    def _view(self, head: KeypointHead, neck: Tensor, heatmap: Tensor, targets: WeakTargets) -> View:
        """Read a network's maps at the objects' cells."""
        cells, slot = padded_cells(targets.image, targets.cell, len(neck))
        at = head.at_cells(neck, cells)
        r = Regressions(*(part[targets.image, slot].float() for part in at))
        score = heatmap.float().flatten(2)[targets.image, targets.label, targets.cell].sigmoid()
        depth, size = depth_of(r.depth[:, 0]), r.size3d + self.student.mean_size[targets.label]
        angle = torch.arange(HEADING_BINS, device=neck.device) * (2 * torch.pi / HEADING_BINS)
        # Half precision would move a corner by a pixel.
        with torch.autocast(neck.device.type, enabled=False):
            centre = placed(targets.views, depth, r.offset3d)
            projected = project(targets.views, centre, size, angle + r.heading[:, HEADING_BINS:])
        return View(r, score, depth, size, projected)

    def _judged(self, view: View, heatmap: Tensor, targets: WeakTargets) -> dict[str, Tensor]:
        """Compare a network with the 2D boxes, and its sizes with what is usual."""
        r, t, w = view.regressions, targets, self.weights
        height, width = (size * STRIDE for size in heatmap.shape[-2:])
        picture = heatmap.new_tensor([width, height]).float()
        loss = weak_losses.projection_loss(view.projected, t.box, t.cut, picture)
        projection = _mean(weak_losses.expected(loss, r.heading[:, :HEADING_BINS]))
        prior = _mean(weak_losses.size_prior(view.size, self.student.mean_size[t.label]))
        return {
            "heatmap": focal_loss(heatmap.float(), t.heatmap, t.heatmap_weight),
            "offset2d": _mean((r.offset2d - t.offset2d).abs().mean(-1)),
            "size2d": _mean((r.size2d - t.size2d).abs().mean(-1)),
            "projection": w.projection * projection,
            "size_prior": w.size_prior * prior,
        }

    def _depth_map(self, lesson: Lesson3D, taught: Sequence[Taught], targets: WeakTargets) -> Tensor:
        """Compare the self-teacher's depth map with the prior, in the middle of each of its cells."""
        rows, columns = lesson.depth.shape[-2:]
        wanted = torch.zeros(len(taught), rows, columns)
        for i, one in enumerate(taught):
            if one.depth is not None and one.camera is not None:
                stretch = self.student.config.reference_focal / network_focal(one.camera)
                middles = one.depth[DEPTH_STRIDE // 2 :: DEPTH_STRIDE, DEPTH_STRIDE // 2 :: DEPTH_STRIDE]
                wanted[i] = torch.from_numpy(middles * stretch)
        label = torch.from_numpy(BINS.label(wanted.numpy())).to(lesson.depth.device)
        objects = targets.objects
        inside = (
            inside_boxes(objects, torch.ones_like(objects.box2d[:, 0]), len(wanted), rows, columns, DEPTH_STRIDE) > 0
        )
        return weak_losses.depth_map_loss(lesson.bins.float(), label, lesson.depth, wanted.to(lesson.depth), inside)

    def _transferred(self, mine: View, theirs: View, targets: WeakTargets) -> dict[str, Tensor]:
        """Let the student follow the self-teacher where that is sure, and the latter feel it as far as the gate is open."""
        gate = self.gate().to(mine.depth)
        taught = _placement(theirs).fed_back(gate)
        distilled = weak_losses.distillation_loss(_placement(mine), taught, _certainty(theirs, targets))
        urgency = 2 - gate if self.weights.modulation else 1.0
        spread = weak_losses.spread_loss(
            mine.regressions.depth[:, 1], mine.depth, theirs.depth, theirs.regressions.depth[:, 1]
        )
        return {"distilled": self.weights.distillation * urgency * distilled, "spread": _mean(spread)}


def _certainty(view: View, targets: WeakTargets) -> Tensor:
    """Return how much a network's word about each object counts (K,)."""
    best = view.regressions.heading[:, :HEADING_BINS].argmax(-1)
    box = weak_losses.uncut(view.projected, targets.box, targets.cut)[torch.arange(len(best), device=best.device), best]
    overlap = weak_losses.overlap(box, targets.box)
    return weak_losses.certainty(view.regressions.depth[:, 1], view.score, overlap)


def _placement(view: View) -> Placement:
    r = view.regressions
    return Placement(view.depth, view.size, r.offset3d * STRIDE, weak_losses.axis_of(r.heading))


def _pseudo(r: Regressions, targets: WeakTargets) -> Tensor:
    """Compare depth and heading with what the depth map shows in the boxes, where it shows anything."""
    deep, turned = targets.depth.isfinite(), targets.alpha.isfinite()
    depth = laplacian_depth_loss(depth_of(r.depth[:, 0]), r.depth[:, 1], targets.depth.nan_to_num(), deep.to(r.depth))
    axis = weak_losses.axis_loss(r.heading[turned], targets.alpha[turned])
    return depth + _mean(axis)


def _mean(value: Tensor) -> Tensor:
    """Average over the objects; 0, with a gradient, where there are none."""
    return value.sum() / max(1, len(value))
