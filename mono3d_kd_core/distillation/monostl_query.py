"""MonoSTL and MonoDistill on the query student: what is read at an object's cell there, its query says here."""

from __future__ import annotations

import torch
from torch import Tensor

from mono3d_kd_core.distillation.monostl import Certainty, SelectiveTransfer
from mono3d_kd_core.distillation.monostl_losses import LOG_STD_RANGE, heading_response_loss
from mono3d_kd_core.distillation.privileged_distiller import Scene
from mono3d_kd_core.distillation.query_answers import HEADING, About, answers_about, value_loss
from mono3d_kd_core.students.query.student import QueryOutput, QueryStudent
from mono3d_kd_core.students.query.targets import QueryTargets


class MonoStlQuery(SelectiveTransfer[QueryStudent, QueryOutput]):
    """On the query student. Both nets are matched to the objects, each for itself."""

    def certainty(self, output: QueryOutput, seen: QueryOutput, scene: Scene) -> Certainty:
        """Read the log standard deviation of the matched queries; objects that are not learned are as unsure as can be."""
        targets, mine, theirs = self._both(output, seen, scene)
        unsure = mine.log_std.new_full((len(scene.objects),), LOG_STD_RANGE[1])
        known = torch.zeros_like(scene.objects.visible)
        student, teacher = (
            unsure.index_copy(0, targets.row, mine.log_std),
            unsure.index_copy(0, targets.row, theirs.log_std),
        )
        return Certainty(student, teacher, known.index_copy(0, targets.row, mine.found & theirs.found))

    def responses(self, output: QueryOutput, seen: QueryOutput, scene: Scene) -> Tensor:
        """Compare box, depth, size and heading of the matched queries. The class is not distilled."""
        targets, mine, theirs = self._both(output, seen, scene)
        found = mine.found & theirs.found
        if not found.any():
            return mine.said.sum() * 0
        said, wanted = mine.said[found], theirs.said[found]
        heading = heading_response_loss(said[:, HEADING], wanted[:, HEADING], targets.heading_bin[found])
        return value_loss(said, wanted) + heading

    def _both(self, output: QueryOutput, seen: QueryOutput, scene: Scene) -> tuple[QueryTargets, About, About]:
        """Return the scene's targets, and what student and teacher say about them."""
        targets = self.student.targets(scene.annotations, scene.cameras).to(output.depth.metres.device)
        queries = self.student.config.queries
        mine, theirs = (answers_about(each.layers[-1], targets, queries) for each in (output, seen))
        return targets, mine, theirs
