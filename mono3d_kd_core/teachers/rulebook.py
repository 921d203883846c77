"""Which voxel meets which under each place of a sparse convolution's kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Rulebook:
    """The pairs of a sparse convolution (Graham et al., CVPR 2018; Yan et al. 2018, section 3.1).

    sources, targets (P,) int64 rows of the input and output features, grouped by kernel place: those of place k are
    starts[k]:starts[k+1], in z, y, x order of the kernel. Under one place no target occurs twice, so that sums may be
    written in parallel. coordinates (M,4) int32 batch, z, y, x of the outputs, in lexical order for strided convolutions.
    """

    sources: Tensor
    targets: Tensor
    starts: tuple[int, ...]
    coordinates: Tensor
    shape: Triple

    @property
    def outputs(self) -> int:
        """Number of output voxels."""
        return len(self.coordinates)

    def inverted(self, coordinates: Tensor, shape: Triple) -> Rulebook:
        """Return the rulebook of the inverse convolution, back onto the voxels that this one came from."""
        return Rulebook(self.targets, self.sources, self.starts, coordinates, shape)

    def to(self, device: torch.device) -> Rulebook:
        """Return the same rules on another device."""
        sources, targets, coordinates = (t.to(device) for t in (self.sources, self.targets, self.coordinates))
        return Rulebook(sources, targets, self.starts, coordinates, self.shape)


def submanifold_rules(coordinates: Tensor, shape: Triple, kernel: Triple) -> Rulebook:
    """Rules of a submanifold convolution: outputs are exactly the inputs. `kernel` sizes must be odd."""
    if any(size % 2 == 0 for size in kernel):
        raise ValueError(f"a submanifold convolution needs an odd kernel, got {kernel}")
    cells = _numpy(coordinates)
    sources, targets, starts = _submanifold(cells, np.array(shape), np.array(kernel))
    return _rulebook(sources, targets, starts, coordinates, shape)


def strided_rules(coordinates: Tensor, shape: Triple, kernel: Triple, stride: Triple, padding: Triple) -> Rulebook:
    """Rules of a sparse convolution: an output voxel exists wherever the kernel touches an input."""
    out: Triple = tuple(  # type: ignore[assignment]
        (n + 2 * p - k) // s + 1 for n, k, s, p in zip(shape, kernel, stride, padding)
    )
    arguments = (np.array(out), np.array(kernel), np.array(stride), np.array(padding))
    sources, targets, starts, cells = _strided(_numpy(coordinates), *arguments)
    return _rulebook(sources, targets, starts, torch.from_numpy(cells), out)


def _numpy(coordinates: Tensor) -> NDArray[np.int64]:
    return np.ascontiguousarray(coordinates.cpu().numpy(), np.int64)


def _rulebook(
    sources: NDArray[np.int64], targets: NDArray[np.int64], starts: NDArray[np.int64], coordinates: Tensor, shape: Triple
) -> Rulebook:
    return Rulebook(torch.from_numpy(sources), torch.from_numpy(targets), tuple(starts.tolist()), coordinates, shape)


@numba.njit(cache=True)
def _slot(keys, key):  # type: ignore[no-untyped-def]
    """Slot of `key` in an open-addressing table of a power-of-two size, or the free slot where it belongs."""
    mask = len(keys) - 1
    h = key * 0x9E3779B97F4A7C15 >> 20 & mask
    while keys[h] != -1 and keys[h] != key:
        h = (h + 1) & mask
    return h


@numba.njit(cache=True)
def _table_size(n):  # type: ignore[no-untyped-def]
    size = 16
    while size < 2 * n:
        size *= 2
    return size


@numba.njit(cache=True)
def _submanifold(cells, shape, kernel):  # type: ignore[no-untyped-def]
    n = len(cells)
    keys = np.full(_table_size(n), -1, np.int64)
    rows = np.empty(len(keys), np.int64)
    own = np.empty(n, np.int64)
    for i in range(n):
        own[i] = ((cells[i, 0] * shape[0] + cells[i, 1]) * shape[1] + cells[i, 2]) * shape[2] + cells[i, 3]
        slot = _slot(keys, own[i])
        keys[slot] = own[i]
        rows[slot] = i
    places = kernel[0] * kernel[1] * kernel[2]
    # The rules of place k are those of the mirrored place turned round, so only half of the table is looked up.
    half = places // 2
    found = np.empty((half, n), np.int64)
    counts = np.zeros(places, np.int64)
    for k in range(half):
        dz = k // (kernel[1] * kernel[2]) - kernel[0] // 2
        dy = k // kernel[2] % kernel[1] - kernel[1] // 2
        dx = k % kernel[2] - kernel[2] // 2
        step = (dz * shape[1] + dy) * shape[2] + dx
        for i in range(n):
            z, y, x = cells[i, 1] + dz, cells[i, 2] + dy, cells[i, 3] + dx
            found[k, i] = -1
            if 0 <= z < shape[0] and 0 <= y < shape[1] and 0 <= x < shape[2]:
                slot = _slot(keys, own[i] + step)
                if keys[slot] != -1:
                    found[k, i] = rows[slot]
                    counts[k] += 1
        counts[places - 1 - k] = counts[k]
    counts[half] = n
    starts = np.zeros(places + 1, np.int64)
    starts[1:] = np.cumsum(counts)
    sources = np.empty(starts[-1], np.int64)
    targets = np.empty(starts[-1], np.int64)
    for k in range(half):
        a, b = starts[k], starts[places - 1 - k]
        for i in range(n):
            if found[k, i] >= 0:
                sources[a], targets[a] = found[k, i], i
                sources[b], targets[b] = i, found[k, i]
                a += 1
                b += 1
    for i in range(n):
        sources[starts[half] + i] = i
        targets[starts[half] + i] = i
    return sources, targets, starts


@numba.njit(cache=True)
def _strided(cells, out, kernel, stride, padding):  # type: ignore[no-untyped-def]
    n, places = len(cells), kernel[0] * kernel[1] * kernel[2]
    # First pass: which output each input meets under each place.
    wanted = np.full((places, n), -1, np.int64)
    keys = np.full(_table_size(max(n, 8)), -1, np.int64)
    used = 0
    counts = np.zeros(places, np.int64)
    for k in range(places):
        oz, oy, ox = k // (kernel[1] * kernel[2]), k // kernel[2] % kernel[1], k % kernel[2]
        for i in range(n):
            z, y, x = cells[i, 1] + padding[0] - oz, cells[i, 2] + padding[1] - oy, cells[i, 3] + padding[2] - ox
            if z < 0 or y < 0 or x < 0 or z % stride[0] or y % stride[1] or x % stride[2]:
                continue
            z, y, x = z // stride[0], y // stride[1], x // stride[2]
            if z >= out[0] or y >= out[1] or x >= out[2]:
                continue
            key = ((cells[i, 0] * out[0] + z) * out[1] + y) * out[2] + x
            wanted[k, i] = key
            counts[k] += 1
            slot = _slot(keys, key)
            if keys[slot] == -1:
                keys[slot] = key
                used += 1
                if 2 * used > len(keys):
                    keys = _grown(keys)
    ordered = np.sort(keys[keys != -1])
    rows = np.empty(len(keys), np.int64)
    for row in range(len(ordered)):
        rows[_slot(keys, ordered[row])] = row
    starts = np.zeros(places + 1, np.int64)
    starts[1:] = np.cumsum(counts)
    sources = np.empty(starts[-1], np.int64)
    targets = np.empty(starts[-1], np.int64)
    a = 0
    for k in range(places):
        for i in range(n):
            if wanted[k, i] >= 0:
                sources[a], targets[a] = i, rows[_slot(keys, wanted[k, i])]
                a += 1
    made = np.empty((len(ordered), 4), np.int32)
    for row in range(len(ordered)):
        key = ordered[row]
        made[row, 3] = key % out[2]
        made[row, 2] = key // out[2] % out[1]
        made[row, 1] = key // (out[2] * out[1]) % out[0]
        made[row, 0] = key // (out[2] * out[1] * out[0])
    return sources, targets, starts, made


@numba.njit(cache=True)
def _grown(keys):  # type: ignore[no-untyped-def]
    larger = np.full(2 * len(keys), -1, np.int64)
    for key in keys:
        if key != -1:
            larger[_slot(larger, key)] = key
    return larger
