"""Heatmap targets, the focal loss and the peaks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mono3d_kd_core.heads.heatmap import draw_gaussian, find_peaks, focal_loss, gaussian_radius


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """IoU of two boxes left, top, right, bottom."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(width, 0) * max(height, 0)
    return inter / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter)


@given(st.floats(1, 200), st.floats(1, 200), st.floats(0.3, 0.9))
def test_corners_within_the_radius_keep_the_overlap(height: float, width: float, least: float) -> None:
    r = gaussian_radius(height, width, least)
    box = (0.0, 0.0, width, height)
    for shift in ((r, r, r, r), (r, r, -r, -r), (-r, -r, r, r)):  # moved, shrunk, grown
        assert overlap(box, tuple(edge + by for edge, by in zip(box, shift))) >= least - 1e-6


def test_gaussian_is_one_at_its_centre_and_is_cut_at_the_border() -> None:
    heatmap = np.zeros((10, 12), np.float32)
    draw_gaussian(heatmap, row=0, column=11, radius=3)
    sigma = 7 / 6
    assert heatmap[0, 11] == 1
    assert heatmap[2, 10] == pytest.approx(math.exp(-(2**2 + 1) / (2 * sigma**2)))
    assert np.count_nonzero(heatmap) == 4 * 4


def test_overlapping_gaussians_keep_the_higher_value() -> None:
    heatmap = np.zeros((9, 9), np.float32)
    draw_gaussian(heatmap, 4, 3, 3)
    draw_gaussian(heatmap, 4, 5, 3)
    assert heatmap[4, 3] == heatmap[4, 5] == 1
    assert heatmap[4, 4] == pytest.approx(math.exp(-1 / (2 * (7 / 6) ** 2)))


def test_focal_loss_by_hand() -> None:
    logits = torch.tensor([[[[math.log(3.0), 0.0]]]])  # p = 0.75, 0.5
    target = torch.tensor([[[[1.0, 0.5]]]])
    by_hand = -(0.25**2 * math.log(0.75)) - (0.5**4 * 0.5**2 * math.log(0.5))
    assert focal_loss(logits, target, torch.ones(1, 1, 1, 2)).item() == pytest.approx(by_hand, rel=1e-5)


def test_ignored_cells_cost_nothing_and_no_objects_give_a_finite_loss() -> None:
    logits = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    assert focal_loss(logits, torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0
    loss = focal_loss(logits, torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_peaks_are_local_maxima_best_first() -> None:
    logits = torch.full((1, 2, 5, 6), -9.0)
    logits[0, 1, 2, 3], logits[0, 1, 2, 4], logits[0, 0, 4, 0] = 2.0, 1.5, 0.0  # the second is beside the first
    peaks = find_peaks(logits, 2)
    assert peaks.label.tolist() == [[1, 0]]
    assert peaks.cell.tolist() == [[2 * 6 + 3, 4 * 6]]
    assert peaks.score[0].tolist() == pytest.approx([1 / (1 + math.exp(-2)), 0.5])
