"""Anchors: the grid of the reference, the box code, direction bins, assignment and losses by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mono3d_kd_core.geometry.overlap import bev_iou
from mono3d_kd_core.heads.anchor import (
    DIRECTION_OFFSET,
    KITTI_ANCHORS,
    AnchorHead,
    AnchorResponses,
    anchor_grid,
    decode,
    direction_bin,
    encode,
    resolve_direction,
)
from mono3d_kd_core.heads.anchor_loss import (
    Assignment,
    anchor_loss,
    assign,
    box_residual,
    focal,
    nearest_bev_iou,
    quality_focal,
)

CAR = KITTI_ANCHORS[:1]


def random_boxes(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    low, high = [0, -20, -2, 3, 1.4, 1.2, -4], [40, 20, 0, 5, 2, 2, 4]
    return torch.from_numpy(rng.uniform(low, high, (n, 7)).astype(np.float32))


def test_anchors_stand_on_the_limits_with_their_bottom_at_the_given_height() -> None:
    anchors = anchor_grid(KITTI_ANCHORS, (0.0, -40.0), (70.4, 40.0), 200, 176)
    assert anchors.shape == (200, 176, 3, 2, 7)
    np.testing.assert_allclose(anchors[0, 0, 0, 0], [0, -40, -1.78 + 0.78, 3.9, 1.6, 1.56, 0], atol=1e-6)
    np.testing.assert_allclose(anchors[-1, -1, 1, 1], [70.4, 40, -0.6 + 0.865, 0.8, 0.6, 1.73, 1.57], atol=1e-5)
    assert float(anchors[0, 1, 0, 0, 0]) == pytest.approx(70.4 / 175)


def test_code_of_a_box_by_hand() -> None:
    anchor = torch.tensor([10.0, 2.0, -1.0, 3.0, 4.0, 2.0, 0.5])
    box = torch.tensor([15.0, 1.0, -0.5, 3.0 * math.e, 4.0, 1.0, 0.75])
    np.testing.assert_allclose(encode(box, anchor), [1.0, -0.2, 0.25, 1.0, 0.0, -math.log(2), 0.25], rtol=1e-6)


def test_decode_inverts_encode() -> None:
    boxes, anchors = random_boxes(50, 1), random_boxes(50, 2)
    np.testing.assert_allclose(decode(encode(boxes, anchors), anchors), boxes, rtol=1e-5, atol=1e-5)


def test_direction_bin_restores_a_heading_known_modulo_pi() -> None:
    yaw = torch.linspace(-7, 7, 997)
    for half_turn in (0.0, math.pi, -math.pi):
        restored = resolve_direction(yaw + half_turn, direction_bin(yaw))
        np.testing.assert_allclose(torch.cos(restored - yaw), 1.0, atol=1e-5)
    assert direction_bin(torch.tensor([DIRECTION_OFFSET + 0.01, DIRECTION_OFFSET - 0.01])).tolist() == [0, 1]


def test_head_starts_with_the_prior_and_orders_its_anchors_as_the_grid() -> None:
    torch.manual_seed(0)
    head = AnchorHead(8, 3)
    bev = torch.randn(2, 8, 5, 7)
    responses = head(bev)
    assert responses.logits.shape == (2, 5 * 7 * 6, 3)
    assert torch.sigmoid(head(torch.zeros_like(bev)).logits).mean().item() == pytest.approx(0.01)
    row, column, anchor = 3, 4, 5
    by_hand = head.conv_box.weight[anchor * 7 : anchor * 7 + 7, :, 0, 0] @ bev[1, :, row, column]
    by_hand = by_hand + head.conv_box.bias[anchor * 7 : anchor * 7 + 7]
    torch.testing.assert_close(responses.codes[1, (row * 7 + column) * 6 + anchor], by_hand)


def test_nearest_bev_iou_turns_boxes_to_their_nearest_axis() -> None:
    a = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0.3], [0.0, 0, 0, 4, 2, 1, 1.4]])
    b = torch.tensor([[1.0, 0, 5, 4, 2, 9, 0.0]])
    overlap = [3 * 2, 1.5 * 2]  # the second stands across: x from -1 to 1, the other from -1 to 3
    overlap[1] = 2 * 2
    expected = [overlap[0] / (16 - overlap[0]), overlap[1] / (16 - overlap[1])]
    np.testing.assert_allclose(nearest_bev_iou(a.view(1, 1, 2, 7), b)[0, 0, 0], expected, rtol=1e-6)


def test_nearest_bev_iou_over_a_grid_is_that_of_each_anchor_alone() -> None:
    anchors = anchor_grid(KITTI_ANCHORS, (0.0, -4.0), (8.0, 4.0), 5, 7)[:, :, 0]
    random = np.random.default_rng(0)
    boxes = torch.from_numpy(random.uniform([0, -4, -1, 3, 1, 1, -4], [8, 4, 0, 5, 2, 2, 4], (6, 7))).float()
    for row, column, rotation in ((0, 0, 0), (4, 6, 1), (2, 3, 0), (2, 4, 1)):
        place = anchors[row, column, rotation]
        alone = nearest_bev_iou(place.view(1, 1, 1, 7), boxes)[:, 0, 0, 0]
        torch.testing.assert_close(nearest_bev_iou(anchors, boxes)[:, row, column, rotation], alone)
        turned = [bool(abs(math.sin(box[6])) > math.sqrt(0.5)) for box in boxes.tolist()]
        upright = boxes.clone()
        upright[:, 6] = torch.tensor([math.pi / 2 if across else 0.0 for across in turned])
        place = place.clone()
        place[6] = math.pi / 2 * rotation
        expected = bev_iou(place[None, [0, 1, 3, 4, 6]].numpy(), upright[:, [0, 1, 3, 4, 6]].numpy())[0]
        np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_assignment_takes_good_anchors_ignores_middling_ones_and_forces_the_best() -> None:
    anchors = anchor_grid(CAR, (0.0, 0.0), (3.9, 0.0), 1, 2)  # two places, one car length apart
    on_anchor = torch.tensor([[0.0, 0, -1, 3.9, 1.6, 1.5, 0.0]])
    exact = assign(anchors, CAR, on_anchor, torch.tensor([0]))
    assert exact.label.tolist() == [0, -1, -1, -1]
    np.testing.assert_allclose(exact.code[0], encode(on_anchor[0], anchors[0, 0, 0, 0]), atol=1e-6)
    # Shifted by 40 %: IoU 0.43 with both places, below every limit; still its best anchor answers for it.
    shifted = on_anchor + torch.tensor([0.4 * 3.9, 0, 0, 0, 0, 0, 0])
    assert assign(anchors, CAR, shifted, torch.tensor([0])).label.tolist() == [0, -1, -1, -1]
    # Shifted by 0.32: IoU 0.515, between the limits; a second object takes the place it is best at.
    two = torch.stack([on_anchor[0], on_anchor[0] + torch.tensor([3.9 * 0.68, 0, 0, 0, 0, 0, 0])])
    both = assign(anchors, CAR, two, torch.tensor([0, 0]))
    assert both.label.tolist() == [0, -1, 0, -1]


def test_no_objects_make_all_background() -> None:
    anchors = anchor_grid(KITTI_ANCHORS, (0.0, 0.0), (8.0, 8.0), 3, 3)
    empty = assign(anchors, KITTI_ANCHORS, torch.empty(0, 7), torch.empty(0, dtype=torch.long))
    assert set(empty.label.tolist()) == {-1}


def test_focal_loss_by_hand() -> None:
    logit = torch.tensor([0.0, 2.0])
    p = 1 / (1 + math.exp(-2.0))
    expected = [0.25 * 0.25 * math.log(2), -0.75 * p**2 * math.log(1 - p)]
    np.testing.assert_allclose(focal(logit, torch.tensor([1.0, 0.0])), expected, rtol=1e-5)


def test_focal_loss_has_the_slope_of_the_written_formula() -> None:
    random = torch.Generator().manual_seed(0)
    target = (torch.rand(50, generator=random) > 0.5).double()
    logits = (6 * torch.randn(50, generator=random, dtype=torch.double)).requires_grad_()
    p = torch.sigmoid(logits)
    weight = torch.where(target > 0, 0.25 * (1 - p) ** 2, 0.75 * p**2)
    written = weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    torch.testing.assert_close(focal(logits, target), written)
    (expected,) = torch.autograd.grad(written.sum(), logits)
    (found,) = torch.autograd.grad(focal(logits, target).sum(), logits)
    torch.testing.assert_close(found, expected)


def test_quality_focal_loss_by_hand_and_zero_slope_at_the_quality() -> None:
    p, q = 1 / (1 + math.exp(-1.0)), 0.3
    expected = abs(p - q) ** 2 * -(q * math.log(p) + (1 - q) * math.log(1 - p))
    assert float(quality_focal(torch.tensor(1.0), torch.tensor(q))) == pytest.approx(expected, rel=1e-5)
    logit = torch.logit(torch.tensor(q)).requires_grad_()
    quality_focal(logit, torch.tensor(q)).backward()
    assert logit.grad.item() == pytest.approx(0.0, abs=1e-6)


def test_box_residual_by_hand_does_not_see_half_turns() -> None:
    code = torch.tensor([0.05, 1.0, 0, 0, 0, 0, 0.2])
    expected = 0.05**2 / (2 / 9) + (1.0 - 1 / 18) + math.sin(0.2) - 1 / 18
    assert float(box_residual(code, torch.zeros(7))) == pytest.approx(expected, rel=1e-5)
    turned = torch.tensor([0.0, 0, 0, 0, 0, 0, math.pi])
    assert float(box_residual(turned, torch.zeros(7))) == pytest.approx(0.0, abs=1e-6)


def test_loss_of_one_positive_anchor_by_hand() -> None:
    responses = AnchorResponses(torch.tensor([[[1.0], [-1.0], [3.0]]]), torch.full((1, 3, 7), 0.5), torch.zeros(1, 3, 2))
    target = Assignment(torch.tensor([0, -1, -2]), torch.zeros(3, 7), torch.tensor([1.0, 0, 0]))
    terms = anchor_loss(responses, [target])
    logits = responses.logits[0, :, 0]
    expected = focal(logits[:2], torch.tensor([1.0, 0.0])).sum()
    torch.testing.assert_close(terms["classification"], expected)
    torch.testing.assert_close(terms["box"], 2 * box_residual(torch.full((7,), 0.5), torch.zeros(7)))
    torch.testing.assert_close(terms["direction"], 0.2 * F.cross_entropy(torch.zeros(1, 2), torch.tensor([0])))
