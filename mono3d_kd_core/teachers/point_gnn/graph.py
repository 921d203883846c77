"""Which points become keypoints, and who is whose neighbour (Shi & Rajkumar, CVPR 2020, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """Directed edges sorted by destination: those of destination k come from `sources[offsets[k] : offsets[k + 1]]`.

    offsets (K+1,) and sources (E,) are int64; the sources of one destination are in no particular order.
    """

    offsets: Index
    sources: Index

    @property
    def num_edges(self) -> int:
        return len(self.sources)

    def destinations(self) -> Index:
        """Return the destination (E,) of every edge."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


def choose_keypoints(points: Points, cell_size: float) -> Index:
    """Return the indices (K,) of one keypoint for each occupied cell of a grid, in ascending order of (ix, iy, iz).

    The grid starts half a cell below the points' minimum. The keypoint is the point nearest to the mean of the cell's
    points; it may lie in a neighbouring cell, so a point can be chosen twice. Equal distances: the lowest index.
    points (N,3) in metres.
    """
    if len(points) == 0:
        return np.empty(0, np.int64)
    grid = _Grid.of(points, cell_size)
    nearest: Index = _nearest(grid.cell_means(points), points.astype(np.float64), *grid.arrays())
    return nearest


def radius_graph(points: Points, centres: Points, radius: float) -> Graph:
    """Connect every point (N,3) to every centre (K,3) at most `radius` metres away, the limit included."""
    if len(points) == 0 or len(centres) == 0:
        return Graph(np.zeros(len(centres) + 1, np.int64), np.empty(0, np.int64))
    grid = _Grid.of(points, radius)
    # A hair wider than the ball, so that rounding in the cell index cannot lose a neighbour; distances decide.
    exact = centres.astype(np.float64), points.astype(np.float64)
    return Graph(*_within(*exact, *grid.arrays(), radius, radius * 1.001))


@dataclass(frozen=True)
class _Grid:
    """Points sorted into cubic cells: `order` lists point indices cell by cell, `starts` where each cell begins in it.

    cells (C,3) are the occupied cells in ascending order.
    """

    origin: NDArray[np.float64]
    size: float
    cells: Index
    starts: Index
    order: Index

    @classmethod
    def of(cls, points: Points, size: float) -> _Grid:
        exact = points.astype(np.float64)
        origin = exact.min(0) - size * 0.5
        index = np.floor((exact - origin) / size).astype(np.int64)
        order = np.lexsort((index[:, 2], index[:, 1], index[:, 0]))  # stable: within a cell by point index
        ordered = index[order]
        first = np.concatenate([[True], (np.diff(ordered, axis=0) != 0).any(1)])
        starts = np.flatnonzero(first)
        return cls(origin, size, ordered[starts], np.append(starts, len(points)), order)

    def arrays(self) -> tuple[NDArray[np.float64], float, Index, Index, Index]:
        return self.origin, self.size, self.cells, self.starts, self.order

    def cell_means(self, points: Points) -> NDArray[np.float64]:
        """Return the mean (C,3) of each cell's points, summed one by one in the order of the points."""
        cell_of = np.repeat(np.arange(len(self.cells)), np.diff(self.starts))
        exact = points[self.order].astype(np.float64)
        sums = np.column_stack([np.bincount(cell_of, exact[:, axis]) for axis in range(3)])
        return np.asarray(sums / np.diff(self.starts)[:, None])


@numba.njit(cache=True, nogil=True)
def _first_at_least(cells: Index, x: int, y: int, z: int) -> int:
    """Position of the first cell that is not before (x, y, z)."""
    low, high = 0, len(cells)
    while low < high:
        middle = (low + high) // 2
        cx, cy, cz = cells[middle, 0], cells[middle, 1], cells[middle, 2]
        if cx < x or (cx == x and (cy < y or (cy == y and cz < z))):
            low = middle + 1
        else:
            high = middle
    return low


@numba.njit(cache=True, nogil=True)
def _nearest(queries, points, origin, size, cells, starts, order):  # type: ignore[no-untyped-def]
    """Nearest point of each query. The first guess is the query's own cell; the ball it spans is then searched."""
    result = np.empty(len(queries), np.int64)
    for q in range(len(queries)):
        best = np.inf
        winner = -1
        # Query q is the mean of cell q, so its cell is occupied and a guess always exists.
        for s in range(starts[q], starts[q + 1]):
            j = order[s]
            d = _squared_distance(points, j, queries, q)
            if d < best or (d == best and j < winner):
                best, winner = d, j
        span = np.sqrt(best) * 1.001
        lo = np.floor((queries[q] - span - origin) / size).astype(np.int64)
        hi = np.floor((queries[q] + span - origin) / size).astype(np.int64)
        for x in range(lo[0], hi[0] + 1):
            for y in range(lo[1], hi[1] + 1):
                c = _first_at_least(cells, x, y, lo[2])
                while c < len(cells) and cells[c, 0] == x and cells[c, 1] == y and cells[c, 2] <= hi[2]:
                    for s in range(starts[c], starts[c + 1]):
                        j = order[s]
                        d = _squared_distance(points, j, queries, q)
                        if d < best or (d == best and j < winner):
                            best, winner = d, j
                    c += 1
        result[q] = winner
    return result


@numba.njit(cache=True, nogil=True)
def _squared_distance(a, i, b, j):  # type: ignore[no-untyped-def]
    dx = a[i, 0] - b[j, 0]
    dy = a[i, 1] - b[j, 1]
    dz = a[i, 2] - b[j, 2]
    return dx * dx + dy * dy + dz * dz


@numba.njit(cache=True, nogil=True)
def _within(centres, points, origin, size, cells, starts, order, radius, span):  # type: ignore[no-untyped-def]
    """Two passes over the same candidates: count, then fill."""
    offsets = np.zeros(len(centres) + 1, np.int64)
    sources = np.empty(0, np.int64)
    limit = radius * radius
    for fill in range(2):
        for k in range(len(centres)):
            found = offsets[k] if fill else 0
            lo = np.floor((centres[k] - span - origin) / size).astype(np.int64)
            hi = np.floor((centres[k] + span - origin) / size).astype(np.int64)
            for x in range(lo[0], hi[0] + 1):
                for y in range(lo[1], hi[1] + 1):
                    c = _first_at_least(cells, x, y, lo[2])
                    while c < len(cells) and cells[c, 0] == x and cells[c, 1] == y and cells[c, 2] <= hi[2]:
                        for s in range(starts[c], starts[c + 1]):
                            j = order[s]
                            if _squared_distance(points, j, centres, k) <= limit:
                                if fill:
                                    sources[found] = j
                                found += 1
                        c += 1
            if not fill:
                offsets[k + 1] = offsets[k] + found
        if not fill:
            sources = np.empty(offsets[-1], np.int64)
    return offsets, sources
