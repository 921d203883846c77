"""Which pixel and which depth bin feed which voxel: worked out once for a calibration, as the rows of a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.bev.view import Integers, View, grid_cells, voxel_centres
from mono3d_kd_core.teachers.voxels import VoxelGrid

LiftName = Literal["splat", "sample"]
CHUNKS = 64
"""Parts of equal work that a product is done in, whatever the number of threads."""


@dataclass(frozen=True)
class Entries:
    """The entries of a sparse matrix, in groups: those of `group[g]` are offset[g] to offset[g+1]; other groups have none.

    Entry e stands at `place[e]` of the other side and is worth near[e] p[first[e]] plus far[e] times the sum of the
    count[e] - 1 probabilities after that; p is the flattened (w*h, D) distribution.
    """

    group: Tensor
    offset: Tensor
    place: Tensor
    first: Tensor
    count: Tensor
    near: Tensor
    far: Tensor

    def to(self, device: torch.device) -> Entries:
        """Return the entries on a device."""
        return Entries(*(part.to(device) for part in vars(self).values()))


@dataclass(frozen=True)
class Bands:
    """Which heights each row of the image is multiplied for: low[v] to high[v] (half-open), of `heights` in all.

    A level camera's pixels of one row cross the same heights, so a table of pixel times height needs no others. The table
    (columns, rows_each) has, for each column of the image, its rows from `start[v]` to start[v+1] for the pixel of row v.
    """

    low: Integers
    high: Integers
    columns: int
    heights: int

    @property
    def start(self) -> Integers:
        """Where the pixel of each image row starts in a column's part of the table, and where the last ends (h+1,)."""
        return np.append(0, np.cumsum(self.high - self.low))

    def rows(self, pixel: Integers, height: Integers) -> Integers:
        """Return the row of the table of each pair of a pixel and a height within its band."""
        start = self.start
        u, v = np.divmod(pixel, len(self.low))
        return np.asarray(u * start[-1] + start[v] + height - self.low[v])

    @property
    def pixel_start(self) -> Integers:
        """Where each pixel's rows of the table start, and where the last ends (w*h+1,)."""
        return np.append(0, np.cumsum(np.tile(self.high - self.low, self.columns)))


@dataclass(frozen=True)
class LiftIndex:
    """A sparse map from the rows of a table and depth distributions to targets, and the same map transposed.

    The table has a row for each pixel and the targets are voxels in the order y, x, z; or, with `bands`, a row for each
    pixel and height and the targets are the cells of the map in the order y, x. Pixels are counted column by column:
    neighbours in a column see the same places. `by_target` is grouped by target, those of a column together, `by_row` by
    row. Cuts part groups into chunks of about equal work, those of rows at borders between pixels.
    """

    by_target: Entries
    by_row: Entries
    target_cuts: tuple[int, ...]
    row_cuts: tuple[int, ...]
    targets: int
    bands: Bands | None = None

    def to(self, device: torch.device) -> LiftIndex:
        """Return the index on a device."""
        return replace(self, by_target=self.by_target.to(device), by_row=self.by_row.to(device))


@dataclass(frozen=True)
class _Found:
    """Entries as they are found: voxel, pixel, and what `Entries` says of a value (all (E,))."""

    voxel: Integers
    pixel: Integers
    first: Integers
    count: Integers
    near: NDArray[np.float64]
    far: NDArray[np.float64]


def lift_index(name: LiftName, view: View, grid: VoxelGrid, bins: DepthBins, collapsed: bool = False) -> LiftIndex:
    """Work out the index of a lift into voxels; or, collapsed, of the same lift onto the map of their columns."""
    found = (_splat if name == "splat" else _sample)(view, grid, bins)
    rows, columns = view.shape
    voxels, heights = int(np.prod(grid.shape)), grid.shape[2]
    if not collapsed:
        return _assemble(found, found.voxel, found.pixel, voxels, np.arange(rows * columns + 1), rows)
    cell, height = np.divmod(found.voxel, heights)
    low, high = np.full(rows, heights), np.zeros(rows, np.int64)
    np.minimum.at(low, found.pixel % rows, height)
    np.maximum.at(high, found.pixel % rows, height + 1)
    bands = Bands(np.minimum(low, high), high, columns, heights)
    return _assemble(
        found, cell, bands.rows(found.pixel, height), voxels // heights, bands.pixel_start, rows, bands
    )  # fmt: skip


