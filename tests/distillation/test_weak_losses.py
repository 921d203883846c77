"""SKD-WM3D's loss terms against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mono3d_kd_core.distillation import weak_losses
from mono3d_kd_core.distillation.weak_losses import Placement

PICTURE = torch.tensor([640.0, 192.0])
NOTHING_CUT = torch.zeros(1, 4, dtype=torch.bool)


def placement(depth: float, size: float, offset: float, axis: tuple[float, float]) -> Placement:
    return Placement(
        torch.tensor([depth], requires_grad=True),
        torch.full((1, 3), size),
        torch.full((1, 2), offset),
        torch.tensor([axis]),
    )


def test_generalised_iou_of_overlapping_and_of_distant_boxes() -> None:
    one = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1]])
    other = torch.tensor([[1.0, 1, 3, 3], [3, 0, 4, 1]])
    # 1 of 7 in a hull of 9; nothing of 2 in a hull of 4.
    torch.testing.assert_close(weak_losses.overlap(one, other), torch.tensor([1 / 7, 0.0]))
    torch.testing.assert_close(weak_losses.generalised_iou(one, other), torch.tensor([1 / 7 - 2 / 9, -2 / 4]))


def test_projection_compares_overlap_and_edges() -> None:
    label = torch.tensor([[100.0, 50, 164, 90]])
    moved = label + torch.tensor([6.4, 0, 6.4, 0])
    overlap = (64 - 6.4) * 40 / ((64 + 6.4) * 40)
    # Two edges of four are off by a hundredth of the width: at the smooth L1's knee, half of it.
    edges = 2 * 0.005 / 4
    found = weak_losses.projection_loss(moved[:, None], label, NOTHING_CUT, PICTURE)
    assert found.item() == pytest.approx(1 - overlap + 0.1 * edges, rel=1e-5)
    same = weak_losses.projection_loss(label[:, None], label, NOTHING_CUT, PICTURE)
    assert same.item() == pytest.approx(0, abs=1e-6)


def test_an_edge_that_the_image_cut_off_says_nothing() -> None:
    label = torch.tensor([[0.0, 50, 64, 90]])
    longer = torch.tensor([[[-80.0, 50, 64, 90]]], requires_grad=True)
    cut = torch.tensor([[True, False, False, False]])
    assert weak_losses.projection_loss(longer, label, NOTHING_CUT, PICTURE).item() > 0.3
    loss = weak_losses.projection_loss(longer, label, cut, PICTURE)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    (gradient,) = torch.autograd.grad(loss.sum(), longer)
    assert gradient[0, 0, 0] == 0


def test_headings_count_by_their_probability() -> None:
    loss = torch.arange(12.0)[None]
    logits = torch.zeros(1, 12, requires_grad=True)
    assert weak_losses.expected(loss, logits).item() == pytest.approx(5.5)
    weak_losses.expected(loss, logits).sum().backward()
    assert logits.grad is not None
    # What projects worse than the mean becomes less likely.
    torch.testing.assert_close(logits.grad, (loss - 5.5) / 12)


def test_sizes_near_the_mean_are_free() -> None:
    mean = torch.tensor([[4.0, 1.6, 1.5]])
    size = torch.tensor([[4.4, 1.2, 1.5]])  # 10 % and 0 % are within the margin, 25 % is 10 % beyond it
    assert weak_losses.size_prior(size, mean).item() == pytest.approx(0.1 / 3, rel=1e-5)


@pytest.mark.parametrize("turned", [0, math.pi])
def test_an_axis_has_no_front(turned: float) -> None:
    heading = torch.zeros(1, 24)
    heading[0, 2] = math.log(3)  # 3 of 14: bin 2 is 60 degrees; its opposite has 1 of 14
    heading[0, 12 + 2], heading[0, 12 + 8] = 0.1, 0.3
    alpha = torch.tensor([math.radians(60) + 0.05 + turned])
    residual = (abs(0.1 - 0.05) + abs(0.3 - 0.05)) / 2
    assert weak_losses.axis_loss(heading, alpha).item() == pytest.approx(residual - math.log(4 / 14), rel=1e-4)


def test_axes_differ_by_the_angle_between_them() -> None:
    heading = torch.zeros(3, 24)
    heading[:, 3] = 40.0
    heading[1, 12 + 3] = 0.02
    heading[2, 3], heading[2, 9] = 0, 40.0  # the other way round
    axis = weak_losses.axis_of(heading)
    assert torch.linalg.vector_norm(axis[0] - axis[1]).item() == pytest.approx(0.02, rel=1e-3)
    torch.testing.assert_close(axis[0], axis[2], atol=1e-5, rtol=0)


def test_the_depth_map_is_judged_where_it_is_known_and_most_in_boxes() -> None:
    logits = torch.zeros(1, 4, 1, 3)  # three bins and "out of range": a quarter each
    label = torch.tensor([[[0, 3, 1]]])
    depth = torch.tensor([[[10.0, 70, 0]]])  # the last is unknown
    expectation = torch.tensor([[[12.0, 20, 5]]])
    inside = torch.tensor([[[True, False, False]]])
    focal = 0.25 * 0.75**2 * math.log(4)
    expected = (13 * (focal + 0.1 * 1.5) + 1 * focal) / 14
    found = weak_losses.depth_map_loss(logits, label, expectation, depth, inside)
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_certain_knowledge_counts_more() -> None:
    log_std = torch.tensor([1.0, 0.0, -2.0], requires_grad=True)
    weight = weak_losses.certainty(log_std, torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0.8, 0.8, 0.8]))
    torch.testing.assert_close(weight, torch.tensor([0.4 * math.exp(-1), 0.4, 0.4]))
    assert not weight.requires_grad


def test_distillation_has_a_soft_margin() -> None:
    mine, theirs = placement(22.0, 1.55, 3.0, (0.5, 0.0)), placement(20.0, 1.5, 2.0, (0.3, 0.0))
    soft = [math.log1p(math.exp(x - 0.1)) for x in (2 / 1, 0.05 / 0.1, 1 / 1, 0.2 / 0.1)]
    found = weak_losses.distillation_loss(mine, theirs, torch.tensor([0.25]))
    assert found.item() == pytest.approx(0.25 * sum(soft), rel=1e-4)
    (gradient,) = torch.autograd.grad(found, mine.depth)
    assert gradient.item() == pytest.approx(
        0.25 / (1 + math.exp(-1.9)), rel=1e-4
    )  # the sigmoid of what exceeds the margin


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
def test_feedback_to_the_teacher_is_scaled_by_the_gate_alone(gate: float) -> None:
    mine, theirs = placement(22.0, 1.5, 2.0, (0.5, 0.0)), placement(20.0, 1.5, 2.0, (0.5, 0.0))
    weight = torch.ones(1)
    loss = weak_losses.distillation_loss(mine, theirs.fed_back(gate), weight)
    to_mine, to_theirs = torch.autograd.grad(loss, [mine.depth, theirs.depth])
    assert loss.item() == pytest.approx(weak_losses.distillation_loss(mine, theirs, weight).item(), rel=1e-6)
    torch.testing.assert_close(to_theirs, -gate * to_mine)


def test_the_spread_grows_to_the_error_and_moves_no_depth() -> None:
    log_std = torch.tensor([0.3], requires_grad=True)
    mine = torch.tensor([22.0], requires_grad=True)
    error = 2 + math.exp(0.5) / math.sqrt(2)
    loss = weak_losses.spread_loss(log_std, mine, torch.tensor([20.0]), torch.tensor([0.5]))
    assert loss.item() == pytest.approx(math.sqrt(2) * math.exp(-0.3) * error + 0.3, rel=1e-5)
    loss.sum().backward()
    assert mine.grad is None
    best = math.log(math.sqrt(2) * error)
    at_best = torch.tensor([best], requires_grad=True)
    weak_losses.spread_loss(at_best, mine, torch.tensor([20.0]), torch.tensor([0.5])).sum().backward()
    assert at_best.grad is not None
    assert at_best.grad.item() == pytest.approx(0, abs=1e-5)
