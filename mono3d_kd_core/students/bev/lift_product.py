"""The arithmetic of lifting: a sparse matrix, whose values come from depth distributions, times a table of features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.students.bev.lift_index import Bands, LiftIndex
from mono3d_kd_core.teachers.workers import workers


def lifted(table: Tensor, probability: Tensor, index: LiftIndex) -> Tensor:
    """Return (targets,C): for each target the sum over its entries of their worth times their row of the table (rows,C).

    probability (w*h,D). On the CPU the result and its gradients are the same, bit for bit, on any number of threads.
    """
    if table.device.type == "cpu":
        result: Tensor = _Lifted.apply(table, probability, index)  # type: ignore[no-untyped-call]
        return result
    return plain_lifted(table, probability, index)


def plain_lifted(table: Tensor, probability: Tensor, index: LiftIndex) -> Tensor:
    """As `lifted`, in PyTorch's own operations."""
    entries = index.by_target
    # In double precision a difference of sums is as good as the sum.
    sums = functional.pad(probability.double().flatten().cumsum(0), (1, 0))
    first = entries.first.long()
    rest = (sums[first + entries.count] - sums[first + 1]).float()
    worth = entries.near * probability.flatten()[first] + entries.far * rest
    found = functional.embedding_bag(
        entries.place.long(), table, entries.offset, mode="sum", per_sample_weights=worth, include_last_offset=True
    )
    return table.new_zeros(index.targets, table.shape[1]).index_copy(0, entries.group.long(), found)


class _Lifted(torch.autograd.Function):
    """Targets, and on the way back rows, are shared out among threads in chunks: nobody else writes to them."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, probability: Tensor, index: LiftIndex) -> Tensor:
        table, probability = table.contiguous(), probability.contiguous()
        ctx.save_for_backward(table, probability)
        ctx.index = index
        out = _zeros(table, index.targets, table.shape[1])
        tensors = (table, probability.view(-1), *vars(index.by_target).values(), out)
        _in_chunks(_gather, tensors, index.target_cuts)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (table, probability), index = ctx.saved_tensors, ctx.index
        of_table, of_probability = _zeros(table, *table.shape), torch.zeros_like(probability)
        tensors = (
            table, probability.view(-1), *vars(index.by_row).values(), gradients[0].contiguous(), of_table,
            of_probability.view(-1),
        )  # fmt: skip
        _in_chunks(_gradients, tensors, index.row_cuts)
        return of_table, of_probability, None


def height_table(features: Tensor, weight: Tensor, bands: Bands) -> Tensor:
    """Return (rows,N): the features (w*h,C) of each pixel times the matrix of each height of its band; weight (Z,C,N)."""
    table: Tensor = _HeightTable.apply(features, weight, bands)  # type: ignore[no-untyped-call]
    return table


class _HeightTable(torch.autograd.Function):
    """One matrix product for each row of the image."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bands: Bands) -> Tensor:
        # Heights side by side: (C, Z*N).
        beside = weight.transpose(0, 1).flatten(1)
        ctx.save_for_backward(features, beside)
        ctx.bands = bands
        width = weight.shape[2]
        table = _zeros(features, bands.columns, int(bands.start[-1]) * width)
        image = features.view(bands.columns, -1, features.shape[1])
        for v, rows, columns in _band_slices(bands, width):
            torch.mm(image[:, v], beside[:, columns], out=table[:, rows])
        return table.view(-1, width)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (features, beside), bands = ctx.saved_tensors, ctx.bands
        width = gradients[0].shape[1]
        gradient = gradients[0].contiguous().view(bands.columns, -1)
        of_features, of_beside = torch.zeros_like(features), torch.zeros_like(beside)
        shape = (bands.columns, -1, features.shape[1])
        image, of_image = features.view(shape), of_features.view(shape)
        for v, rows, columns in _band_slices(bands, width):
            torch.mm(gradient[:, rows], beside[:, columns].t(), out=of_image[:, v])
            of_beside[:, columns].addmm_(image[:, v].t(), gradient[:, rows])
        return of_features, of_beside.view(len(beside), bands.heights, -1).transpose(0, 1), None


def _band_slices(bands: Bands, width: int) -> list[tuple[int, slice, slice]]:
    """For each image row with a band: itself, its part of every column's table, and that of the matrices side by side."""
    parts = enumerate(zip(pairwise(bands.start.tolist()), bands.low.tolist(), bands.high.tolist()))
    return [
        (v, slice(a * width, b * width), slice(low * width, high * width)) for v, ((a, b), low, high) in parts if b > a
    ]


def _zeros(like: Tensor, *shape: int) -> Tensor:
    """Return zeros of a tensor's kind; on the CPU from NumPy, which asks for large pages: four times faster to fill.

    Pages that nobody writes to are never touched.
    """
    return torch.from_numpy(np.zeros(shape, np.float32)) if like.device.type == "cpu" else like.new_zeros(shape)


def _in_chunks(kernel: Callable[..., None], tensors: Sequence[Tensor], cuts: Sequence[int]) -> None:
    arrays = [tensor.detach().numpy() for tensor in tensors]
    list(workers().map(partial(kernel, *arrays), cuts[:-1], cuts[1:]))


@numba.njit(cache=True, nogil=True, fastmath={"contract"})
def _gather(table, p, group, offset, place, first, count, near, far, out, start, stop):  # type: ignore[no-untyped-def]
    channels = table.shape[1]
    total = np.empty(channels, table.dtype)
    for g in range(start, stop):
        total[:] = 0
        for e in range(offset[g], offset[g + 1]):
            worth = near[e] * p[first[e]]
            for i in range(1, count[e]):
                worth += far[e] * p[first[e] + i]
            if worth != 0:
                row = place[e]
                for c in range(channels):
                    total[c] += worth * table[row, c]
        target = group[g]
        for c in range(channels):
            out[target, c] = total[c]


# Sums over channels may be taken in any order, which the compiler then fixes: lanes side by side.
@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _gradients(  # type: ignore[no-untyped-def]
    table, p, group, offset, place, first, count, near, far, gradient, of_table, of_p, start, stop
):
    channels = table.shape[1]
    for g in range(start, stop):
        row = group[g]
        for e in range(offset[g], offset[g + 1]):
            worth = near[e] * p[first[e]]
            for i in range(1, count[e]):
                worth += far[e] * p[first[e] + i]
            target = place[e]
            product = table.dtype.type(0)
            for c in range(channels):
                product += table[row, c] * gradient[target, c]
                of_table[row, c] += worth * gradient[target, c]
            of_p[first[e]] += near[e] * product
            for i in range(1, count[e]):
                of_p[first[e] + i] += far[e] * product
