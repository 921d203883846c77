"""A folder of KITTI label or result files as one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.kitti_labels import KittiLabels


@dataclass(frozen=True)
class LabelTable:
    """The rows of F frames, one frame after the other.

    ids (F) name the frames; rows has all R rows; those of frame f are start[f] to start[f + 1], start (F+1,).
    """

    ids: tuple[str, ...]
    rows: KittiLabels
    start: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, frame: int) -> KittiLabels:
        """Return the rows of one frame."""
        return self.rows[slice(self.start[frame], self.start[frame + 1])]

    @property
    def frame(self) -> NDArray[np.int64]:
        """The frame (R,) that each row belongs to."""
        return np.repeat(np.arange(len(self)), np.diff(self.start))

    @classmethod
    def join(cls, frames: Sequence[KittiLabels], ids: Sequence[str] | None = None) -> LabelTable:
        """Join the labels of F frames; without ids they are numbered. The score is kept where no frame lacks it."""
        names = tuple(f"{index:06d}" for index in range(len(frames))) if ids is None else tuple(ids)
        if len(names) != len(frames):
            raise ValueError(f"{len(frames)} frames with {len(names)} ids")
        parts = [_NOTHING, *(frame for frame in frames if len(frame))]
        scored = all(part.score is not None for part in parts)
        columns = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(KittiLabels)
            if field.name != "score" or scored
        }
        return cls(names, KittiLabels(**columns), np.cumsum([0, *map(len, frames)], dtype=np.int64))

    @classmethod
    def read(cls, folder: Path, ids: Sequence[str], *, scored: bool) -> LabelTable:
        """Read folder/<id>.txt of each id. With `scored` each row needs the 16th column.

        Raises DataError naming the file: one that is missing, a row with too few or too many columns, what is not a
        finite number.
        """
        present = _names(folder)
        missing = [name for name in ids if f"{name}.txt" not in present]
        if missing:
            advice = "; a frame in which nothing was found needs an empty file" if scored else ""
            raise DataError(f"{folder}: {len(missing)} of {len(ids)} files are missing, first {missing[0]}.txt{advice}")
        frames = []
        for name in ids:
            labels = KittiLabels.read(folder / f"{name}.txt")
            if scored and labels.score is None and len(labels):
                raise DataError(f"{folder / name}.txt:1: 15 columns, expected 16: a result ends with its score")
            frames.append(labels)
        table = cls.join(frames, ids)
        table._check_finite(folder)
        return table

    def _check_finite(self, folder: Path) -> None:
        for field in fields(KittiLabels):
            values = getattr(self.rows, field.name)
            if field.name != "type" and values is not None and not np.isfinite(values).all():
                row = int(np.argwhere(~np.isfinite(values))[0, 0])
                frame = int(np.searchsorted(self.start, row, side="right")) - 1
                where = f"{folder / self.ids[frame]}.txt:{row - self.start[frame] + 1}"
                raise DataError(f"{where}: {field.name} is not a finite number; leave such a row out")


def frame_ids(folder: Path) -> list[str]:
    """Return the ids of the label files in a folder, sorted: the names that are numbers, such as 000123.txt.

    Raises DataError where there is none.
    """
    ids = sorted(name[:-4] for name in _names(folder) if name.endswith(".txt") and name[:-4].isdecimal())
    if not ids:
        raise DataError(f"{folder}: holds no label files; expected names such as 000123.txt")
    return ids


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from error


_NOTHING = KittiLabels(
    np.empty(0, np.str_), np.empty(0), np.empty(0, np.int64), np.empty(0), np.empty((0, 4)), np.empty((0, 3)),
    np.empty((0, 3)), np.empty(0), np.empty(0),
)  # fmt: skip
