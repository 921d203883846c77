"""The uncertainty of depth beside KITTI result files, whose 16 columns have no place for it.

For detections in DIR/<id>.txt, DIR/depth_std/<id>.txt has one number a row, in the same order: the standard deviation of
the range along the viewing ray in metres, `nan` where unknown.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.files import read_text, write_atomically
from mono3d_kd_core.io.kitti_table import LabelTable

FOLDER = "depth_std"


def write_depth_std(folder: Path, frame_id: str, std: ArrayLike) -> None:
    """Write the standard deviations (N,), metres, of the N rows of folder/<frame_id>.txt; atomic."""
    lines = "".join(f"{value:.4f}\n" for value in np.asarray(std, np.float64).reshape(-1))
    write_atomically(folder / FOLDER / f"{frame_id}.txt", lines.encode())


def read_depth_std(folder: Path, detections: LabelTable) -> Matrix | None:
    """Read the standard deviations (R,) of all rows of a table of detections; None where there is no such folder.

    Raises DataError where a frame's file is missing, is not numbers, or has other than one for each row.
    """
    if not (folder / FOLDER).is_dir():
        return None
    return np.concatenate(
        [np.empty(0), *(_read(folder / FOLDER / f"{name}.txt", len(detections[k])) for k, name in enumerate(detections.ids))]
    )


def _read(path: Path, rows: int) -> Matrix:
    if rows == 0 and not path.exists():
        return np.empty(0)
    try:
        values = np.array([float(value) for value in read_text(path).split()])
    except ValueError as error:
        raise DataError(f"{path}: {error}") from error
    if len(values) != rows:
        raise DataError(f"{path}: {len(values)} numbers for {rows} detections; write one for each row of the result file")
    return values
