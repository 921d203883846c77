"""Runs differ when they differ, by a paired interval, and are not told apart when they do not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.comparison import compare_runs
from mono3d_kd_core.evaluation.comparison_report import comparison_report
from mono3d_kd_core.evaluation.comparison_result import Comparison, Difference, Target
from mono3d_kd_core.evaluation.kitti_ap import evaluate_kitti
from mono3d_kd_core.evaluation.kitti_curve import CurveProblem
from mono3d_kd_core.evaluation.kitti_overlaps import Overlaps
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, found_use, metrics_of, truth_use
from mono3d_kd_core.evaluation.runs import RunFolders, default_targets, parse_runs, read_groups
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_table import LabelTable
from tests.conftest import REPOSITORY
from tests.evaluation.scenes import random_frame, row, rows

CAR = Target.parse("Car/3d@0.7/moderate")


def street(frames: int) -> LabelTable:
    """Three cars in each frame."""
    return LabelTable.join([rows(row(), row(left=400, x=8), row(left=700, x=-8)) for _ in range(frames)])


def detector(labels: LabelTable, found: float, seed: int) -> LabelTable:
    """Find each car with the probability `found`, and add a false alarm to every other frame."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(len(labels)):
        kept = labels[k][rng.random(len(labels[k])) < found]
        alarm = row(left=1000, x=20)[: int(rng.random() < 0.5)]
        both = rows(kept, alarm) if len(kept) + len(alarm) else row()[:0]
        frames.append(both.with_score(rng.random(len(both)).round(2)))
    return LabelTable.join(frames)


def difference(result: Comparison) -> Difference:
    assert len(result.differences) == 1
    return result.differences[0]


def test_weights_count_a_frame_as_often_as_if_it_were_there() -> None:
    rng = np.random.default_rng(0)
    frames = [random_frame(rng) for _ in range(50)]
    weight = rng.integers(0, 4, 50)
    copies = [pair for pair, times in zip(frames, weight) for _ in range(times)]
    expected = evaluate_kitti(*zip(*copies))
    truth, found = (LabelTable.join(side) for side in zip(*frames))
    overlaps = Overlaps.between(truth, found)
    for name in CLASSES:
        for metric in metrics_of(name):
            for k, level in enumerate(LEVELS):
                uses = truth_use(truth.rows, name, level), found_use(found.rows, name, level)
                problem = CurveProblem.build(truth, found, overlaps, *uses, metric)
                curve = problem.solve(weight)[1 if metric.orientation else 0]
                np.testing.assert_allclose(100 * curve, expected.classes[name].curves[metric.name].precision[k], atol=1e-9)


def test_a_better_detector_is_called_better() -> None:
    labels = street(100)
    runs = {name: [detector(labels, found, seed) for seed in range(3)] for name, found in (("bad", 0.6), ("good", 0.9))}
    result = compare_runs(labels, runs, [CAR], samples=200)
    each = difference(result)
    assert each.is_clear
    assert each.value < -10
    assert each.verdict.startswith(f"good is better than bad by {-each.value:.2f} ± {each.half_width:.2f} AP")
    figure = result.figures["good"][CAR]
    expected = [evaluate_kitti(labels, found).ap("Car", "3d@0.7") for found in runs["good"]]
    assert figure.seeds.tolist() == pytest.approx(expected)
    assert (figure.mean, figure.std) == (pytest.approx(np.mean(expected)), pytest.approx(np.std(expected, ddof=1)))


def test_equal_detectors_are_not_told_apart() -> None:
    labels = street(60)
    same = detector(labels, 0.8, 0)
    each = difference(compare_runs(labels, {"a": [same], "b": [same]}, [CAR], samples=100))
    assert (each.value, each.half_width) == (0, 0)
    assert "not distinguishable" in each.verdict


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_hold_what_they_say(seeds: int) -> None:
    # Detectors that differ in nothing but luck: of their 95 % intervals, about one in twenty may leave out zero.
    labels = street(50)
    clear = 0
    for trial in range(40):
        luck = iter(range(1000 * trial, 1000 * trial + 2 * seeds))
        runs = {name: [detector(labels, 0.8, next(luck)) for _ in range(seeds)] for name in "ab"}
        clear += difference(compare_runs(labels, runs, [CAR], samples=100, seed=trial)).is_clear
    assert clear <= 7  # 2 expected; more than 7 of 40 have a chance of one in a thousand


def test_few_seeds_make_a_wide_interval() -> None:
    labels = street(60)
    many = {name: [detector(labels, p, s) for s in range(6)] for name, p in (("a", 0.8), ("b", 0.75))}
    two = {name: tables[:2] for name, tables in many.items()}
    wide, narrow = (difference(compare_runs(labels, runs, [CAR], samples=200)) for runs in (two, many))
    assert wide.half_width > 2 * narrow.half_width


def test_pairing_by_frames_narrows_the_interval() -> None:
    # Both see the same cars, one adds a false alarm here and there: what the frames have in common cancels.
    labels = street(100)
    one = detector(labels, 0.7, 0)
    alarm = row(left=1000, x=20, score=0.99)
    other = LabelTable.join([rows(one[k], alarm) if k % 10 == 0 else one[k] for k in range(len(one))])
    paired = difference(compare_runs(labels, {"a": [one], "b": [other]}, [CAR], samples=300))
    apart = difference(compare_runs(labels, {"a": [one], "b": [detector(labels, 0.7, 1)]}, [CAR], samples=300))
    assert paired.half_width < apart.half_width / 2
    assert paired.is_clear


