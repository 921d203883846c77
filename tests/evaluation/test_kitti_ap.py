"""The KITTI figures: the official program's own outputs, a literal reference on random scenes, and each rule by hand."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.evaluation.kitti_ap import KittiResult, evaluate_boxes, evaluate_kitti
from mono3d_kd_core.evaluation.kitti_curve import _thresholds
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, metrics_of
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable, frame_ids
from tests.evaluation import reference
from tests.evaluation.scenes import random_frame, region, row, rows

CURVE_NAMES = {"detection": "2d", "detection_ground": "bev", "detection_3d": "3d", "orientation": "aos"}
NOTHING = row()[:0]


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


@pytest.mark.parametrize("seed", range(4))
def test_random_scenes_agree_with_the_literal_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, found = zip(*(random_frame(rng) for _ in range(12)))
    result = evaluate_kitti(truth, found)
    for name in CLASSES:
        for metric in metrics_of(name):
            if metric.orientation:
                continue
            for k in range(len(LEVELS)):
                precision, similarity = reference.curve(truth, found, name, k, metric.space, metric.min_overlap)
                curves = result.classes[name].curves
                context = f"{name} {metric.name} {LEVELS[k].name}"
                np.testing.assert_allclose(curves[metric.name].precision[k] / 100, precision, atol=1e-12, err_msg=context)
                if metric.space == "2d":
                    orientation = curves[metric.name.replace("2d", "aos")].precision[k] / 100
                    np.testing.assert_allclose(orientation, similarity, atol=1e-12, err_msg=context)


def of_one_frame(truth: KittiLabels, found: KittiLabels) -> KittiResult:
    """Evaluate 60 copies of a frame: enough objects for all samples of recall, all at one threshold."""
    return evaluate_kitti([truth] * 60, [found] * 60)


def precision(truth: KittiLabels, found: KittiLabels, metric: str = "2d@0.7", name: str = "Car", level: int = 1) -> float:
    """Return the precision in percent of 60 copies of a frame, the same at all recalls."""
    curve = of_one_frame(truth, found).classes[name].curves[metric].precision[level]
    assert len(set(curve.tolist())) == 1
    return float(curve[0])


@pytest.mark.parametrize("metric", ["2d@0.7", "aos@0.7", "bev@0.7", "3d@0.7", "bev@0.5", "3d@0.5"])
def test_a_perfect_detection_and_a_false_alarm(metric: str) -> None:
    alarm = row(left=500, x=8)
    assert precision(row(), row(), metric) == 100
    assert precision(row(), rows(row(), alarm), metric) == 50
    assert precision(row(), rows(row(), row()), metric) == 50  # a double detection is a false alarm


@pytest.mark.parametrize(("name", "neighbour"), [("Car", "Van"), ("Pedestrian", "Person_sitting")])
def test_taking_a_neighbour_for_the_class_is_no_mistake(name: str, neighbour: str) -> None:
    other = {"left": 500, "x": 8}
    found = rows(row(name), row(name, **other))
    for metric in metrics_of(name):
        assert precision(rows(row(name), row(neighbour, **other)), found, metric.name, name) == 100
        assert precision(rows(row(name), row("Truck", **other)), found, metric.name, name) == 50


def test_the_cyclist_has_no_neighbour() -> None:
    found = rows(row("Cyclist"), row("Cyclist", left=500, x=8))
    for other in ("Pedestrian", "Person_sitting", "Misc"):
        assert precision(rows(row("Cyclist"), row(other, left=500, x=8)), found, "2d@0.5", "Cyclist") == 50


def test_dont_care_excuses_false_alarms_on_the_image_only() -> None:
    truth, found = rows(row(), region(500, 100, 100, 50)), rows(row(), row(left=500, x=8))
    assert precision(truth, found, "2d@0.7") == precision(truth, found, "aos@0.7") == 100
    assert precision(truth, found, "bev@0.7") == precision(truth, found, "3d@0.7") == 50


@pytest.mark.parametrize(("covered", "expected"), [(70, 50), (70.1, 100)])
def test_dont_care_must_cover_more_than_the_threshold_of_the_detection(covered: float, expected: float) -> None:
    truth = rows(row(), region(500, 100, covered, 500))
    assert precision(truth, rows(row(), row(left=500)), "2d@0.7") == expected


def test_detections_without_3d_box_vanish_in_dont_care_at_minus_1000() -> None:
    flat = row(left=500, x=-1000, y=-1000, z=-1000, hwl=(-1, -1, -1), turn=-10)
    found = rows(row(), flat)
    assert precision(rows(row(), region(0, 0, 10, 10)), found, "bev@0.7") == 100
    assert precision(rows(row(), region(0, 0, 10, 10)), found, "3d@0.7") == 50
    assert precision(row(), found, "bev@0.7") == 50


@pytest.mark.parametrize(("height", "asked"), [(40.01, (1, 1, 1)), (40, (0, 1, 1)), (25.01, (0, 1, 1)), (25, (0, 0, 0))])
def test_an_object_as_low_as_the_limit_is_too_low(height: float, asked: tuple[int, ...]) -> None:
    result = evaluate_kitti([row(height=height, top=0)], [NOTHING])
    assert result.classes["Car"].objects == asked


@pytest.mark.parametrize(
    ("height", "expected"), [(40, [50, 50, 50]), (39.99, [100, 50, 50]), (25, [100, 50, 50]), (24.99, [100] * 3)]
)
def test_a_detection_lower_than_the_limit_is_not_charged(height: float, expected: list[float]) -> None:
    found = rows(row(), row(left=500, height=height, top=0))
    assert [precision(row(), found, level=k) for k in range(3)] == expected


@pytest.mark.parametrize(
    ("occluded", "truncated", "asked"),
    [(0, 0.15, (1, 1, 1)), (0, 0.16, (0, 1, 1)), (1, 0.3, (0, 1, 1)), (1, 0.31, (0, 0, 1)), (2, 0.5, (0, 0, 1)),
     (2, 0.51, (0, 0, 0)), (3, 0, (0, 0, 0))],
)  # fmt: skip
def test_levels_of_occlusion_and_truncation(occluded: int, truncated: float, asked: tuple[int, ...]) -> None:
    result = evaluate_kitti([row(occluded=occluded, truncated=truncated)], [NOTHING])
    assert result.classes["Car"].objects == asked


def test_an_object_too_hard_may_be_found_without_reward_or_blame() -> None:
    truth, found = rows(row(), row(left=500, x=8, occluded=3)), rows(row(), row(left=500, x=8))
    for metric in metrics_of("Car"):
        assert precision(truth, found, metric.name) == 100


def test_a_small_detection_of_any_class_may_take_an_object_away() -> None:
    # The official code looks at a detection's height before its class. Here both boxes overlap the car by more than 0.7.
    truth = row(height=26)
    small = row("Cyclist", height=24, score=0.9)
    curve = of_one_frame(truth, rows(row(height=26), small)).classes["Car"].curves["2d@0.7"].precision
    np.testing.assert_array_equal(curve[1:], 0)
    lower = replace(small, score=np.array([0.1]))
    assert precision(truth, rows(row(height=26), lower)) == 100


def test_overlap_must_exceed_the_threshold() -> None:
    # Boxes 3 long, shifted by 1, share 2 of 4: exactly one half. All numbers are exact in binary.
    truth, found = row(hwl=(1.5, 2, 3)), row(hwl=(1.5, 2, 3), x=1)
    curves = of_one_frame(truth, found).classes["Car"].curves
    assert curves["bev@0.5"].r40[0] == curves["3d@0.5"].r40[0] == 0
    assert precision(truth, row(hwl=(1.5, 2, 3), x=0.99), "3d@0.5") == 100


def test_height_counts_from_the_bottom_upwards() -> None:
    # y points down: a box half as high on the same ground shares half of the volume, one hanging below shares nothing.
    half = row(hwl=(0.76, 2, 4))
    assert precision(row(), half, "3d@0.5") == 100
    assert of_one_frame(row(), row(y=3.0)).ap("Car", "3d@0.5") == 0
    assert of_one_frame(row(), row(y=3.0)).ap("Car", "bev@0.5") == 100


def test_the_better_fit_is_the_hit_even_with_a_lower_score() -> None:
    # Both detections pass for the object; what is charged is the one that fits worse, so that its heading is not judged.
    exact, sloppy = row(score=0.6, alpha=0), row(score=0.6, left=105, alpha=np.pi)
    for found in (rows(exact, sloppy), rows(sloppy, exact)):
        assert precision(row(), found, "aos@0.7") == pytest.approx(50)
    assert precision(row(), sloppy, "aos@0.7") == pytest.approx(0, abs=1e-12)


def test_of_equal_scores_the_first_in_the_file_is_taken() -> None:
    # Two cars 10 px apart; `either` overlaps both enough, `one` only the first. Whether the second car is left without a
    # detection depends on which of the two, equal in score, the first car takes.
    truth, either, one = rows(row(left=100), row(left=110)), row(left=105), row(left=90)
    for found, samples in ((rows(either, one), 20), (rows(one, either), 40)):
        curve = evaluate_kitti([truth] * 20, [found] * 20).classes["Car"].curves["2d@0.7"].precision[0]
        assert np.count_nonzero(curve) == samples


def test_of_equal_overlaps_the_first_in_the_file_is_the_hit() -> None:
    right, backwards = row(alpha=0), row(alpha=np.pi)
    assert precision(row(), rows(right, backwards), "aos@0.7") == pytest.approx(50)
    assert precision(row(), rows(backwards, right), "aos@0.7") == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_recall_is_sampled_as_by_the_literal_reference(share: float) -> None:
    for objects in range(1, 250):
        scores = np.linspace(1, 0, max(1, round(share * objects)))
        ours = _thresholds(scores, np.ones(len(scores), np.int64), objects)
        assert ours.tolist() == reference.thresholds(scores.tolist(), objects)


@pytest.mark.parametrize(("turn", "expected"), [(0, 100), (np.pi / 2, 50), (np.pi, 0), (2 * np.pi, 100)])
def test_orientation_similarity(turn: float, expected: float) -> None:
    assert precision(row(), row(alpha=turn), "aos@0.7") == pytest.approx(expected, abs=1e-12)


def test_recall_not_reached_has_no_precision() -> None:
    result = evaluate_kitti([row()] * 100, [row()] * 50 + [NOTHING] * 50)
    np.testing.assert_array_equal(result.classes["Car"].curves["2d@0.7"].precision[1], [100] * 21 + [0] * 20)
    assert result.ap("Car", "2d@0.7") == 50
    assert result.ap("Car", "2d@0.7", points=11) == pytest.approx(100 * 6 / 11)


def test_fewer_objects_than_samples_leave_the_rest_empty() -> None:
    # Five objects give five thresholds, so even a perfect detector stays at 4 of 40: the official code does so too.
    result = evaluate_kitti([row()] * 5, [row()] * 5)
    assert result.ap("Car", "3d@0.7") == 10


@pytest.mark.parametrize("score", [-5.0, 0.0, 1e6])
def test_any_scale_of_scores_will_do(score: float) -> None:
    assert precision(row(), row(score=score)) == 100


def test_no_detections_and_no_objects_are_zero() -> None:
    for truth, found in ((row(), NOTHING), (NOTHING, row()), (NOTHING, NOTHING)):
        result = of_one_frame(truth, found)
        for name in CLASSES:
            assert set(result.classes[name].curves) == {metric.name for metric in metrics_of(name)}
            assert all((curve.precision == 0).all() for curve in result.classes[name].curves.values())


def test_one_invalid_orientation_anywhere_forgoes_orientation() -> None:
    found = [row()] * 9 + [rows(row(), row("Cyclist", left=500, alpha=-10))]
    result = evaluate_kitti([row()] * 10, found)
    assert all(not name.startswith("aos") for name in result.classes["Car"].curves)
    assert evaluate_kitti([row()], [rows(row(), region(0, 0, 9, 9))]).classes["Car"].curves["aos@0.7"] is not None


def test_metrics_need_boxes_of_their_kind() -> None:
    flat = row(x=-1000, y=-1000, z=-1000, hwl=(-1, -1, -1), turn=-10)
    assert set(evaluate_kitti([row()], [flat]).classes["Car"].curves) == {"2d@0.7", "aos@0.7"}
    from_above = row(left=-1, top=-1, width=0, height=0)
    assert set(evaluate_kitti([row()], [from_above]).classes["Car"].curves) == {"bev@0.7", "3d@0.7", "bev@0.5", "3d@0.5"}


def test_letters_may_be_small_or_capital() -> None:
    assert precision(row("car"), row("CAR")) == 100


def test_the_order_of_frames_does_not_matter() -> None:
    rng = np.random.default_rng(5)
    frames = [random_frame(rng) for _ in range(40)]
    shuffled = [frames[k] for k in rng.permutation(40)]
    one, other = (evaluate_kitti(*zip(*order)) for order in (frames, shuffled))
    for name in CLASSES:
        for metric, curve in one.classes[name].curves.items():
            np.testing.assert_allclose(curve.precision, other.classes[name].curves[metric].precision, atol=1e-9)


def moved(labels: KittiLabels, turn: float, shift: Sequence[float]) -> KittiLabels:
    """Turn about the vertical axis and shift the 3D boxes of a frame, DontCare aside; the image stays."""
    real = labels.is_object
    c, s = np.cos(turn), np.sin(turn)
    R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    location = np.where(real[:, None], labels.location @ R.T + np.asarray(shift), labels.location)
    return replace(labels, location=location, rotation_y=np.where(real, labels.rotation_y + turn, labels.rotation_y))


def test_a_common_motion_changes_nothing_in_bev_and_3d() -> None:
    rng = np.random.default_rng(6)
    frames = [random_frame(rng) for _ in range(40)]
    there = [tuple(moved(labels, 0.7, (100, -3, 40)) for labels in pair) for pair in frames]
    one, other = (evaluate_kitti(*zip(*scenes)) for scenes in (frames, there))
    for name in CLASSES:
        for metric, curve in one.classes[name].curves.items():
            np.testing.assert_allclose(curve.precision, other.classes[name].curves[metric].precision, atol=1e-9)


def test_curves_fall_with_recall() -> None:
    rng = np.random.default_rng(7)
    result = evaluate_kitti(*zip(*(random_frame(rng) for _ in range(60))))
    curves = [curve.precision for each in result.classes.values() for curve in each.curves.values()]
    assert all((np.diff(curve, axis=1) <= 1e-12).all() and (curve > 0).any() for curve in curves)


def test_boxes_and_cameras_give_the_figures_of_their_kitti_rows() -> None:
    camera = CameraModel.pinhole(1242, 375, 720, 720, 620, 187)
    rng = np.random.default_rng(8)

    def boxes(noise: float) -> Boxes3D:
        centre = np.column_stack([np.linspace(10, 40, 6), np.linspace(-6, 6, 6), np.full(6, -0.8)])
        centre += rng.normal(0, noise, (6, 3))
        size, label = np.tile([4.0, 1.7, 1.6], (6, 1)), np.full(6, "Car")
        return Boxes3D(centre, size, np.linspace(-3, 3, 6), label, rng.random(6), frame="camera")

    truth, found = [boxes(0) for _ in range(20)], [boxes(0.1) for _ in range(20)]
    result = evaluate_boxes(truth, found, [camera] * 20)
    expected = evaluate_kitti(
        [KittiLabels.from_boxes(b, camera, scored=False) for b in truth], [KittiLabels.from_boxes(b, camera) for b in found]
    )
    assert result.as_json() == expected.as_json()
    assert 50 < result.ap("Car", "3d@0.5") <= 100


def test_unequal_frames_and_missing_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="2 frames of labels against 1"):
        evaluate_kitti([row(), row()], [row()])
    with pytest.raises(ValueError, match="finite score"):
        evaluate_kitti([row()], [replace(row(), score=None)])
    with pytest.raises(ValueError, match="finite score"):
        evaluate_kitti([row()], [row(score=np.nan)])


def test_json_has_the_agreed_shape() -> None:
    content = json.loads(json.dumps(of_one_frame(row(), row()).as_json()))
    assert list(content) == ["Car", "Pedestrian", "Cyclist"]
    assert list(content["Car"]) == ["2d@0.7", "aos@0.7", "bev@0.7", "3d@0.7", "bev@0.5", "3d@0.5"]
    assert list(content["Cyclist"]) == ["2d@0.5", "aos@0.5", "bev@0.5", "3d@0.5", "bev@0.25", "3d@0.25"]
    entry = content["Car"]["3d@0.7"]
    assert entry["R40"] == entry["R11"] == [100, 100, 100]
    assert [len(curve) for curve in entry["precision"]] == [41, 41, 41]


def test_json_has_null_where_the_detections_carry_no_such_boxes() -> None:
    content = json.loads(json.dumps(of_one_frame(row(), row(alpha=-10)).as_json()))
    assert list(content["Car"]) == ["2d@0.7", "aos@0.7", "bev@0.7", "3d@0.7", "bev@0.5", "3d@0.5"]
    assert content["Car"]["aos@0.7"] == {"R40": [None] * 3, "R11": [None] * 3, "precision": [[None] * 41] * 3}
    assert content["Car"]["2d@0.7"]["R40"] == [100, 100, 100]
