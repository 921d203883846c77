"""Which frames of a growing target store are learned from, and which are kept to judge what was learned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.targets.store import PROVENANCE

Share = Literal["training", "calibration", "judging"]
BLOCK = 5
"""Neighbouring frames look alike, so they go to the same share."""
PICTURES = (".png", ".jpg")


def share_of(frame: str) -> Share:
    """Return the share of a frame by its number alone: one block in four judges, one in eight calibrates the scores."""
    block = int(frame) // BLOCK
    if block % 4 == 3:
        return "judging"
    return "calibration" if block % 8 == 1 else "training"


def frames_of(frames: Sequence[str], share: Share) -> list[str]:
    """Return the frames of a share, in order."""
    return [frame for frame in frames if share_of(frame) == share]


def lesson(frames: Sequence[str], recent: int, replayed: int, seed: int) -> list[str]:
    """Return what one round learns: the `recent` newest frames, and `replayed` older ones drawn at random."""
    newest, older = list(frames[-recent:]), list(frames[:-recent])
    draw = np.random.default_rng(seed)
    drawn = draw.permutation(len(older))[:replayed]
    return sorted(newest + [older[i] for i in drawn])


def link_frames(source: Path, frames: Sequence[str], out: Path) -> Path:
    """Make a folder in KITTI's layout that holds the named frames of another, by links; return it.

    Raises DataError when a picture is missing.
    """
    root = source / "training" if (source / "training").is_dir() else source
    for folder in ("image_2", "label_2", "calib"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for frame in frames:
        picture = next((p for p in (root / "image_2" / f"{frame}{s}" for s in PICTURES) if p.is_file()), None)
        if picture is None:
            raise DataError(f"{root}: frame {frame} has no picture in image_2")
        for file in (picture, root / "label_2" / f"{frame}.txt", root / "calib" / f"{frame}.txt"):
            os.symlink(file.resolve(), out / file.parent.name / file.name)
    if (root / PROVENANCE).is_file():
        os.symlink((root / PROVENANCE).resolve(), out / PROVENANCE)
    return out
