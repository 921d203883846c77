"""A folder of result files is read whole, and what is wrong in it is named by file and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable, frame_ids

CAR = "Car 0.00 0 -1.58 587.01 173.33 614.12 200.12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
REGION = "DontCare -1 -1 -10 503.89 169.71 590.61 190.13 -1 -1 -1 -1000 -1000 -1000 -10"


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name[1:]}.txt").write_text(text)
    return folder


def test_rows_of_all_frames_follow_each_other(tmp_path: Path) -> None:
    write(tmp_path, _000003=f"{CAR} 0.5\n{CAR} 0.25\n", _000007="", _000010=f"{CAR} -2")
    assert frame_ids(tmp_path) == ["000003", "000007", "000010"]
    table = LabelTable.read(tmp_path, frame_ids(tmp_path), scored=True)
    assert len(table) == 3
    assert table.start.tolist() == [0, 2, 2, 3]
    assert table.frame.tolist() == [0, 0, 2]
    assert table.rows.score is not None
    assert table.rows.score.tolist() == [0.5, 0.25, -2]
    assert len(table[1]) == 0
    np.testing.assert_array_equal(table[2].location, KittiLabels.read(tmp_path / "000010.txt").location)


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    write(tmp_path, _000000="\n", _000001=f"\n{CAR} 0.5\n\n{CAR} 0.25\n\n", _000002=f"{CAR} 0.5\n\n{CAR}\n")
    table = LabelTable.read(tmp_path, ["000000", "000001"], scored=True)
    assert table.start.tolist() == [0, 0, 2]
    with pytest.raises(DataError, match=r"000002\.txt:3: 15 columns, expected 16"):
        LabelTable.read(tmp_path, ["000002"], scored=True)


def test_only_files_named_by_numbers_are_frames(tmp_path: Path) -> None:
    write(tmp_path, _000003="", _stats_car="0.1 0.2", _readme="hello")
    (tmp_path / "000004.json").write_text("{}")
    assert frame_ids(tmp_path) == ["000003"]


def test_ground_truth_needs_no_score(tmp_path: Path) -> None:
    write(tmp_path, _000000=f"{CAR}\n{REGION}\n", _000001=f"{CAR} 0.5\n")
    table = LabelTable.read(tmp_path, ["000000", "000001"], scored=False)
    assert table.rows.type.tolist() == ["Car", "DontCare", "Car"]


def test_nothing_found_in_any_frame(tmp_path: Path) -> None:
    table = LabelTable.read(write(tmp_path, _000000="", _000001=""), ["000000", "000001"], scored=True)
    assert len(table) == 2
    assert len(table.rows) == 0
    assert table.rows.bbox.shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{CAR}\n", r"000001\.txt:1: 15 columns, expected 16"),
        (f"{CAR} 0.5\n{CAR}\n", r"000001\.txt:2: 15 columns, expected 16"),
        (f"{CAR} 0.5 7\n", r"000001\.txt:1: 17 columns"),
        (f"{CAR} high\n", r"000001\.txt:1: .*'high'"),
        (f"{CAR} 0.5\n{CAR} nan\n", r"000001\.txt:2: score is not a finite number"),
        (f"{CAR.replace('46.70', 'inf')} 0.5\n", r"000001\.txt:1: location is not a finite number"),
    ],
)
def test_a_bad_row_is_named(text: str, message: str, tmp_path: Path) -> None:
    write(tmp_path, _000000=f"{CAR} 0.5\n{CAR} 0.4\n", _000001=text)
    with pytest.raises(DataError, match=message):
        LabelTable.read(tmp_path, ["000000", "000001"], scored=True)


def test_missing_files_are_counted(tmp_path: Path) -> None:
    write(tmp_path, _000000="")
    with pytest.raises(DataError, match=r"2 of 3 files are missing, first 000001\.txt; .* an empty file"):
        LabelTable.read(tmp_path, ["000000", "000001", "000002"], scored=True)


def test_a_folder_without_label_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no label files"):
        frame_ids(tmp_path)
    with pytest.raises(DataError, match="cannot be read: No such file"):
        frame_ids(tmp_path / "nowhere")


def test_joining_needs_an_id_for_each_frame() -> None:
    with pytest.raises(ValueError, match="0 frames with 1 ids"):
        LabelTable.join([], ["000000"])
