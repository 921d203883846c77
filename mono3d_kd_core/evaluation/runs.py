"""The runs that are compared, as they lie on disk."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.comparison_result import Target
from mono3d_kd_core.evaluation.inputs import detection_folder
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, Metric, is_type, metrics_of
from mono3d_kd_core.io.files import read_text
from mono3d_kd_core.io.kitti_table import LabelTable


@dataclass(frozen=True)
class RunFolders:
    """A run: its name, and one folder of detections for each seed it was trained with."""

    name: str
    folders: tuple[Path, ...]

    @classmethod
    def parse(cls, text: str) -> RunFolders:
        """Read NAME=DIR,DIR,... or DIR.

        A DIR holds result files itself, or one folder of them for each seed. Without NAME= the folder gives the name.
        """
        name, equals, paths = text.partition("=")
        if not equals:
            name, paths = Path(text).resolve().name, text
        if not name or not paths:
            raise DataError(f'"{text}": expected NAME=FOLDER, NAME=FOLDER,FOLDER or FOLDER')
        folders = tuple(seed for path in paths.split(",") for seed in _seed_folders(Path(path)))
        return cls(name, folders)


def _seed_folders(path: Path) -> list[Path]:
    try:
        return [detection_folder(path)]
    except DataError as error:
        below = sorted(child for child in path.iterdir() if child.is_dir()) if path.is_dir() else []
        seeds = []
        for child in below:
            try:
                seeds.append(detection_folder(child))
            except DataError:
                continue
        if not seeds:
            raise error
        return seeds


def parse_runs(texts: list[str]) -> list[RunFolders]:
    """Read all runs. Raises DataError for fewer than two and for equal names."""
    runs = [RunFolders.parse(text) for text in texts]
    if len(runs) < 2:
        raise DataError("a comparison needs two runs or more; one alone is what `evaluate` is for")
    names = [run.name for run in runs]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f'two runs are called "{name}"; name them: A=folder B=folder')
    return runs


def read_groups(path: Path, ids: list[str]) -> NDArray[np.str_]:
    """Read the drive (F,) of each frame from lines "id drive". Raises DataError for a frame that is not listed."""
    rows = [line.split(maxsplit=1) for line in read_text(path).splitlines() if line.strip()]
    drives = {row[0]: row[-1] for row in rows if len(row) == 2}
    missing = [name for name in ids if name not in drives]
    if missing:
        raise DataError(f'{path}: {len(missing)} of {len(ids)} frames have no line "id drive", first {missing[0]}')
    return np.array([drives[name] for name in ids], np.str_)


def default_targets(labels: LabelTable) -> list[Target]:
    """Return the usual figure, 3D at the strict overlap and moderate level, of each class that occurs."""
    present = [name for name in CLASSES if is_type(labels.rows, name).any()]
    if not present:
        raise DataError(f"the labels hold no {', '.join(CLASSES)}: there is nothing to compare")
    return [Target(name, Metric("3d", metrics_of(name)[0].min_overlap), LEVELS[1]) for name in present]
