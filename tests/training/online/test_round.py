"""Rounds of online distillation: what is learned from, what is held back, and who wins."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.training.online.round import Figure, Plan, is_better
from mono3d_kd_core.training.online.shares import frames_of, lesson, link_frames, share_of

FRAMES = [f"{number:06d}" for number in range(400)]
PLAN = Plan(store=Path("store"), student=Path("student"), out=Path("out"), margin=0.02, least_objects=20)


def test_shares_are_disjoint_blocks_of_neighbours() -> None:
    training, calibration, judging = (set(frames_of(FRAMES, share)) for share in ("training", "calibration", "judging"))
    assert training | calibration | judging == set(FRAMES)
    assert len(training) + len(calibration) + len(judging) == len(FRAMES)
    assert (len(training), len(calibration), len(judging)) == (250, 50, 100)
    changes = sum(share_of(a) != share_of(b) for a, b in pairwise(FRAMES))
    assert changes < len(FRAMES) / 5  # at the edges of blocks only


def test_a_share_does_not_depend_on_what_else_is_stored() -> None:
    assert frames_of(FRAMES[::7], "judging") == [f for f in FRAMES[::7] if f in set(frames_of(FRAMES, "judging"))]


def test_a_lesson_is_the_newest_and_some_of_the_older() -> None:
    chosen = lesson(FRAMES, recent=50, replayed=30, seed=1)
    assert chosen[-50:] == FRAMES[-50:]
    assert len(chosen) == len(set(chosen)) == 80
    assert chosen == lesson(FRAMES, recent=50, replayed=30, seed=1)
    assert chosen != lesson(FRAMES, recent=50, replayed=30, seed=2)
    assert lesson(FRAMES[:10], recent=50, replayed=30, seed=1) == FRAMES[:10]


@pytest.mark.parametrize(
    ("before", "after", "objects", "better"),
    [
        (Figure(0.5, 0.5), Figure(0.6, 0.6), 100, True),
        (Figure(0.5, 0.5), Figure(0.51, 0.51), 100, False),  # within the margin
        (Figure(0.5, 0.5), Figure(0.4, 0.9), 100, True),  # F1 0.55
        (Figure(0.5, 0.5), Figure(0.0, 0.0), 100, False),
        (Figure(0.0, 0.0), Figure(1.0, 1.0), 19, False),  # too little to judge by
        (Figure(0.5, 0.5), Figure(float("nan"), 0.9), 100, False),
    ],
)
def test_only_a_clear_winner_is_better(before: Figure, after: Figure, objects: int, better: bool) -> None:
    assert is_better(before, after, objects, PLAN) is better


def test_linked_frames_are_the_frames_themselves(tmp_path: Path, shared_data: Path) -> None:
    source = shared_data / "kitti/object"
    linked = KittiObjectSource(link_frames(source, ["000002", "000004"], tmp_path / "lesson"))
    assert list(linked.ids) == ["000002", "000004"]
    original = KittiObjectSource(source)
    index = list(original.ids).index("000004")
    np.testing.assert_array_equal(linked[1].image, original[index].image)
    np.testing.assert_array_equal(linked.labels(1).bbox, original.labels(index).bbox)
    with pytest.raises(DataError, match="frame 999999 has no picture"):
        link_frames(source, ["999999"], tmp_path / "none")
