"""`mono3d-kd evaluate` as a person calls it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mono3d_kd_core.io.depth_std import write_depth_std
from mono3d_kd_core.io.kitti_labels import KittiLabels
from tests.conftest import REPOSITORY
from tests.evaluation.scenes import row, rows


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mono3d_kd_core.cli", "evaluate", *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=100)


def write(folder: Path, frames: list[KittiLabels]) -> Path:
    for index, frame in enumerate(frames):
        frame.write(folder / f"{index:06d}.txt")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """50 frames with a car each; every second one also has a false alarm."""
    alarm = row(left=500, x=8)
    labels = write(tmp_path / "kitti" / "label_2", [row()] * 50)
    return labels, write(tmp_path / "found", [row(), rows(row(), alarm)] * 25)


def test_figures_in_json_and_a_table(folders: tuple[Path, Path], tmp_path: Path) -> None:
    labels, found = folders
    done = run("--labels", labels.parent, "--detections", found, "--json", tmp_path / "ap.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "ap.json").read_text())
    assert figures["Car"]["3d@0.7"]["R40"] == pytest.approx([100 * 50 / 75] * 3)
    assert figures["Cyclist"]["3d@0.5"]["R11"] == [0, 0, 0]
    line = next(line for line in done.stdout.splitlines() if "3d@0.7" in line)
    assert line.count("66.67") == 6


def test_what_average_precision_hides(folders: tuple[Path, Path], tmp_path: Path) -> None:
    labels, found = folders
    for k in range(50):
        write_depth_std(found, f"{k:06d}", [0.5] * (1 + k % 2))
    (tmp_path / "times.txt").write_text("10\n20\n30\n")
    done = run(
        "--labels", labels, "--detections", found, "--details", tmp_path / "details.json", "--latency",
        tmp_path / "times.txt", "--nuscenes", "--plots", tmp_path / "plots",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    details = json.loads((tmp_path / "details.json").read_text())
    near = details["classes"]["Car"]["bands"][1]
    assert (near["near"], near["objects"], near["recall"]) == (15, 50, 1)
    assert near["precision"] == pytest.approx(50 / 75)
    assert details["classes"]["Car"]["depth_uncertainty"]["coverage"]["normal"]["0.5"] == 1
    assert details["latency_ms"]["p50"] == 20
    assert details["nuscenes"]["mATE"] == pytest.approx(0, abs=1e-12)
    assert "Latency: median 20.0 ms" in done.stdout
    pictures = sorted(path.name for path in (tmp_path / "plots").iterdir())
    assert pictures == ["car_details.png", "car_precision_recall.png"]
    assert all((tmp_path / "plots" / name).read_bytes().startswith(b"\x89PNG") for name in pictures)


def test_only_the_frames_of_a_split_count(folders: tuple[Path, Path], tmp_path: Path) -> None:
    labels, found = folders
    (tmp_path / "even.txt").write_text("\n".join(f"{k:06d}" for k in range(0, 50, 2)))
    (found / "000001.txt").write_text("broken, but not asked for")
    done = run("--labels", labels, "--detections", found, "--split", tmp_path / "even.txt", "--json", tmp_path / "ap.json")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "ap.json").read_text())
    assert figures["Car"]["2d@0.7"]["precision"][0] == [100] * 25 + [0] * 16


def test_labelled_frames_without_a_result_are_mentioned(folders: tuple[Path, Path]) -> None:
    labels, found = folders
    for k in range(3):
        (found / f"{k:06d}.txt").unlink()
    done = run("--labels", labels, "--detections", found)
    assert done.returncode == 0, done.stderr
    assert "3 labelled frames have no result file" in done.stdout


def test_nothing_found_anywhere(folders: tuple[Path, Path], tmp_path: Path) -> None:
    labels, found = folders
    for path in found.glob("*.txt"):
        path.write_text("")
    done = run(
        "--labels", labels, "--detections", found, "--nuscenes", "--json", tmp_path / "ap.json", "--details",
        tmp_path / "details.json", "--plots", tmp_path / "plots",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "ap.json").read_text())["Car"]["aos@0.7"]["R40"] == [0, 0, 0]
    assert json.loads((tmp_path / "details.json").read_text())["classes"]["Car"]["score"] is None


def test_mistakes_end_with_a_message_and_code_2(folders: tuple[Path, Path], tmp_path: Path) -> None:
    labels, found = folders
    missing = tmp_path / "missing.txt"
    missing.write_text("000000 000050")
    done = run("--labels", labels, "--detections", found, "--split", missing)
    assert done.returncode == 2
    assert "000050.txt" in done.stderr
    assert "Traceback" not in done.stderr
    (tmp_path / "times.txt").write_text("10 nan 20")
    done = run("--labels", labels, "--detections", found, "--latency", tmp_path / "times.txt")
    assert done.returncode == 2
    assert "times.txt: expected milliseconds" in done.stderr
    (found / "000003.txt").write_text("Car -1 -1 0 1 2 3 4 1 1 1 0 0 9 0\n")
    done = run("--labels", labels, "--detections", found)
    assert done.returncode == 2
    assert "000003.txt:1: 15 columns, expected 16" in done.stderr
