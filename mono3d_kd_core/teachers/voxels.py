"""Points into voxels: hard (bounded, in order of first appearance) and dynamic (every point kept)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class VoxelGrid:
    """A regular grid over a box of space.

    low, high (x, y, z) in metres: half-open, a point exactly at `high` is outside; size (x, y, z) of one voxel in metres.
    """

    low: tuple[float, float, float]
    high: tuple[float, float, float]
    size: tuple[float, float, float]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of voxels along x, y, z."""
        nx, ny, nz = (round((h - lo) / s) for lo, h, s in zip(self.low, self.high, self.size, strict=True))
        return nx, ny, nz


@dataclass(frozen=True)
class Voxels:
    """V occupied voxels in order of first appearance.

    points (V, max_points, C) float32, zero where empty; coordinates (V,3) int32 as z, y, x; counts (V,) int32 of the
    points kept in each.
    """

    points: NDArray[np.float32]
    coordinates: NDArray[np.int32]
    counts: NDArray[np.int32]

    def means(self) -> NDArray[np.float32]:
        """Return the mean of each voxel's points (V, C): SECOND's voxel feature (Yan et al. 2018)."""
        sums = self.points.sum(1)
        return np.asarray(sums / np.maximum(self.counts, 1)[:, None].astype(np.float32), np.float32)


def stack(clouds: Sequence[Voxels]) -> tuple[Voxels, NDArray[np.int32]]:
    """Join the voxels of several clouds; return them and the number of the cloud (V,) that each belongs to."""
    joined = Voxels(
        np.concatenate([cloud.points for cloud in clouds]),
        np.concatenate([cloud.coordinates for cloud in clouds]),
        np.concatenate([cloud.counts for cloud in clouds]),
    )
    return joined, np.repeat(np.arange(len(clouds), dtype=np.int32), [len(cloud.counts) for cloud in clouds])


def voxelise(points: NDArray[np.float32], grid: VoxelGrid, max_points: int, max_voxels: int) -> Voxels:
    """Hard voxelisation: the first `max_points` points of each of the first `max_voxels` voxels.

    points (N, C>=3) float32, x y z first, in the grid's frame; rows with a NaN are skipped. The result depends on the
    order of the points alone, as the reference implementations of VoxelNet (Zhou & Tuzel 2018) do.
    """
    points = np.ascontiguousarray(points, np.float32)
    cells = _cells(points, np.array(grid.low, np.float32), np.array(grid.size, np.float32), np.array(grid.shape))
    max_voxels = min(max_voxels, len(points))
    voxels = np.zeros((max_voxels, max_points, points.shape[1]), np.float32)
    keys = np.empty(max_voxels, np.int64)
    counts = np.zeros(max_voxels, np.int32)
    n = _fill(points, cells, voxels, keys, counts, _table_size(max_voxels))
    return Voxels(voxels[:n], _unravel(keys[:n], grid), counts[:n])


def assign_voxels(points: NDArray[np.float32], grid: VoxelGrid) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Dynamic voxelisation (Zhou et al. 2020): every point keeps its voxel, nothing is cut.

    Returns the voxel of each point (N,), -1 outside the grid, and the voxels' coordinates (V,3) z, y, x in order of
    first appearance.
    """
    points = np.ascontiguousarray(points, np.float32)
    cells = _cells(points, np.array(grid.low, np.float32), np.array(grid.size, np.float32), np.array(grid.shape))
    index = np.full(len(points), -1, np.int64)
    keys = np.empty(len(points), np.int64)
    n = _number(cells, index, keys, _table_size(len(points)))
    return index, _unravel(keys[:n], grid)


def _table_size(n: int) -> int:
    return 1 << max(4, int(2 * max(n, 1) - 1).bit_length())


def _unravel(keys: NDArray[np.int64], grid: VoxelGrid) -> NDArray[np.int32]:
    nx, ny, _ = grid.shape
    return np.column_stack([keys // (nx * ny), keys // nx % ny, keys % nx]).astype(np.int32)


@numba.njit(cache=True)
def _cells(points, low, size, shape):  # type: ignore[no-untyped-def]
    """Linear voxel number of each point, -1 outside. float32 arithmetic, as spconv's voxel generator."""
    out = np.empty(len(points), np.int64)
    for i in range(len(points)):
        x = np.floor((points[i, 0] - low[0]) / size[0])
        y = np.floor((points[i, 1] - low[1]) / size[1])
        z = np.floor((points[i, 2] - low[2]) / size[2])
        # Written so that a NaN fails the test.
        inside = (x >= 0) and (x < shape[0]) and (y >= 0) and (y < shape[1]) and (z >= 0) and (z < shape[2])
        out[i] = (np.int64(z) * shape[1] + np.int64(y)) * shape[0] + np.int64(x) if inside else -1
    return out


@numba.njit(cache=True)
def _slot(table_keys, key):  # type: ignore[no-untyped-def]
    """Slot of `key` in an open-addressing table of a power-of-two size, or the free slot where it belongs."""
    mask = len(table_keys) - 1
    h = key * 0x9E3779B97F4A7C15 >> 20 & mask
    while table_keys[h] != -1 and table_keys[h] != key:
        h = (h + 1) & mask
    return h


@numba.njit(cache=True)
def _fill(points, cells, voxels, keys, counts, table_size):  # type: ignore[no-untyped-def]
    table_keys = np.full(table_size, -1, np.int64)
    table_values = np.empty(table_size, np.int32)
    n = 0
    for i in range(len(points)):
        key = cells[i]
        if key < 0:
            continue
        slot = _slot(table_keys, key)
        if table_keys[slot] == -1:
            if n == len(keys):
                continue
            table_keys[slot] = key
            table_values[slot] = n
            keys[n] = key
            n += 1
        v = table_values[slot]
        if counts[v] < voxels.shape[1]:
            voxels[v, counts[v]] = points[i]
            counts[v] += 1
    return n


@numba.njit(cache=True)
def _number(cells, index, keys, table_size):  # type: ignore[no-untyped-def]
    table_keys = np.full(table_size, -1, np.int64)
    table_values = np.empty(table_size, np.int32)
    n = 0
    for i in range(len(cells)):
        key = cells[i]
        if key < 0:
            continue
        slot = _slot(table_keys, key)
        if table_keys[slot] == -1:
            table_keys[slot] = key
            table_values[slot] = n
            keys[n] = key
            n += 1
        index[i] = table_values[slot]
    return n
