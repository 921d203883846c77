"""Each term of the query student's loss, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.query.losses import class_loss, depth_map_loss, layer_losses, painted_depth, query_losses
from mono3d_kd_core.students.query.matching import Matches, match
from tests.students.query.tiny import answers, targets

BOX = [0.5, 0.5, 0.2, 0.2, 0.2, 0.2]
MOVED = [0.4, 0.5, 0.2, 0.1, 0.2, 0.2]
BINS = DepthBins(80, 1e-3, 60.0)


def one(query: int = 0) -> Matches:
    return Matches(torch.tensor([0]), torch.tensor([query]), torch.tensor([0]))


def test_every_term_of_a_layer_by_hand() -> None:
    said = answers(
        [[MOVED]], [[[0.0]]], depth=torch.tensor([[12.0]]), log_std=torch.tensor([[0.5]]),
        size=torch.tensor([[[4.4, 2.2, 1.1]]]), heading=torch.zeros(1, 1, 24),
    )  # fmt: skip
    wanted = targets([BOX], [0], heading_residual=torch.tensor([0.1]), heading_bin=torch.tensor([3]))
    terms = layer_losses(said, wanted, one(), queries=1)
    assert terms["centre"].item() == pytest.approx(10 * 0.1, rel=1e-5)
    assert terms["box2d"].item() == pytest.approx(5 * 0.1, rel=1e-5)
    # 0.2..0.5 by 0.3..0.7 in 0.3..0.7 by 0.3..0.7: shared 0.2, union 0.5, hull 0.5 of a side, all covered.
    assert terms["overlap"].item() == pytest.approx(2 * (1 - 0.2 / 0.5), rel=1e-5)
    # Each side is a tenth too long: the sum of the relative errors, at the plain errors' scale, is the plain errors' sum.
    assert terms["size3d"].item() == pytest.approx(0.4 + 0.2 + 0.1, rel=1e-4)
    assert terms["depth"].item() == pytest.approx(math.sqrt(2) * math.exp(-0.5) * 2 + 0.5, rel=1e-5)
    assert terms["heading"].item() == pytest.approx(math.log(12) + 0.1, rel=1e-5)
    assert terms["class"].item() == pytest.approx(2 * 0.25 * 0.25 * math.log(2), rel=1e-5)


def test_the_class_loss_is_a_sum_over_queries_for_each_object_and_group() -> None:
    said = answers([[BOX] * 4], [[[0.0]] * 4])
    matches = Matches(torch.tensor([0, 0]), torch.tensor([0, 2]), torch.tensor([0, 0]))
    loss = class_loss(said, targets([BOX], [0]), matches, groups=2)
    # Two queries are right to be objects (0.25 (1/2)^2 log 2), two should be nothing (0.75 (1/2)^2 log 2); two groups.
    assert loss.item() == pytest.approx(2 * (0.25 + 0.75) * 0.25 * math.log(2) / 2, rel=1e-5)


def test_a_query_that_points_into_doubt_need_not_say_nothing() -> None:
    elsewhere = [0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    said = answers([[BOX, elsewhere]], [[[0.0], [0.0]]])
    region = torch.tensor([[0.0, 0.05, 0.05, 0.2, 0.2]])
    sure, doubtful = targets([BOX], [0]), targets([BOX], [0], doubt=region)
    lighter = class_loss(said, sure, one(), 1) - class_loss(said, doubtful, one(), 1)
    assert lighter.item() == pytest.approx(0.75 * 0.25 * math.log(2), rel=1e-5)
    # In the other picture of a batch the same place is not in doubt.
    both = answers([[elsewhere], [elsewhere]], [[[0.0]], [[0.0]]])
    nobody = Matches(*torch.zeros(3, 0, dtype=torch.long))
    half = class_loss(both, targets([], [], doubt=region), nobody, 1)
    assert half.item() == pytest.approx(0.75 * 0.25 * math.log(2), rel=1e-5)


def test_an_object_of_low_weight_counts_less() -> None:
    said = answers([[MOVED, BOX]], [[[0.0], [0.0]]])
    wanted = targets([BOX, BOX], [0, 0], weight=torch.tensor([0.5, 1.0]))
    pairs = Matches(torch.tensor([0, 0]), torch.tensor([0, 1]), torch.tensor([0, 1]))
    assert layer_losses(said, wanted, pairs, queries=2)["centre"].item() == pytest.approx(10 * 0.1 * 0.5 / 1.5, rel=1e-5)


def test_near_boxes_are_painted_over_far_ones() -> None:
    far, near = [0.5, 0.5, 0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.2, 0.2, 0.5, 0.5]
    wanted = targets([near, far], [0, 0], depth=torch.tensor([10.0, 40.0]))
    label, weight = painted_depth(wanted, 2, 4, 8, BINS)
    bins = BINS.label(np.array([10.0, 40.0]))
    assert label[0, 0].tolist() == [bins[0]] * 4 + [bins[1]] * 4
    assert (label[1] == 80).all()
    assert weight[0].unique().tolist() == [13]
    assert weight[1].unique().tolist() == [1]


def test_the_depth_maps_loss_is_focal_and_prefers_objects() -> None:
    wanted = targets([[0.25, 0.5, 0.25, 0.25, 0.5, 0.5]], [0], doubt=torch.tensor([[0.0, 0.76, 0.0, 1.0, 1.0]]))
    loss = depth_map_loss(torch.zeros(1, 81, 2, 4), wanted, BINS)
    focal = 0.25 * (1 - 1 / 81) ** 2 * math.log(81)
    # Half of the cells are the object's, a quarter is background and a quarter in doubt.
    assert loss.item() == pytest.approx(focal * (13 * 2 + 1) / 4, rel=1e-5)


def test_each_layer_is_matched_for_itself_and_named() -> None:
    elsewhere = [0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    first, last = answers([[BOX, elsewhere]], [[[0.0], [0.0]]]), answers([[elsewhere, BOX]], [[[0.0], [0.0]]])
    wanted = targets([BOX], [0])
    assert match(first, wanted, 2).query.tolist() == [0]
    terms = query_losses([first, last], torch.zeros(1, 81, 2, 4), wanted, 2, BINS)
    names = {"class", "centre", "box2d", "overlap", "size3d", "depth", "heading"}
    assert set(terms) == names | {f"{name}_layer1" for name in names} | {"depth_map"}
    assert terms["centre"].item() == pytest.approx(0, abs=1e-6)
    assert terms["centre_layer1"].item() == pytest.approx(0, abs=1e-6)