def _splat(view: View, grid: VoxelGrid, bins: DepthBins) -> _Found:
    """Each voxel sums the frustum's points inside it (Philion & Fidler, ECCV 2020), averaged over the pixels that see it.

    So a voxel holds the probability that a ray ends in it, times the feature, whatever its distance. A voxel in which no
    point of the frustum lies, far away, takes the one in whose cell its centre is.
    """
    points = view.frustum(bins)
    voxel = grid_cells(points.reshape(-1, 3), grid)
    inside = np.flatnonzero(voxel >= 0)
    pixels = view.shape[0] * view.shape[1]
    bin_, pixel = np.divmod(inside, pixels)
    voxel = voxel[inside]
    order = np.argsort((voxel * pixels + pixel) * bins.count + bin_)
    voxel, pixel, bin_ = voxel[order], pixel[order], bin_[order]
    # A ray's points within a voxel are one entry.
    first = np.ones(len(voxel), np.bool_)
    first[1:] = (voxel[1:] != voxel[:-1]) | (pixel[1:] != pixel[:-1])
    starts = np.flatnonzero(first)
    count = np.diff(np.append(starts, len(voxel)))
    voxel, pixel, bin_ = voxel[starts], pixel[starts], bin_[starts]
    total = int(np.prod(grid.shape))
    pixels_seen = np.bincount(voxel, minlength=total)

    empty = np.flatnonzero(pixels_seen == 0)
    cell = view.cells(voxel_centres(grid)[empty], bins)
    limit = np.array([view.shape[1], view.shape[0], bins.count])
    with np.errstate(invalid="ignore"):
        seen = ((cell >= -0.5) & (cell < limit - 0.5)).all(1)
    column, row, depth = np.rint(cell[seen]).astype(np.int64).clip(0, limit - 1).T
    other = column * view.shape[0] + row
    weight = np.concatenate([1 / pixels_seen[voxel], np.ones(len(other))])
    return _Found(
        np.concatenate([voxel, empty[seen]]), np.concatenate([pixel, other]),
        np.concatenate([pixel * bins.count + bin_, other * bins.count + depth]),
        np.concatenate([count, np.ones_like(other)]), weight, weight,
    )  # fmt: skip


def _sample(view: View, grid: VoxelGrid, bins: DepthBins) -> _Found:
    """Each voxel reads the frustum at its centre by trilinear interpolation, zero outside: CaDDN's operator, exactly.

    The frustum is an outer product, so its eight neighbours are four pixels with two probabilities each.
    """
    cell = view.cells(voxel_centres(grid), bins)
    rows, columns = view.shape
    seen = np.flatnonzero(np.isfinite(cell).all(1) & (cell > -1).all(1) & (cell < [columns, rows, bins.count]).all(1))
    floor = np.floor(cell[seen])
    share = cell[seen] - floor
    column, row, depth = floor.astype(np.int64).T
    inner = (depth >= 0) & (depth < bins.count - 1)
    first, count = depth.clip(0, bins.count - 1), 1 + inner
    # Before the first bin's middle only the second of two neighbours exists, behind the last's only the first.
    near, far = np.where(depth < 0, share[:, 2], 1 - share[:, 2]), share[:, 2]
    parts = []
    for down in (0, 1):
        for right in (0, 1):
            x, y = column + right, row + down
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            kept = np.flatnonzero((x >= 0) & (x < columns) & (y >= 0) & (y < rows) & (weight > 0))
            pixel = x[kept] * rows + y[kept]
            own = pixel * bins.count + first[kept], count[kept], near[kept] * weight[kept], far[kept] * weight[kept]
            parts.append((seen[kept], pixel, *own))
    return _Found(*(np.concatenate(column) for column in zip(*parts)))


def _assemble(
    found: _Found, target: Integers, row: Integers, targets: int, pixel_start: Integers, tall: int,
    bands: Bands | None = None,
) -> LiftIndex:  # fmt: skip
    """Sort entries both ways; pixel_start is where each pixel's rows start, tall the number of pixels in a column."""
    leftmost = np.full(targets, len(pixel_start))
    np.minimum.at(leftmost, target, found.pixel // tall)
    by_target = _grouped(found, leftmost[target] * targets + target, target, row)
    by_row = _grouped(found, row, row, target)
    offset = by_row.offset.numpy()
    pixel = np.searchsorted(by_row.group.numpy(), pixel_start)
    row_cuts = tuple(pixel[list(_cuts(offset[pixel]))].tolist())
    return LiftIndex(by_target, by_row, _cuts(by_target.offset.numpy()), row_cuts, targets, bands)


def _grouped(found: _Found, key: Integers, group: Integers, place: Integers) -> Entries:
    """Group entries; groups stand in the order of their keys, entries in that of their places."""
    order = np.argsort(key * (int(place.max(initial=0)) + 1) + place)
    start = np.flatnonzero(np.diff(key[order], prepend=-1))
    columns = (
        group[order[start]].astype(np.int32), np.append(start, len(key)), place[order].astype(np.int32),
        found.first[order].astype(np.int32), found.count[order].astype(np.int16),
        found.near[order].astype(np.float32), found.far[order].astype(np.float32),
    )  # fmt: skip
    return Entries(*(torch.from_numpy(column) for column in columns))


def _cuts(offset: Integers) -> tuple[int, ...]:
    """Return where to cut groups into chunks of about equally many entries, from 0 to their number."""
    wanted = np.linspace(0, offset[-1], CHUNKS + 1)[1:-1]
    return tuple(np.unique([0, *np.searchsorted(offset, wanted), len(offset) - 1]).tolist())
