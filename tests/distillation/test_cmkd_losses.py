"""CMKD's losses against values worked out by hand, number by number."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.distillation import cmkd_losses
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.anchor_loss import Assignment


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def qfl(p: float, q: float) -> float:
    """Li et al., NeurIPS 2020, equation 4, beta 2."""
    return abs(p - q) ** 2 * -(q * math.log(p) + (1 - q) * math.log(1 - p))


def smooth_l1(x: float, beta: float = 1 / 9) -> float:
    return 0.5 * x * x / beta if abs(x) < beta else abs(x) - beta / 2


def test_features_are_compared_cell_by_cell() -> None:
    student = torch.tensor([1.0, 2.0, 0.0, -1.0]).view(1, 1, 2, 2)
    teacher = torch.tensor([0.0, 2.0, 3.0, 0.0]).view(1, 1, 2, 2)
    assert cmkd_losses.feature_loss(student, teacher).item() == pytest.approx((1 + 0 + 9 + 1) / 4)
    # Two cells are empty: weights 0.05, 1, 1, 0.05 with a mean of 0.525.
    expected = (0.05 * 1 + 0 + 9 + 0.05 * 1) / 4 / 0.525
    assert cmkd_losses.feature_loss(student, teacher, 0.05).item() == pytest.approx(expected)


def test_scores_are_normalised_by_sample_and_class() -> None:
    # Class 0 has two anchors above 0.1, class 1 none, so its divisor is one.
    q = torch.tensor([[[0.8, 0.05], [0.3, 0.02], [0.01, 0.09]]])
    p = torch.tensor([[[0.6, 0.2], [0.3, 0.1], [0.2, 0.4]]])
    expected = (qfl(0.6, 0.8) + qfl(0.3, 0.3) + qfl(0.2, 0.01)) / 2
    expected += qfl(0.2, 0.05) + qfl(0.1, 0.02) + qfl(0.4, 0.09)
    loss = cmkd_losses.classification_loss(torch.logit(p), torch.logit(q))
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    twice = cmkd_losses.classification_loss(torch.logit(p).repeat(2, 1, 1), torch.logit(q).repeat(2, 1, 1))
    assert twice.item() == pytest.approx(expected, rel=1e-5)


def test_boxes_count_by_the_teacher_s_scores() -> None:
    logits = torch.tensor([[[logit(0.5), logit(0.2)], [logit(0.04), logit(0.05)], [logit(0.1), logit(0.3)]]])
    weight = cmkd_losses.response_weight(logits)
    torch.testing.assert_close(weight, torch.tensor([[0.7 / 2, 0.0, 0.4 / 2]]))
    student, teacher = torch.zeros(1, 3, 7), torch.zeros(1, 3, 7)
    student[0, 0, 0], student[0, 0, 6], teacher[0, 0, 6] = 0.05, 1.0, 1.0 + math.pi - 0.3
    student[0, 1] = 9.0  # nobody is there
    student[0, 2, 3] = -2.0
    expected = 0.35 * (smooth_l1(0.05) + smooth_l1(math.sin(0.3))) + 0.2 * smooth_l1(2.0)
    assert cmkd_losses.box_loss(student, teacher, weight).item() == pytest.approx(expected, rel=1e-5)


def test_directions_follow_the_bin_that_the_teacher_prefers() -> None:
    student = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    teacher = torch.tensor([[[0.1, 5.0], [0.0, 0.2]]])
    weight = torch.tensor([[0.5, 0.25]])
    expected = 0.5 * math.log(1 + math.e) + 0.25 * math.log(1 + math.exp(-2))
    assert cmkd_losses.direction_loss(student, teacher, weight).item() == pytest.approx(expected, rel=1e-5)


def test_depth_is_a_focal_loss_over_the_known_cells() -> None:
    probability = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8], [0.3, 0.3, 0.4]]).T.reshape(1, 3, 1, 3)
    label = torch.tensor([[[0, 1, -1]]])
    expected = (0.25 * 0.3**2 * -math.log(0.7) + 0.25 * 0.9**2 * -math.log(0.1)) / 2
    assert cmkd_losses.depth_loss(probability.log(), label).item() == pytest.approx(expected, rel=1e-5)


def test_depth_is_pooled_over_what_is_known() -> None:
    depth = torch.tensor([[[0.0, 4.0, 0.0, 0.0], [6.0, 0.0, 0.0, 0.0]]])
    torch.testing.assert_close(cmkd_losses.pooled_depth(depth, 1, 2), torch.tensor([[[5.0, 0.0]]]))


def test_a_pseudo_label_counts_twice_its_score() -> None:
    anchors = torch.tensor([[10.0, 0, 0, 4, 2, 1.5, 0], [20.0, 0, 0, 4, 2, 1.5, 0], [30.0, 0, 0, 4, 2, 1.5, 0]])
    diagonal = math.hypot(4, 2)
    code = torch.zeros(3, 7)
    code[0, 0] = 1 / diagonal  # the object is one metre ahead of its anchor: 3 of 5 metres overlap
    assignment = Assignment(torch.tensor([0, -1, -2]), code, torch.tensor([0.0, 0.0, 0.0]))
    p = torch.tensor([[[0.4], [0.2], [0.9]]])
    directions = torch.tensor([[[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]])
    responses = AnchorResponses(torch.logit(p), torch.zeros(1, 3, 7), directions)
    score = torch.tensor([0.8, 0.0, 0.0])
    classification, box, direction = cmkd_losses.pseudo_label_losses(responses, anchors, [assignment], [score])
    assert classification.item() == pytest.approx(1.6 * qfl(0.4, 0.6) + qfl(0.2, 1e-12), rel=1e-4)
    assert box.item() == pytest.approx(1.6 * smooth_l1(1 / diagonal), rel=1e-5)
    # A heading of zero is in bin 1, which has a logit of one.
    assert direction.item() == pytest.approx(1.6 * math.log(1 + math.exp(-1)), rel=1e-5)


def test_heatmaps_are_normalised_by_the_teacher_s_objects() -> None:
    q = torch.tensor([0.9, 0.4, 0.05, 0.2]).view(1, 1, 2, 2)
    p = torch.tensor([0.5, 0.4, 0.1, 0.1]).view(1, 1, 2, 2)
    expected = (qfl(0.5, 0.9) + qfl(0.1, 0.05) + qfl(0.1, 0.2)) / 2
    assert cmkd_losses.heatmap_loss(torch.logit(p), torch.logit(q)).item() == pytest.approx(expected, rel=1e-5)


def test_centre_boxes_count_where_the_teacher_sees_something() -> None:
    heatmap = torch.logit(torch.tensor([[[0.5, 0.01], [0.02, 0.03]], [[0.25, 0.02], [0.02, 0.03]]]))[None]
    student, teacher = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    student[0, :, 0, 0] = torch.tensor([0.5, 3.0])
    student[0, :, 1, 1] = 7.0
    expected = 4 * 2 * 0.75 * np.mean([smooth_l1(0.5, 1.0), smooth_l1(3.0, 1.0)])
    assert cmkd_losses.centre_box_loss(student, teacher, heatmap).item() == pytest.approx(expected, rel=1e-5)
    nothing = cmkd_losses.centre_box_loss(student.requires_grad_(), teacher, torch.full((1, 2, 2, 2), -9.0))
    assert nothing.item() == 0
    nothing.backward()  # a batch in which the teacher sees nothing still has a gradient
