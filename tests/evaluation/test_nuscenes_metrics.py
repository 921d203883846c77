"""The nuScenes metrics: figures worked out by hand, and the development kit's own where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.evaluation.nuscenes_metrics import DISTANCES, NuscenesResult, evaluate_nuscenes, nuscenes_report
from mono3d_kd_core.geometry.boxes import Boxes3D

SIZE = (4.0, 2.0, 1.5)


def boxes(*rows: tuple[float, float, float], size: tuple[float, float, float] = SIZE, yaw: float = 0.3) -> Boxes3D:
    """Return cars from rows x, y, score."""
    values = np.array(rows, np.float64).reshape(-1, 3)
    n = len(values)
    centre = np.column_stack([values[:, :2], np.zeros(n)])
    return Boxes3D(centre, np.tile(size, (n, 1)), np.full(n, yaw), np.full(n, "car"), values[:, 2], frame="lidar")


def test_perfect_detections() -> None:
    truth = [boxes((10, 0, 1), (20, 5, 1)), boxes((30, -4, 1))]
    found = [boxes((10, 0, 0.9), (20, 5, 0.7)), boxes((30, -4, 0.8))]
    result = evaluate_nuscenes(truth, found)
    assert result.classes["car"].ap == dict.fromkeys(DISTANCES, pytest.approx(1))
    assert list(result.errors.values()) == pytest.approx([0, 0, 0], abs=1e-12)
    assert result.nds == pytest.approx(1)


def test_half_of_the_objects_found() -> None:
    # Precision is 1 up to recall 1/2, reached by interpolation, and 0 beyond: samples 11..50 of 11..100 count fully.
    result = evaluate_nuscenes([boxes((10, 0, 1)), boxes((30, 0, 1))], [boxes((10, 0, 0.5)), boxes()])
    assert result.classes["car"].ap[2.0] == pytest.approx(40 / 90)


def test_a_false_alarm_above_the_hit() -> None:
    # Recall 0 then 1, precision 0 then 1/2: the straight line between gives r / 2 at recall r.
    result = evaluate_nuscenes([boxes((10, 0, 1))], [boxes((50, 0, 0.9), (10, 0, 0.5))])
    samples = np.linspace(0, 1, 101)[11:] / 2
    assert result.classes["car"].ap[0.5] == pytest.approx(np.maximum(samples - 0.1, 0).mean() / 0.9)


def test_distance_decides() -> None:
    result = evaluate_nuscenes([boxes((10, 0, 1))], [boxes((10, 1.5, 0.5))])
    assert result.classes["car"].ap == {0.5: 0, 1.0: 0, 2.0: pytest.approx(1), 4.0: pytest.approx(1)}
    assert result.mean_ap == pytest.approx(0.5)
    assert result.errors["mATE"] == pytest.approx(1.5)


def test_the_limit_itself_is_too_far() -> None:
    result = evaluate_nuscenes([boxes((10, 0, 1))], [boxes((12, 0, 0.5))])
    assert result.classes["car"].ap[2.0] == 0
    assert result.classes["car"].ap[4.0] == pytest.approx(1)


def test_errors_of_size_and_heading() -> None:
    truth = [boxes((10, 0, 1))]
    half = evaluate_nuscenes(truth, [boxes((10, 0, 1), size=(2.0, 2.0, 1.5))])
    assert half.errors["mASE"] == pytest.approx(0.5)
    for turn in (0.25, np.pi / 2, 3.0):
        turned = evaluate_nuscenes(truth, [boxes((10, 0, 1), yaw=0.3 + turn)])
        assert turned.errors["mAOE"] == pytest.approx(turn)
    # NDS: five parts mAP (1), and translation, scale (perfect) and heading (beyond 1 rad: nothing).
    assert turned.nds == pytest.approx((5 + 1 + 1 + 0) / 8)


def test_a_detection_takes_the_nearest_free_object() -> None:
    truth = [boxes((10, 0, 1), (11, 0, 1))]
    result = evaluate_nuscenes(truth, [boxes((10.2, 0, 0.9), (10.3, 0, 0.8))])
    assert result.classes["car"].ap[1.0] == pytest.approx(1)
    assert result.errors["mATE"] > 0.2


def test_objects_out_of_range_are_left_out() -> None:
    truth, found = [boxes((10, 0, 1), (70, 0, 1))], [boxes((10, 0, 0.5), (72.5, 0, 0.9))]
    assert evaluate_nuscenes(truth, found, max_range=50).classes["car"].ap[0.5] == pytest.approx(1)
    assert evaluate_nuscenes(truth, found).classes["car"].ap[0.5] < 0.6


def test_nothing_found_and_nothing_there() -> None:
    result = evaluate_nuscenes([boxes((10, 0, 1))], [boxes()])
    assert (result.mean_ap, result.nds) == (0, 0)
    assert result.errors == {"mATE": 1, "mASE": 1, "mAOE": 1}
    assert evaluate_nuscenes([boxes()], [boxes((10, 0, 1))], ["car"]).mean_ap == 0
    assert np.isnan(evaluate_nuscenes([boxes()], [boxes()]).nds)
    assert evaluate_nuscenes([boxes()], [boxes()]).as_json()["NDS"] is None


def test_the_report_names_the_scores() -> None:
    result = evaluate_nuscenes([boxes((10, 0, 1))], [boxes((10, 1.5, 0.5))])
    assert "NDS" in nuscenes_report(result).splitlines()[0]
    assert "mAP 50.0" in nuscenes_report(result)


def crowded(seed: int) -> tuple[list[Boxes3D], list[Boxes3D]]:
    """Return 25 frames of two classes, with misses, doubles, false alarms and equal scores."""
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(25):
        n = int(rng.integers(0, 8))
        centre = np.column_stack([rng.uniform(-30, 30, (n, 2)), rng.uniform(-1, 1, n)])
        size, yaw = rng.uniform(1, 5, (n, 3)), rng.uniform(-np.pi, np.pi, n)
        label = rng.choice(["car", "pedestrian"], n)
        truth.append(Boxes3D(centre, size, yaw, label))
        picked = rng.integers(0, n, int(rng.integers(0, 12))) if n else np.zeros(0, int)
        m = len(picked)
        found.append(
            Boxes3D(
                centre[picked] + rng.normal(0, 1, (m, 3)), size[picked] * rng.uniform(0.8, 1.2, (m, 3)),
                yaw[picked] + rng.normal(0, 0.5, m), label[picked], rng.integers(0, 11, m) / 10,
            )
        )  # fmt: skip
    return truth, found


@pytest.mark.parametrize("seed", range(6))
def test_the_development_kit_says_the_same(seed: int) -> None:
    pytest.importorskip("nuscenes.eval.detection.algo", reason="nuscenes-devkit is not in this environment")
    truth, found = crowded(seed)
    result = evaluate_nuscenes(truth, found)
    for name, (average_precisions, errors) in devkit(truth, found).items():
        assert list(result.classes[name].ap.values()) == pytest.approx(average_precisions, abs=1e-9)
        assert list(result.classes[name].errors.values()) == pytest.approx(errors, abs=1e-9)
    assert_nds(result)


def assert_nds(result: NuscenesResult) -> None:
    from nuscenes.eval.detection.config import config_factory
    from nuscenes.eval.detection.data_classes import DetectionMetrics

    metrics = DetectionMetrics(config_factory("detection_cvpr_2019"))
    for name in metrics.cfg.class_names:
        each = result.classes.get(name)
        for distance in DISTANCES:
            metrics.add_label_ap(name, distance, each.ap[distance] if each else np.nan)
        for error, key in (("trans_err", "ATE"), ("scale_err", "ASE"), ("orient_err", "AOE")):
            metrics.add_label_tp(name, error, each.errors[key] if each else np.nan)
    parts = [metrics.tp_scores[name] for name in ("trans_err", "scale_err", "orient_err")]
    assert result.nds == pytest.approx((5 * result.mean_ap + sum(parts)) / 8)


def devkit(truth: list[Boxes3D], found: list[Boxes3D]) -> dict[str, tuple[list[float], list[float]]]:
    """Ask the development kit for average precisions and for ATE, ASE and AOE of each class."""
    from nuscenes.eval.common.data_classes import EvalBoxes
    from nuscenes.eval.common.utils import center_distance
    from nuscenes.eval.detection.algo import accumulate, calc_ap, calc_tp
    from nuscenes.eval.detection.data_classes import DetectionBox

    def eval_boxes(frames: list[Boxes3D]) -> EvalBoxes:
        table = EvalBoxes()
        for token, each in enumerate(frames):
            rows = [
                DetectionBox(
                    str(token), tuple(each.centre[k]), tuple(each.size[k, [1, 0, 2]]),
                    (np.cos(each.yaw[k] / 2), 0.0, 0.0, np.sin(each.yaw[k] / 2)),
                    detection_name=str(each.label[k]), detection_score=float(each.score[k]),
                )
                for k in range(len(each))
            ]  # fmt: skip
            table.add_boxes(str(token), rows)
        return table

    objects, detections = eval_boxes(truth), eval_boxes(found)
    result = {}
    for name in ("car", "pedestrian"):
        curves = {limit: accumulate(objects, detections, name, center_distance, limit) for limit in DISTANCES}
        errors = [calc_tp(curves[2.0], 0.1, key) for key in ("trans_err", "scale_err", "orient_err")]
        result[name] = ([calc_ap(curve, 0.1, 0.1) for curve in curves.values()], errors)
    return result
