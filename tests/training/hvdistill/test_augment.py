"""Whatever is done to a picture and its sweep, each point stays on what it was on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mono3d_kd_core.distillation.hvdistill import Pair
from mono3d_kd_core.geometry.depth import project_points
from mono3d_kd_core.training.hvdistill.augment import (
    PairAugmentConfig,
    change_pair,
    empty_cuboid,
    enlarge,
    flip_picture,
    turn_sweep,
)
from tests.distillation.pairs import pair

PAIR = pair(0)


def seen(one: Pair) -> dict[int, tuple[int, float]]:
    """By the point's intensity, which no change touches: the superpixel it is on, and its depth."""
    uv, depth, index = project_points(one.points, one.camera, one.pose)
    column, row = np.rint(uv).astype(int).T
    names = one.points[index, 3].view(np.int32).tolist()
    return dict(zip(names, zip(one.superpixels[row, column].tolist(), depth.tolist())))


def agreeing(a: Pair, b: Pair) -> float:
    """Share of points seen in both that are on the same superpixel; their depths must agree all."""
    before, after = seen(a), seen(b)
    both = before.keys() & after.keys()
    assert len(both) > 100
    np.testing.assert_allclose([before[n][1] for n in both], [after[n][1] for n in both], rtol=1e-5)
    return float(np.mean([before[n][0] == after[n][0] for n in both]))


def test_a_mirrored_picture_shows_each_point_on_the_same_superpixel() -> None:
    flipped = flip_picture(PAIR)
    # A point midway between two pixels may round the other way.
    assert agreeing(PAIR, flipped) > 0.99
    np.testing.assert_array_equal(flip_picture(flipped).image, PAIR.image)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_sweep_is_seen_where_it_was(mirrored: bool) -> None:
    turned = turn_sweep(PAIR, 0.6, mirrored)
    assert agreeing(PAIR, turned) == 1.0
    back = turned.points[:, :3] * ([1, -1, 1] if mirrored else [1, 1, 1])
    # Counter-clockwise about z, as a person would write it.
    x, y = PAIR.points[:, 0], PAIR.points[:, 1]
    np.testing.assert_allclose(back[:, 0], np.cos(0.6) * x - np.sin(0.6) * y, atol=1e-5)
    np.testing.assert_allclose(back[:, 1], np.sin(0.6) * x + np.cos(0.6) * y, atol=1e-5)


def test_an_enlarged_part_keeps_points_on_their_superpixels() -> None:
    part = enlarge(PAIR, 1.5, 0.3, 0.9)
    assert part.image.shape == PAIR.image.shape
    # Edges between superpixels move by less than a pixel, which is a good part of so small a picture.
    assert agreeing(PAIR, part) > 0.9
    assert part.camera.K[0, 0] == pytest.approx(1.5 * PAIR.camera.K[0, 0])
    assert set(part.superpixels.ravel()) < set(PAIR.superpixels.ravel())


def test_a_cuboid_is_emptied_and_all_else_stays() -> None:
    random = np.random.default_rng(3)
    left = empty_cuboid(PAIR, random)
    gone = ~np.isin(PAIR.points[:, 3], left.points[:, 3])
    assert 0 < gone.sum() < len(PAIR.points)
    low, high = PAIR.points[gone, :3].min(0), PAIR.points[gone, :3].max(0)
    inside = ((PAIR.points[:, :3] >= low) & (PAIR.points[:, :3] <= high)).all(1)
    np.testing.assert_array_equal(inside, gone)
    assert ((high - low) <= 0.2 * np.ptp(PAIR.points[:, :3], axis=0) + 1e-5).all()


def test_all_of_it_together_depends_on_the_seed_alone() -> None:
    config = PairAugmentConfig(flip=1, crop=1, mirror=1, drop=1)
    first, again = (change_pair(PAIR, config, np.random.default_rng((0, 4, 2))) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    np.testing.assert_array_equal(first.image, again.image)
    assert agreeing(PAIR, first) > 0.9
    none = PairAugmentConfig(flip=0, crop=0, rotation=0, mirror=0, drop=0)
    unchanged = change_pair(PAIR, none, np.random.default_rng(0))
    np.testing.assert_array_equal(unchanged.points, PAIR.points)


def test_a_sweep_without_points_stays_without() -> None:
    empty = replace(PAIR, points=np.zeros((0, 4), np.float32))
    assert len(change_pair(empty, PairAugmentConfig(drop=1), np.random.default_rng(0)).points) == 0


def test_a_picture_is_never_made_smaller() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        PairAugmentConfig(scale=(0.8, 1.2))
