"""Superpixels keep to the edges of what they show."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.distillation.superpixels import SuperpixelConfig, superpixels


def test_superpixels_do_not_cross_a_strong_edge_and_are_about_as_many_as_asked() -> None:
    image = np.zeros((60, 120, 3), np.uint8)
    image[:, 47:] = (240, 60, 30)
    numbers = superpixels(image, SuperpixelConfig(segments=40, sigma=0))
    assert numbers.shape == (60, 120)
    assert set(np.unique(numbers)) == set(range(numbers.max() + 1))
    assert 25 <= numbers.max() + 1 <= 60
    assert not set(numbers[:, :47].ravel()) & set(numbers[:, 47:].ravel())
