"""MonoSTL's and MonoDistill's losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mono3d_kd_core.distillation.monostl_losses import (
    affinity_loss,
    confidence,
    feature_loss,
    heading_response_loss,
    relation_loss,
    response_loss,
    transfer_weight,
)
from mono3d_kd_core.heads.keypoint import CHANNELS, Regressions

HALF = math.log(2)  # a log standard deviation: exp(-s) = 1/2


def test_confidence_is_that_of_the_laplacian_and_carries_no_gradient() -> None:
    log_std = torch.tensor([HALF, 0.0, -1.0], requires_grad=True)
    found = confidence(log_std)
    torch.testing.assert_close(found, torch.tensor([0.5, 1.0, 1.0]))
    assert not found.requires_grad


def test_the_student_imitates_where_it_is_unsure() -> None:
    mine, theirs = torch.tensor([math.log(4), 0.0, 5.0]), torch.tensor([HALF, HALF, HALF])
    visible = torch.tensor([True, True, False])
    torch.testing.assert_close(
        transfer_weight(mine, theirs, visible, "student_uncertainty"), torch.tensor([0.75, 0.0, 0.01])
    )
    torch.testing.assert_close(
        transfer_weight(mine, theirs, visible, "teacher_confidence"), torch.tensor([0.5, 0.5, 0.01])
    )
    torch.testing.assert_close(transfer_weight(mine, theirs, visible, "none"), torch.ones(3))


def test_features_are_compared_inside_boxes_where_the_teacher_has_any() -> None:
    student, teacher = torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4)
    teacher[0, :, 0, 0] = torch.tensor([2.0, 4.0])  # in a box, weight 1/2
    student[0, 0, 0, 1] = 3.0  # in the box, where the teacher says nothing: counts above, not below
    teacher[0, :, 0, 2] = 100.0  # outside
    weight = torch.tensor([[[0.5, 0.5, 0.0, 0.0]]])
    inside = torch.tensor([[[True, True, False, False]]])
    # 1/2 * (4 + 16) / 2 / 2 + 1/2 * (9 + 0) / 2 / 2 over one place.
    assert feature_loss(student, teacher, weight, inside).item() == pytest.approx(2.5 + 1.125)


def test_relations_are_divided_by_the_teachers_depth_variance() -> None:
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 2, 1, 1)
    teacher = torch.tensor([[2.0, 0.0], [2.0, 0.0]]).view(2, 2, 1, 1)
    log_std = torch.tensor([0.0, HALF])  # variances 1 and 4: V = [[2, 5], [5, 8]]
    # Unit vectors: [[1, 0], [0, 1]] against ones; plain: against fours.
    assert relation_loss(student, teacher, log_std, True).item() == pytest.approx(0.5 * (2 / 5) / 4)
    plain = (3 / 2 + 4 / 5 + 4 / 5 + 3 / 8) / 4
    assert relation_loss(student, teacher, log_std, False).item() == pytest.approx(0.5 * plain / 4)


def test_relations_of_no_objects_are_zero_with_a_gradient() -> None:
    student = torch.zeros(0, 2, 1, 1, requires_grad=True)
    loss = relation_loss(student, torch.zeros(0, 2, 1, 1), torch.zeros(0), True)
    loss.backward()
    assert loss.item() == 0


def test_affinity_compares_the_angles_between_all_places() -> None:
    student = torch.tensor([[3.0, 0.0], [0.0, 5.0]]).view(1, 2, 1, 2)  # orthogonal
    teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]).view(1, 2, 1, 2)  # parallel
    assert affinity_loss(student, teacher).item() == pytest.approx(2 / 4)
    assert affinity_loss(student, 7 * student).item() == pytest.approx(0, abs=1e-6)


def regressions(count: int, value: float) -> Regressions:
    return Regressions(*(torch.full((count, channels), value) for channels in CHANNELS.values()))


def test_responses_are_compared_part_by_part_without_the_spread_of_depth() -> None:
    mine, theirs = regressions(3, 0.0), regressions(3, 0.5)
    theirs.depth[:, 1] = 9.0
    theirs.heading[:] = 9.0
    assert response_loss(mine, theirs).item() == pytest.approx(5 * 0.5)
    assert response_loss(regressions(0, 0.0), regressions(0, 0.0)).item() == 0


def test_heading_is_compared_as_a_distribution_and_in_the_true_bin() -> None:
    mine, theirs = torch.zeros(1, 24), torch.zeros(1, 24)
    theirs[0, 0] = math.log(11)  # probability 1/2; 1/22 for each other
    theirs[0, 12 + 3] = 0.25
    theirs[0, 12 + 4] = 7.0  # not the true bin
    divergence = 0.5 * math.log(0.5 * 12) + 11 / 22 * math.log(12 / 22)
    found = heading_response_loss(mine, theirs, torch.tensor([3]))
    assert found.item() == pytest.approx(divergence + 0.25, rel=1e-5)
