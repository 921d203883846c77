"""The keypoint head evaluated densely and at cells."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from mono3d_kd_core.heads.keypoint import CHANNELS, KeypointHead


@pytest.fixture
def head() -> KeypointHead:
    torch.manual_seed(1)
    head = KeypointHead(8, 16, 3)
    for layer in head.regressions.values():
        torch.nn.init.normal_(layer.weight)
    return head


def test_cells_read_what_the_dense_maps_hold_also_at_the_border(head: KeypointHead) -> None:
    neck = torch.randn(2, 8, 6, 7)
    cells = torch.arange(6 * 7).expand(2, -1)
    for dense, sparse, count in zip(head.dense(neck), head.at_cells(neck, cells), CHANNELS.values()):
        assert dense.shape == (2, count, 6, 7)
        torch.testing.assert_close(sparse, dense.flatten(2).transpose(1, 2))


def test_side_by_side_convolutions_equal_separate_heads(head: KeypointHead) -> None:
    neck = torch.randn(1, 8, 6, 7)
    first = head.regression_hidden
    for i, (name, dense) in enumerate(head.dense(neck)._asdict().items()):
        own = slice(16 * i, 16 * (i + 1))
        hidden = functional.conv2d(neck, first.weight[own], first.bias[own], padding=1).relu()
        torch.testing.assert_close(dense, head.regressions[name](hidden))


def test_gradients_of_both_ways_agree(head: KeypointHead) -> None:
    neck = torch.randn(1, 8, 6, 7, requires_grad=True)
    cells = torch.tensor([[0, 17, 41]])
    (sparse,) = torch.autograd.grad(head.at_cells(neck, cells).heading.sum(), neck)
    (dense,) = torch.autograd.grad(head.dense(neck).heading.flatten(2)[..., cells[0]].sum(), neck)
    torch.testing.assert_close(sparse, dense)
