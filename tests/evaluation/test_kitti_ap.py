"""The KITTI figures: the official program's own outputs, a literal reference on random scenes, and each rule by hand."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.evaluation.kitti_ap import evaluate_kitti
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, metrics_of
from mono3d_kd_core.io.kitti_table import LabelTable, frame_ids

CURVE_NAMES = {"detection": "2d", "detection_ground": "bev", "detection_3d": "3d", "orientation": "aos"}


@pytest.fixture(scope="session")
def kitti_labels(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kitti")
    with tarfile.open(shared_data / "kitti" / "labels_calib_splits.tar.gz") as archive:
        archive.extractall(folder, [m for m in archive.getmembers() if "label_2" in m.name], filter="data")
    return folder / "training" / "label_2"


@pytest.mark.parametrize("oracle", ["frustum_pointnet", "three_class"])
def test_the_official_program_says_the_same(
    oracle: str, shared_data: Path, kitti_labels: Path, tmp_path: Path
) -> None:
    expected = shared_data / "kitti" / "eval_oracle" / oracle
    with tarfile.open(expected / "detections.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    ids = frame_ids(tmp_path / "data")
    labels = LabelTable.read(kitti_labels, ids, scored=False)
    result = evaluate_kitti(labels, LabelTable.read(tmp_path / "data", ids, scored=True))
    assert result.frames == 3769
    averages = json.loads((expected / "ap.json").read_text())
    for path in sorted(expected.glob("stats_*.txt")):
        _, name, kind = path.stem.split("_", 2)
        metric = f"{CURVE_NAMES[kind]}@{0.7 if name == 'car' else 0.5}"
        curve = result.classes[name.capitalize()].curves[metric]
        np.testing.assert_allclose(curve.precision / 100, np.loadtxt(path), atol=1e-6, err_msg=path.name)
        for k, level in enumerate(LEVELS):
            average = averages[f"{name}_{kind}"][level.name]
            assert curve.r40[k] == pytest.approx(average["AP40"], abs=1e-4)
            assert curve.r11[k] == pytest.approx(average["AP11"], abs=1e-4)


@pytest.mark.slow
def test_labels_against_themselves_score_100(kitti_labels: Path) -> None:
    labels = LabelTable.read(kitti_labels, frame_ids(kitti_labels), scored=False)
    result = evaluate_kitti(labels, replace(labels, rows=labels.rows.with_score(np.ones(len(labels.rows)))))
    for name in CLASSES:
        assert set(result.classes[name].curves) == {metric.name for metric in metrics_of(name)}
        for curve in result.classes[name].curves.values():
            np.testing.assert_allclose(curve.precision, 100)
