"""The arithmetic of sparse convolutions: gather rows, multiply by a kernel place's matrix, add to the output's rows."""

from __future__ import annotations

from itertools import pairwise

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.teachers.workers import workers

CHUNK = 4096
"""Output rows that one thread works on from end to end; they and their sums stay in its cache."""


def gather_multiply_add(
    features: Tensor, weight: Tensor, sources: Tensor, targets: Tensor, starts: tuple[int, ...], rows: int
) -> Tensor:
    """Return out (rows, D) with out[t] = sum over the pairs (s, t) of all places k of features[s] @ weight[k].

    features (N, C), weight (K, C, D); the pairs of place k are starts[k]:starts[k+1] of sources and targets, no target twice
    under one place. On the CPU the result is the same, bit for bit, on any number of threads.
    """
    out = features.new_zeros(rows, weight.shape[2])
    if features.device.type != "cpu":
        for k, (a, b) in enumerate(pairwise(starts)):
            if b > a:
                out.index_add_(0, targets[a:b], features.index_select(0, sources[a:b]) @ weight[k])
        return out
    s, t = _by_target(sources.numpy(), targets.numpy(), np.array(starts))
    edges = np.append(np.arange(0, rows, CHUNK), rows)
    cuts = np.array([np.searchsorted(t[a:b], edges) + a for a, b in pairwise(starts)])
    plain, result = features.detach().contiguous().numpy(), out.numpy()

    def work(chunk: int) -> None:
        with torch.inference_mode():
            for k, (a, b) in enumerate(cuts[:, chunk : chunk + 2]):
                if b > a:
                    gathered = torch.empty(int(b - a), plain.shape[1])
                    _gather(plain, s, a, gathered.numpy())
                    _add((gathered @ weight[k]).numpy(), t, a, result)

    list(workers().map(work, range(len(edges) - 1)))
    return out


def weight_gradient(
    features: Tensor, gradient: Tensor, sources: Tensor, targets: Tensor, starts: tuple[int, ...]
) -> Tensor:
    """Return (K, C, D): for each place the sum over its pairs (s, t) of the outer products features[s] x gradient[t]."""
    out = features.new_zeros(len(starts) - 1, features.shape[1], gradient.shape[1])

    def work(k: int) -> None:
        pairs = slice(starts[k], starts[k + 1])
        with torch.no_grad():
            torch.mm(features.index_select(0, sources[pairs]).t(), gradient.index_select(0, targets[pairs]), out=out[k])

    places = [k for k in range(len(starts) - 1) if starts[k + 1] > starts[k]]
    list((workers().map if features.device.type == "cpu" else map)(work, places))
    return out


def _by_target(
    sources: NDArray[np.int64], targets: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs with each place's targets rising, as they are already where the voxels are in lexical order."""
    if _rising(targets, starts):
        return sources, targets
    place = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((targets, place))
    return sources[order], targets[order]


@numba.njit(cache=True, nogil=True)
def _rising(targets, starts):  # type: ignore[no-untyped-def]
    for k in range(len(starts) - 1):
        for i in range(starts[k] + 1, starts[k + 1]):
            if targets[i] < targets[i - 1]:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def _gather(features, sources, first, out):  # type: ignore[no-untyped-def]
    for i in range(out.shape[0]):
        row = sources[first + i]
        for c in range(out.shape[1]):
            out[i, c] = features[row, c]


@numba.njit(cache=True, nogil=True)
def _add(products, targets, first, out):  # type: ignore[no-untyped-def]
    for i in range(products.shape[0]):
        row = targets[first + i]
        for c in range(products.shape[1]):
            out[row, c] += products[i, c]
