"""Weighted bilinear readings of several maps: the inner loop of deformable attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.teachers.workers import workers

Shape = tuple[int, int]
"""Rows and columns of a level."""
CHUNKS = 8
"""Into so many parts the queries are cut, for as many threads at most."""


def sample_levels(value: Tensor, shapes: Sequence[Shape], locations: Tensor, weights: Tensor) -> Tensor:
    """Return weighted sums of bilinear readings (B,N,heads*D).

        output(n, m) = sum over levels l and points k of  weights(n,m,l,k) * value_l(m; locations(n,m,l,k))

    value (B,L,heads,D) holds the levels' cells one level after the other, row by row; locations (B,N,heads,levels,points,2)
    are x and y from 0 to 1, the middle of cell (i, j) being at ((i + 0.5) / columns, (j + 0.5) / rows); what lies outside is
    read as zeros. weights (B,N,heads,levels,points). Single precision; on the CPU by kernels of our own.
    """
    if value.device.type == "cpu" and not torch.compiler.is_compiling():
        read: Tensor = _Sampled.apply(value, tuple(shapes), locations, weights)  # type: ignore[no-untyped-call]
        return read.flatten(2)
    return plain_sample_levels(value, shapes, locations, weights)


def plain_sample_levels(value: Tensor, shapes: Sequence[Shape], locations: Tensor, weights: Tensor) -> Tensor:
    """As `sample_levels`, in PyTorch's own operations; what an exported network does."""
    batch, _, heads, width = value.shape
    grid = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    weigh = weights.transpose(1, 2).flatten(0, 1)[:, None]
    cells = torch.split(value, [rows * columns for rows, columns in shapes], 1)
    found = value.new_zeros(())
    for level, shape in enumerate(shapes):
        maps = cells[level].permute(0, 2, 3, 1).reshape(batch * heads, width, *shape)
        read = functional.grid_sample(maps, grid[:, :, level], "bilinear", "zeros", align_corners=False)
        found = found + (read * weigh[:, :, :, level]).sum(-1)
    return found.view(batch, heads * width, -1).transpose(1, 2)


class _Sampled(torch.autograd.Function):
    """Queries are shared out among threads on the way forth, heads on the way back: nobody else writes to theirs."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, shapes: tuple[Shape, ...], locations: Tensor, weights: Tensor) -> Tensor:
        value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
        ctx.save_for_backward(value, locations, weights)
        ctx.shapes = np.array(shapes)
        batch, queries, heads = weights.shape[:3]
        read = torch.zeros(batch, queries, heads, value.shape[-1])
        _in_chunks(_read, (value, locations, weights, read), ctx.shapes, batch * queries)
        return read

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:
        value, locations, weights = ctx.saved_tensors
        found = tuple(torch.zeros_like(each) for each in (value, locations, weights))
        tensors = (value, locations, weights, gradients[0].contiguous(), *found)
        _in_chunks(_gradients, tensors, ctx.shapes, weights.shape[0] * weights.shape[2])
        return found[0], None, found[1], found[2]


def _in_chunks(
    kernel: Callable[..., None], tensors: Sequence[Tensor], shapes: np.ndarray[Any, np.dtype[np.int64]], count: int
) -> None:
    """Run a kernel on the rows 0 to `count`, chunk by chunk."""
    arrays = [tensor.detach().numpy() for tensor in tensors]
    cuts = np.linspace(0, count, min(count, CHUNKS) + 1).astype(np.int64).tolist()
    list(workers().map(partial(kernel, shapes, *arrays), cuts[:-1], cuts[1:]))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _read(shapes, value, locations, weights, read, start, stop):  # type: ignore[no-untyped-def]
    queries, heads, levels, points = weights.shape[1:]
    width = value.shape[3]
    for row in range(start, stop):
        b, n = row // queries, row % queries
        for m in range(heads):
            total = read[b, n, m]
            first = 0
            for level in range(levels):
                rows, columns = shapes[level]
                for k in range(points):
                    x = locations[b, n, m, level, k, 0] * np.float32(columns) - np.float32(0.5)
                    y = locations[b, n, m, level, k, 1] * np.float32(rows) - np.float32(0.5)
                    if x > -1 and y > -1 and x < columns and y < rows:
                        left, top = int(np.floor(x)), int(np.floor(y))
                        for v in range(max(top, 0), min(top + 2, rows)):
                            down = weights[b, n, m, level, k] * (1 - abs(y - np.float32(v)))
                            for u in range(max(left, 0), min(left + 2, columns)):
                                worth = np.float32(down * (1 - abs(x - np.float32(u))))
                                cell = first + v * columns + u
                                for c in range(width):
                                    total[c] += worth * value[b, cell, m, c]
                    elif x != x or y != y:  # a broken network must not go unseen
                        total[:] = np.nan
                first += rows * columns


# Sums over channels may be taken in any order, which the compiler then fixes: lanes side by side.
@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _gradients(  # type: ignore[no-untyped-def]
    shapes, value, locations, weights, gradient, of_value, of_locations, of_weights, start, stop
):
    queries, heads, levels, points = weights.shape[1:]
    width = value.shape[3]
    for pair in range(start, stop):
        b, m = pair // heads, pair % heads
        for n in range(queries):
            first = 0
            for level in range(levels):
                rows, columns = shapes[level]
                for k in range(points):
                    x = locations[b, n, m, level, k, 0] * np.float32(columns) - np.float32(0.5)
                    y = locations[b, n, m, level, k, 1] * np.float32(rows) - np.float32(0.5)
                    if x > -1 and y > -1 and x < columns and y < rows:
                        left, top = int(np.floor(x)), int(np.floor(y))
                        weight = weights[b, n, m, level, k]
                        of_x, of_y, of_weight = np.float32(0), np.float32(0), np.float32(0)
                        for v in range(max(top, 0), min(top + 2, rows)):
                            down = np.float32(1 - abs(y - np.float32(v)))
                            for u in range(max(left, 0), min(left + 2, columns)):
                                across = np.float32(1 - abs(x - np.float32(u)))
                                cell = first + v * columns + u
                                product = np.float32(0)
                                worth = weight * down * across
                                for c in range(width):
                                    product += value[b, cell, m, c] * gradient[b, n, m, c]
                                    of_value[b, cell, m, c] += worth * gradient[b, n, m, c]
                                of_weight += down * across * product
                                of_x += down * product if u > left else -down * product
                                of_y += across * product if v > top else -across * product
                        of_weights[b, n, m, level, k] = of_weight
                        of_locations[b, n, m, level, k, 0] = weight * of_x * columns
                        of_locations[b, n, m, level, k, 1] = weight * of_y * rows
                first += rows * columns
