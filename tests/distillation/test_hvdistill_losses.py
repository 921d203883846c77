"""HVDistill's losses, against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mono3d_kd_core.distillation.hvdistill_losses import (
    depth_loss,
    group_means,
    info_nce,
    matched_share,
    nearest_depth,
)


def test_contrast_of_two_pairs() -> None:
    keys = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Row 0: logits 2, 0; row 1: logits 1.2, 1.6 with the second one right.
    by_hand = (math.log(1 + math.exp(-2.0)) + math.log(1 + math.exp(1.2 - 1.6))) / 2
    assert info_nce(keys, queries, 0.5).item() == pytest.approx(by_hand, abs=1e-6)


def test_keys_choose_among_queries() -> None:
    keys, queries = torch.tensor([[2.0], [0.0]]), torch.tensor([[2.0], [1.0]])
    # Row 0 chooses between 4 and 2, row 1 between 0 and 0. Columns would choose between 4 and 0, 2 and 0.
    by_hand = (math.log(1 + math.exp(2.0 - 4.0)) + math.log(2)) / 2
    assert info_nce(keys, queries, 1.0).item() == pytest.approx(by_hand, abs=1e-6)


def test_a_batch_without_pairs_costs_nothing_but_has_a_gradient() -> None:
    keys = torch.zeros(0, 4, requires_grad=True)
    loss = info_nce(keys, torch.zeros(0, 4))
    loss.backward()
    assert loss.item() == 0
    assert matched_share(keys, torch.zeros(0, 4)).item() == 0


def test_share_of_keys_that_find_their_own() -> None:
    keys = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.0, 1.0]])
    queries = torch.tensor([[1.0, 0.0], [0.0, 0.2], [0.0, 1.0], [0.1, 0.9]])
    assert matched_share(keys, queries).item() == 0.5


def test_means_of_groups() -> None:
    features = torch.tensor([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    means, count = group_means(features, torch.tensor([2, 2, 0]), 4)
    assert means.tolist() == [[10.0, 20.0], [0.0, 0.0], [2.0, 3.0], [0.0, 0.0]]
    assert count.tolist() == [1, 0, 2, 0]


def test_the_nearest_known_depth_of_a_block_counts() -> None:
    depth = torch.zeros(1, 4, 4)
    depth[0, 0, 1], depth[0, 1, 0], depth[0, 3, 3] = 7.0, 3.0, 9.0
    assert nearest_depth(depth, 2).tolist() == [[[3.0, 0.0], [0.0, 9.0]]]


def test_depth_is_binary_cross_entropy_over_known_cells_and_all_bins() -> None:
    probability = torch.tensor([0.7, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 1, 2)
    label = torch.tensor([[[1, -1]]])
    by_hand = -(math.log(0.3) + math.log(0.2) + math.log(0.9)) / 3
    assert depth_loss(probability, label).item() == pytest.approx(by_hand, abs=1e-6)
    assert depth_loss(probability, torch.full((1, 1, 2), -1)).item() == 0
