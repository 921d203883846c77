"""LID bins: against the sum that defines their edges."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.geometry.depth_bins import DepthBins

BINS = DepthBins(120, 2.0, 46.8)


def test_edges_are_the_sum_of_linearly_growing_widths() -> None:
    widths = BINS.step * np.arange(1, 121)
    edges = 2.0 + np.concatenate([[0], np.cumsum(widths)])
    np.testing.assert_allclose(BINS.depth(np.arange(121)), edges)
    np.testing.assert_allclose(edges[-1], 46.8)
    np.testing.assert_allclose(BINS.index(edges), np.arange(121), atol=1e-9)


def test_what_lies_outside_gets_the_last_class() -> None:
    depth = np.array([np.nan, -1, 0, 1.99, 2.0, 46.79, 46.81, np.inf])
    np.testing.assert_array_equal(BINS.label(depth), [120, 120, 120, 120, 0, 119, 120, 120])
