"""Rows of two tables that share a frame, and which of them belong together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix

Indices = NDArray[np.int64]
CHUNK = 500_000
"""How many pairs are made at once."""


def pairs_in_frames(truth_start: Indices, found_start: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Yield every pair of a row of truth and a row of found in the same frame, in order of truth, some frames at a time.

    The rows of frame f are start[f] to start[f + 1]; start (F+1,). At least one, perhaps empty, portion is yielded.
    """
    yield np.empty(0, np.int64), np.empty(0, np.int64)
    truths, founds = np.diff(truth_start), np.diff(found_start)
    portion = np.cumsum(truths * founds) // CHUNK
    for number in np.unique(portion):
        frames = np.flatnonzero(portion == number)
        partners = founds[np.repeat(frames, truths[frames])]
        first_partner = found_start[np.repeat(frames, truths[frames])]
        truth = np.repeat(np.arange(truth_start[frames[0]], truth_start[frames[-1] + 1]), partners)
        within = np.arange(len(truth)) - np.repeat(np.cumsum(partners) - partners, partners)
        yield truth, np.repeat(first_partner, partners) + within


def assign(truth: Indices, found: Indices, rank: Indices, cost: Matrix) -> Indices:
    """Match greedily: in order of rank each found row takes the cheapest truth row that is still free.

    truth, found, cost (P,) describe the pairs that may match; rank (D,) says when each found row's turn is. Returns the
    pairs chosen, in that order. Among equal costs the pair listed first wins.
    """
    chosen: list[int] = []
    taken: set[int] = set()
    served: set[int] = set()
    order = np.lexsort((cost, rank[found]))
    for pair, i, j in zip(order.tolist(), truth[order].tolist(), found[order].tolist()):
        if i not in taken and j not in served:
            taken.add(i)
            served.add(j)
            chosen.append(pair)
    return np.array(chosen, np.int64)
