"""Which files an evaluation reads: folders as people have them, and which frames of them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.calibration import Latency
from mono3d_kd_core.io.files import read_text, write_atomically
from mono3d_kd_core.io.kitti_table import LabelTable, frame_ids


def label_folder(path: Path) -> Path:
    """Return the folder of label files: `path`, or label_2 below it as in a KITTI object folder."""
    return _first_folder(path, ("", "label_2", "training/label_2"))


def detection_folder(path: Path) -> Path:
    """Return the folder of result files: `path`, or data below it as the official evaluation wants it."""
    return _first_folder(path, ("", "data", "label_2"))


def _first_folder(path: Path, below: tuple[str, ...]) -> Path:
    if not path.is_dir():
        raise DataError(f"{path}: there is no such folder")
    for name in below:
        folder = path / name
        if folder.is_dir() and any(child.suffix == ".txt" and child.stem.isdecimal() for child in folder.iterdir()):
            return folder
    tried = " or ".join(str(path / name) for name in below)
    raise DataError(f"{path}: found no files such as 000123.txt in {tried}")


def read_split(path: Path) -> list[str]:
    """Read the frame ids of a split, one a line. Raises DataError for doubles and for an empty list."""
    ids = read_text(path).split()
    if not ids:
        raise DataError(f"{path}: names no frame")
    if len(set(ids)) != len(ids):
        double = next(name for name in ids if ids.count(name) > 1)
        raise DataError(f"{path}: names frame {double} twice")
    return ids


def choose_frames(detections: Path, split: Path | None) -> list[str]:
    """Return the ids to evaluate: those of the split, else, like the official program, all that have a result file."""
    return read_split(split) if split else frame_ids(detections)


def read_tables(labels: Path, detections: Path, ids: list[str]) -> tuple[LabelTable, LabelTable]:
    """Read the labels and detections of the frames `ids`; the folders may be given as people have them."""
    return (
        LabelTable.read(label_folder(labels), ids, scored=False),
        LabelTable.read(detection_folder(detections), ids, scored=True),
    )


def read_latency(path: Path) -> Latency:
    """Read milliseconds a frame: numbers apart by blanks, lines or commas, or a JSON list of them."""
    text = read_text(path)
    try:
        times = [float(value) for value in text.replace(",", " ").strip("[] \n\t").split()]
    except ValueError as error:
        raise DataError(f"{path}: expected milliseconds, one number a frame: {error}") from error
    if not times:
        raise DataError(f"{path}: holds no times")
    if not all(0 <= time < math.inf for time in times):
        raise DataError(f"{path}: expected milliseconds, but not all of the {len(times)} numbers can be a time")
    return Latency.of(times)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values as JSON, atomically."""
    write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
