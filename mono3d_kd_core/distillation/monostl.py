"""MonoSTL (Ding et al., IEEE TCSVT 2024) on the keypoint student, and MonoDistill (Chong et al., ICLR 2022), its unweighted
forerunner: a network of the student's own architecture that sees depth teaches features, relations and answers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.distillation import monostl_losses
from mono3d_kd_core.distillation.fusion import Adapters, TopDownFusion
from mono3d_kd_core.distillation.monostl_losses import Weighting
from mono3d_kd_core.distillation.privileged_distiller import Output, PrivilegedDistiller, Scene
from mono3d_kd_core.distillation.regions import Objects, inside_boxes, padded_cells, regressions_of, roi_align
from mono3d_kd_core.heads.keypoint import Regressions
from mono3d_kd_core.students.keypoint import KeypointOutput, KeypointStudent
from mono3d_kd_core.students.peaks import PeakStudent

STRIDES = (8, 16, 32)


class Certainty(NamedTuple):
    """Of K objects: the student's and the teacher's log standard deviation of depth, and whether both say one (K,)."""

    student: Tensor
    teacher: Tensor
    known: Tensor


class MonoStlWeights(BaseModel):
    """How much each term counts beside the student's own losses, and in which form; 0 leaves it out.

    MonoDistill is `weighting: none` with `relation: affinity`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    features: float = Field(default=1.0, ge=0)
    """Released: ten times a tenth."""
    weighting: Weighting = "student_uncertainty"
    relations: float = Field(default=10.0, ge=0)
    """Released: 1, for relations that are not normalised."""
    relation: Literal["objects", "affinity"] = "objects"
    """Between objects, by the teacher's depth variance (MonoSTL), or between all places of a map (MonoDistill)."""
    normalise_relations: bool = True
    """Take relations of unit vectors; released: of plain ones, divided by the number of pairs twice."""
    responses: float = Field(default=1.0, ge=0)


Host = TypeVar("Host", bound=PeakStudent)


class SelectiveTransfer(PrivilegedDistiller[Host, Output]):
    """The student's own losses, and what the depth teacher adds. Fusion and adapters are trained along and stay here.

    What a host has to tell: how sure both nets are of each object's depth, and how far apart their answers are.
    """

    def __init__(self, student: Host, teacher: Host, weights: MonoStlWeights) -> None:
        super().__init__(student, teacher, "lidar")
        self.weights = weights
        channels = student.backbone.channels
        self.fusion = TopDownFusion(channels, max(channels.values()))
        self.adapters = Adapters({stride: channels[stride] for stride in STRIDES})

    @abstractmethod
    def certainty(self, output: Output, seen: Output, scene: Scene) -> Certainty:
        """Return how sure both are of the depth of the scene's objects."""

    @abstractmethod
    def responses(self, output: Output, seen: Output, scene: Scene) -> Tensor:
        """Compare the answers of both."""

    def transfer(self, output: Output, seen: Output, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation."""
        w, terms = self.weights, {}
        adapted = {s: part.float() for s, part in self.adapters(self.fusion(output.features)).items()}
        sure = self.certainty(output, seen, scene)
        if w.features:
            weight = monostl_losses.transfer_weight(sure.student, sure.teacher, sure.known, w.weighting)
            terms["features"] = w.features * _features(adapted, seen.features, scene.objects, weight)
        if w.relations and w.relation == "objects":
            terms["relations"] = w.relations * self._relations(adapted, seen.features, scene.objects, sure.teacher)
        if w.relations and w.relation == "affinity":
            terms["relations"] = w.relations * _affinity(adapted, seen.features)
        if w.responses:
            terms["responses"] = w.responses * self.responses(output, seen, scene)
        return terms

    def _relations(
        self, mine: Mapping[int, Tensor], theirs: Mapping[int, Tensor], objects: Objects, log_std: Tensor
    ) -> Tensor:
        return torch.stack(
            [
                monostl_losses.relation_loss(
                    roi_align(mine[stride], objects, stride), roi_align(theirs[stride].float(), objects, stride),
                    log_std, self.weights.normalise_relations,
                )
                for stride in STRIDES
            ]
        ).sum()  # fmt: skip


class MonoStl(SelectiveTransfer[KeypointStudent, KeypointOutput]):
    """On the keypoint student: everything about an object is read at the cell of its projected centre."""

    def certainty(self, output: KeypointOutput, seen: KeypointOutput, scene: Scene) -> Certainty:
        """Read the log standard deviation at the objects' cells."""
        mine = regressions_of(self.student.head, output.neck, scene.objects).depth[:, 1].float()
        theirs = regressions_of(self.teacher.head, seen.neck, scene.objects).depth[:, 1].float()
        return Certainty(mine, theirs, scene.objects.visible)

    def responses(self, output: KeypointOutput, seen: KeypointOutput, scene: Scene) -> Tensor:
        """Compare the heads at all cells of the objects' Gaussians, the heading at their centres."""
        targets = self.student.targets(scene.annotations, scene.cameras).to(output.neck.device)
        image, cell = (targets.heatmap.amax(1) > 0).flatten(1).nonzero(as_tuple=True)
        mine, theirs = self._answers(output, seen, image, cell)
        responses = monostl_losses.response_loss(mine, theirs)
        slot = (targets.weight > 0).nonzero(as_tuple=True)
        mine, theirs = self._answers(output, seen, slot[0], targets.cell[slot])
        heading = monostl_losses.heading_response_loss(mine.heading, theirs.heading, targets.heading_bin[slot])
        return responses + heading

    def _answers(
        self, output: KeypointOutput, seen: KeypointOutput, image: Tensor, cell: Tensor
    ) -> tuple[Regressions, Regressions]:
        """Return both nets' regressions (K,C) at cells (K,) of images (K,), sorted by image."""
        cells, column = padded_cells(image, cell, len(output.neck))
        mine = self.student.head.at_cells(output.neck, cells)
        theirs = self.teacher.head.at_cells(seen.neck, cells)
        return (
            Regressions(*(part[image, column].float() for part in mine)),
            Regressions(*(part[image, column].float() for part in theirs)),
        )


def _features(mine: Mapping[int, Tensor], theirs: Mapping[int, Tensor], objects: Objects, weight: Tensor) -> Tensor:
    losses = []
    for stride in STRIDES:
        batch, _, rows, columns = mine[stride].shape
        area = (batch, rows, columns, stride)
        inside = inside_boxes(objects, torch.ones_like(weight), *area) > 0
        painted = inside_boxes(objects, weight, *area)
        losses.append(monostl_losses.feature_loss(mine[stride], theirs[stride].float(), painted, inside))
    return torch.stack(losses).sum()


def _affinity(mine: Mapping[int, Tensor], theirs: Mapping[int, Tensor]) -> Tensor:
    """Sum over the levels, each brought to the coarsest one's size."""
    rows, columns = mine[STRIDES[-1]].shape[-2:]
    return torch.stack(
        [
            monostl_losses.affinity_loss(
                *(functional.adaptive_avg_pool2d(side[stride].float(), (rows, columns)) for side in (mine, theirs))
            )
            for stride in STRIDES
        ]
    ).sum()
