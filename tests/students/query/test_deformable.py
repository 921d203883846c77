"""Deformable attention reads what a plain loop over heads, levels and points reads."""

from __future__ import annotations

import math

import torch

from mono3d_kd_core.students.query.deformable import DeformableAttention
from mono3d_kd_core.students.query.sampling import plain_sample_levels, sample_levels

SHAPES = [(5, 7), (3, 4)]


def pixel(cells: torch.Tensor, shape: tuple[int, int], row: int, column: int) -> torch.Tensor:
    inside = 0 <= row < shape[0] and 0 <= column < shape[1]
    return cells[row * shape[1] + column] if inside else torch.zeros(cells.shape[1])


def bilinear(cells: torch.Tensor, shape: tuple[int, int], x: float, y: float) -> torch.Tensor:
    """Read cells (rows*columns,D) at shares x, y of the map, zeros outside."""
    column, row = x * shape[1] - 0.5, y * shape[0] - 0.5
    left, top = math.floor(column), math.floor(row)
    read = torch.zeros(cells.shape[1])
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - abs(column - left - dx)) * (1 - abs(row - top - dy))
        read += share * pixel(cells, shape, top + dy, left + dx)
    return read


def looped(value: torch.Tensor, locations: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    batch, queries, heads, _, points, _ = locations.shape
    levels = value.split([rows * columns for rows, columns in SHAPES], 1)
    found = torch.zeros(batch, queries, heads, value.shape[-1])
    for b in range(batch):
        for n in range(queries):
            for m in range(heads):
                for level, shape in enumerate(SHAPES):
                    for k in range(points):
                        x, y = locations[b, n, m, level, k].tolist()
                        found[b, n, m] += weights[b, n, m, level, k] * bilinear(levels[level][b, :, m], shape, x, y)
    return found.flatten(2)


def some_places() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A value, places inside and outside of it, and weights."""
    torch.manual_seed(0)
    value = torch.randn(2, 5 * 7 + 3 * 4, 3, 4)
    return value, torch.rand(2, 4, 3, 2, 3, 2) * 1.4 - 0.2, torch.rand(2, 4, 3, 2, 3)


def test_sampling_equals_a_loop_also_outside_the_map() -> None:
    value, locations, weights = some_places()
    expected = looped(value, locations, weights)
    torch.testing.assert_close(sample_levels(value, SHAPES, locations, weights), expected)
    torch.testing.assert_close(plain_sample_levels(value, SHAPES, locations, weights), expected)


def test_gradients_are_those_of_pytorchs_own_operations() -> None:
    inputs = [part.requires_grad_() for part in some_places()]
    ours, theirs = (
        torch.autograd.grad(function(inputs[0], SHAPES, *inputs[1:]).square().sum(), inputs)
        for function in (sample_levels, plain_sample_levels)
    )
    for mine, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


def test_a_place_that_is_no_number_is_not_overlooked() -> None:
    value, locations, weights = some_places()
    locations[1, 2, 0, 1, 1, 0] = math.nan
    read = sample_levels(value, SHAPES, locations, weights)
    assert read[1, 2, :4].isnan().all()
    assert read.isfinite().sum() == read.numel() - 4


def test_a_fresh_attention_looks_around_in_equal_parts() -> None:
    attention = DeformableAttention(16, 2, 4, 3)
    attention.reset()
    offsets = attention.offsets(torch.randn(1, 1, 16)).view(4, 2, 3, 2)
    for point in range(3):
        right, down, left, up = offsets[:, 0, point]
        torch.testing.assert_close(right, torch.tensor([point + 1.0, 0]), atol=1e-6, rtol=0)
        torch.testing.assert_close(down, torch.tensor([0, point + 1.0]), atol=1e-6, rtol=0)
        torch.testing.assert_close(left, -right, atol=1e-6, rtol=0)
        torch.testing.assert_close(up, -down, atol=1e-6, rtol=0)
    # Equal weights: a constant memory is read as it is, wherever all places are inside.
    torch.nn.init.eye_(attention.value.weight)
    torch.nn.init.eye_(attention.output.weight)
    memory = torch.randn(16).expand(1, 9 * 9 + 9 * 9, 16)
    read = attention(torch.randn(1, 2, 16), torch.full((1, 2, 2), 0.5), memory, [(9, 9), (9, 9)])
    torch.testing.assert_close(read, memory[:, :2])


def test_a_box_stretches_the_offsets() -> None:
    torch.manual_seed(0)
    attention = DeformableAttention(8, 2, 1, 1)
    attention.reset()  # its only point is one unit to the right
    torch.nn.init.eye_(attention.value.weight)
    torch.nn.init.eye_(attention.output.weight)
    memory = torch.randn(1, 35 + 12, 8)
    box = torch.tensor([[[0.3, 0.5, 0.1, 0.3, 0.2, 0.2]]])
    read = attention(torch.zeros(1, 1, 8), box, memory, SHAPES)
    x = 0.3 + (0.1 + 0.3) / 2
    levels = memory.split([35, 12], 1)
    expected = sum(bilinear(level[0], shape, x, 0.5) for level, shape in zip(levels, SHAPES)) / 2
    torch.testing.assert_close(read[0, 0], expected)
