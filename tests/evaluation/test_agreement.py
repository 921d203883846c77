"""Agreement of a student with its teacher, on lists of boxes, on a stream, and from folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.evaluation.agreement import Agreement, AgreementMeter, agreement, agreement_report
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.kitti_labels import KittiLabels
from tests.conftest import REPOSITORY
from tests.evaluation.scenes import row, rows


def boxes(*places: tuple[float, float], label: str = "Car", score: float = 0.9, frame: str = "lidar") -> Boxes3D:
    n = len(places)
    centre = np.column_stack([np.array(places, np.float64).reshape(-1, 2), np.zeros(n)])
    return Boxes3D(centre, np.tile([4, 2, 1.5], (n, 1)), np.zeros(n), np.full(n, label), np.full(n, score), frame=frame)


def everything(result: Agreement, name: str = "Car") -> tuple[int, float, float]:
    band = result.classes[name][-1]
    return band.objects, band.recall, band.precision


def test_a_detector_agrees_with_itself() -> None:
    frames = [boxes((10, 0), (40, 5)), boxes(), boxes((60, -3))]
    result = agreement(frames, frames)
    assert everything(result) == (3, 1, 1)
    assert [band.objects for band in result.classes["Car"]] == [1, 0, 1, 1, 3]
    assert result.classes["Car"][-1].errors["distance"].mean_abs == 0


def test_recall_is_of_the_teachers_boxes_and_precision_of_the_students() -> None:
    teacher = [boxes((10, 0), (20, 0), (30, 0), (40, 0))]
    student = [boxes((10.5, 0), (20, 1.5), (60, 0))]
    assert everything(agreement(student, teacher)) == (4, 0.5, pytest.approx(2 / 3))
    assert everything(agreement(teacher, student)) == (3, pytest.approx(2 / 3), 0.5)


def test_classes_are_not_mixed() -> None:
    result = agreement([boxes((10, 0), label="Cyclist")], [boxes((10, 0))])
    assert everything(result)[:2] == (1, 0)
    assert everything(result, "Cyclist")[0] == 0
    assert everything(result, "Cyclist")[2] == 0


def test_low_scores_are_left_out() -> None:
    pair = [boxes((10, 0), score=0.4)], [boxes((10, 0), score=0.6)]
    assert everything(agreement(*pair, student_min_score=0.4))[1] == 1
    assert everything(agreement(*pair, student_min_score=0.5))[1] == 0
    assert agreement(*pair, student_min_score=0.5, teacher_min_score=0.7).classes == {}


def test_frames_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="1 frames of the student against 2"):
        agreement([boxes()], [boxes(), boxes()])
    with pytest.raises(ValueError, match='"lidar" cannot be compared with boxes in "camera"'):
        agreement([boxes((10, 0))], [boxes((10, 0), frame="camera")])


def test_a_stream_is_judged_by_its_latest_frames() -> None:
    meter = AgreementMeter(window=2)
    assert meter.agreement().frames == 0
    meter.add(boxes(), boxes((10, 0)))
    assert everything(meter.agreement())[:2] == (1, 0)
    for _ in range(2):
        meter.add(boxes((10, 0)), boxes((10, 0)))
    assert everything(meter.agreement()) == (2, 1, 1)
    meter.reset()
    assert meter.agreement().frames == 0


def test_the_report_speaks_of_the_teacher() -> None:
    assert "| teacher |" in agreement_report(agreement([boxes((10, 0))], [boxes((10, 0))]))


def test_the_command_takes_what_both_have(tmp_path: Path) -> None:
    frames: dict[str, list[KittiLabels]] = {
        "student": [row(score=0.9), rows(row(), row(left=400, x=8, score=0.1))],
        "teacher": [row(score=0.9), row(score=0.8), row(score=0.7)],
    }
    for name, each in frames.items():
        folder = tmp_path / name / ("label_2" if name == "teacher" else "")
        for k, labels in enumerate(each):
            labels.write(folder / f"{k:06d}.txt")
    command = [
        sys.executable, "-m", "mono3d_kd_core.cli", "agree", "--student", str(tmp_path / "student"), "--teacher",
        str(tmp_path / "teacher"), "--json", str(tmp_path / "out.json"),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["frames"] == 2
    assert content["classes"]["Car"][-1]["recall"] == 1
    assert content["classes"]["Car"][-1]["precision"] == 1
