"""Dense answers of a teacher laid beside a student's, and CMKD's terms between them, for either kind of head."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.distillation import cmkd_losses
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.center import CODE_SIZE, CenterResponses
from mono3d_kd_core.students.bev.answers import AnchorAnswers, CentreAnswers
from mono3d_kd_core.teachers.base import Responses


def response_terms(
    mine: AnchorResponses | CenterResponses, found: Sequence[Responses], answers: AnchorAnswers | CentreAnswers
) -> dict[str, Tensor]:
    """Return the terms, not yet weighted, between a student's answers and those of a teacher with the same head.

    Raises ModelError where the teacher's stand elsewhere, or are of another kind.
    """
    for one in found:
        _check(one, answers)
    logits, codes = (
        torch.from_numpy(np.stack(columns)).to(answers.positions.device)
        for columns in ([one.logits for one in found], [one.codes[:, 0] for one in found])
    )
    if isinstance(mine, CenterResponses):
        heatmaps, maps = (
            part.transpose(1, 2).reshape(len(part), -1, *mine.logits.shape[2:]) for part in (logits, codes)
        )
        return {
            "classification": cmkd_losses.heatmap_loss(mine.logits, heatmaps),
            "box": cmkd_losses.centre_box_loss(mine.codes, maps, heatmaps),
        }
    directions = np.stack([one.direction for one in found if one.direction is not None])
    weight = cmkd_losses.response_weight(logits)
    return {
        "classification": cmkd_losses.classification_loss(mine.logits, logits),
        "box": cmkd_losses.box_loss(mine.codes, codes, weight),
        "direction": cmkd_losses.direction_loss(mine.directions, torch.from_numpy(directions).to(logits), weight),
    }


def _check(one: Responses, answers: AnchorAnswers | CentreAnswers) -> None:
    positions, centres = answers.positions.cpu().numpy(), isinstance(answers, CentreAnswers)
    what, size = ("cells of a heatmap", CODE_SIZE) if centres else ("anchors", 7)
    shapes = (len(positions), len(answers.classes)), (len(positions), 1, size)
    if (one.direction is None) != centres or (one.logits.shape, one.codes.shape) != shapes:
        raise ModelError(
            f"the teacher answers for {one.logits.shape[1]} classes at {len(one.position)} places with codes "
            f"{one.codes.shape[1:]}, the student for {len(answers.classes)} at {len(positions)} {what} with codes "
            f"(1, {size}); responses need the same head on both sides"
        )
    if not np.allclose(one.position, positions, atol=1e-2):
        raise ModelError(f"the teacher's {what} stand elsewhere than the student's; give both one range and one head")
