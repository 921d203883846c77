"""Uncertainties beside result files come back row for row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.depth_std import read_depth_std, write_depth_std
from mono3d_kd_core.io.kitti_table import LabelTable

CAR = "Car -1 -1 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59 0.5\n"


@pytest.fixture
def detections(tmp_path: Path) -> LabelTable:
    for name, text in (("000000", CAR * 2), ("000001", ""), ("000002", CAR)):
        (tmp_path / f"{name}.txt").write_text(text)
    return LabelTable.read(tmp_path, ["000000", "000001", "000002"], scored=True)


def test_uncertainties_come_back_row_for_row(tmp_path: Path, detections: LabelTable) -> None:
    write_depth_std(tmp_path, "000000", [1.25, np.nan])
    write_depth_std(tmp_path, "000002", np.array([0.5]))
    np.testing.assert_array_equal(read_depth_std(tmp_path, detections), [1.25, np.nan, 0.5])


def test_without_the_folder_nothing_is_known(tmp_path: Path, detections: LabelTable) -> None:
    assert read_depth_std(tmp_path, detections) is None


@pytest.mark.parametrize(
    ("text", "message"), [("1.0\n", "1 numbers for 2 detections"), ("1.0\nlots\n", "lots"), (None, "cannot be read")]
)
def test_what_does_not_fit_the_result_file_is_refused(
    text: str | None, message: str, tmp_path: Path, detections: LabelTable
) -> None:
    write_depth_std(tmp_path, "000002", [0.5])
    if text is not None:
        (tmp_path / "depth_std" / "000000.txt").write_text(text)
    with pytest.raises(DataError, match=rf"depth_std/000000\.txt: .*{message}"):
        read_depth_std(tmp_path, detections)