def test_frames_of_a_drive_are_drawn_together() -> None:
    # Ten drives, each of 10 copies of one frame: as good as 10 frames, not as 100.
    few = street(10)
    found = detector(few, 0.7, 3), detector(few, 0.7, 4)
    long = LabelTable.join([few[k // 10] for k in range(100)])
    copies = [LabelTable.join([table[k // 10] for k in range(100)]) for table in found]
    drives = np.arange(100) // 10
    runs = {"a": [copies[0]], "b": [copies[1]]}
    alone, together = (
        difference(compare_runs(long, runs, [CAR], samples=400, groups=groups)) for groups in (None, drives)
    )
    assert together.half_width > 2 * alone.half_width


def test_a_single_seed_is_pointed_out() -> None:
    labels = street(40)
    runs = {"a": [detector(labels, 0.9, 0)], "b": [detector(labels, 0.5, s) for s in range(2)]}
    each = difference(compare_runs(labels, runs, [CAR], samples=100))
    assert each.trained_once == ("a",)
    assert "one seed of a: the luck of training is not counted" in each.verdict


def test_every_pair_and_target_is_compared() -> None:
    labels = street(30)
    runs = {name: [detector(labels, p, 0)] for name, p in (("a", 0.5), ("b", 0.7), ("c", 0.9))}
    targets = [CAR, Target.parse("Car/bev@0.5")]
    result = compare_runs(labels, runs, targets, samples=100)
    assert [(d.first, d.second) for d in result.differences] == [("a", "b"), ("a", "c"), ("b", "c")] * 2
    content = json.loads(json.dumps(result.as_json()))
    assert content["runs"]["a"]["Car/3d@0.7/moderate"]["std"] is None
    assert content["differences"][0]["metric"] == "Car/3d@0.7/moderate"
    report = comparison_report(result)
    assert "Car/bev@0.5/moderate" in report
    assert "Of 6 such intervals" in report


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Truck/3d@0.7", "classes Car"),
        ("Car/3d@0.6", "Car has the metrics 2d@0.7"),
        ("Car/3d@0.7/extreme", "levels are easy"),
    ],
)
def test_a_metric_that_does_not_exist_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Target.parse(text)


def test_orientation_that_a_run_does_not_have_is_refused() -> None:
    truth = street(50)
    blind = LabelTable.join([row(alpha=-10)] * 50)
    with pytest.raises(DataError, match=r"blind: Car/aos@0\.7/moderate cannot be compared"):
        compare_runs(truth, {"seeing": [truth], "blind": [blind]}, [Target.parse("Car/aos@0.7")])


def test_the_usual_targets_are_those_of_the_classes_present() -> None:
    assert [str(target) for target in default_targets(street(2))] == ["Car/3d@0.7/moderate"]
    with pytest.raises(DataError, match="nothing to compare"):
        default_targets(LabelTable.join([row("Truck")]))


def write(folder: Path, table: LabelTable) -> Path:
    for k, name in enumerate(table.ids):
        table[k].write(folder / f"{name}.txt")
    return folder


def test_a_run_is_a_folder_or_a_folder_of_seeds_or_a_list(tmp_path: Path) -> None:
    frame = LabelTable.join([row()])
    a, b = (write(tmp_path / "runs" / "plain" / seed, frame) for seed in ("seed0", "seed1"))
    (tmp_path / "runs" / "plain" / "logs").mkdir()
    assert RunFolders.parse(str(a)) == RunFolders("seed0", (a,))
    assert RunFolders.parse(str(tmp_path / "runs" / "plain")) == RunFolders("plain", (a, b))
    assert RunFolders.parse(f"A={b},{a}") == RunFolders("A", (b, a))
    with pytest.raises(DataError, match="found no files such as"):
        RunFolders.parse(f"A={tmp_path / 'runs' / 'plain' / 'logs'}")
    with pytest.raises(DataError, match='two runs are called "seed0"'):
        parse_runs([str(a), f"seed0={b}"])
    with pytest.raises(DataError, match="needs two runs"):
        parse_runs([str(a)])


def test_each_frame_needs_its_drive(tmp_path: Path) -> None:
    path = tmp_path / "drives.txt"
    path.write_text("000000 a\n000001 b\n")
    assert read_groups(path, ["000001", "000000"]).tolist() == ["b", "a"]
    with pytest.raises(DataError, match="1 of 2 frames have no line"):
        read_groups(path, ["000000", "000002"])


def test_the_command_compares_folders(tmp_path: Path) -> None:
    labels = street(40)
    write(tmp_path / "label_2", LabelTable.join([frame_without_score(labels[k]) for k in range(40)]))
    for name, found in (("good", 0.95), ("bad", 0.5)):
        for seed in range(2):
            write(tmp_path / name / f"seed{seed}", detector(labels, found, seed))
    command = [
        sys.executable, "-m", "mono3d_kd_core.cli", "compare", "--labels", str(tmp_path / "label_2"), "--samples", "100",
        "--json", str(tmp_path / "out.json"), "--markdown", str(tmp_path / "out.md"), str(tmp_path / "good"),
        f"B={tmp_path / 'bad' / 'seed0'},{tmp_path / 'bad' / 'seed1'}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["runs"]["good"]["Car/3d@0.7/moderate"]["mean"] > content["runs"]["B"]["Car/3d@0.7/moderate"]["mean"]
    assert (tmp_path / "out.md").read_text().strip() in done.stdout
    assert "AP" in content["differences"][0]["verdict"]


def frame_without_score(labels: KittiLabels) -> KittiLabels:
    return KittiLabels(**{**vars(labels), "score": None})
