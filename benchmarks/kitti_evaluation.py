"""Time `mono3d-kd evaluate` as a whole process, with kernels compiled anew and from the cache, against official figures.

python -m benchmarks.kitti_evaluation SHARED_DATA: the folder of KITTI data, with labels_calib_splits.tar.gz and eval_oracle.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

OFFICIAL_SECONDS = (28.0, 55.0)
"""The official program on two cores of the reference machine, one detector and another."""
STEMS = {"detection": "2d", "detection_ground": "bev", "detection_3d": "3d", "orientation": "aos"}


def evaluate(labels: Path, detections: Path, out: Path, cache: Path) -> tuple[float, float]:
    """Run the command once; return its wall time and its processor time in seconds."""
    command = [
        sys.executable, "-m", "mono3d_kd_core.cli", "evaluate", "--labels", str(labels), "--detections", str(detections),
        "--json", str(out),
    ]  # fmt: skip
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "NUMBA_CACHE_DIR": str(cache)})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - start, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def largest_deviation(oracle: Path, out: Path) -> tuple[float, float]:
    """Return the largest deviation of an average (percent) and of a curve (0..1) from the official program's."""
    figures, official = json.loads(out.read_text()), json.loads((oracle / "ap.json").read_text())
    averages, curves = [0.0], [0.0]
    for path in oracle.glob("stats_*.txt"):
        _, name, kind = path.stem.split("_", 2)
        each = figures[name.capitalize()][f"{STEMS[kind]}@{0.7 if name == 'car' else 0.5}"]
        lines = [[float(value) for value in line.split()] for line in path.read_text().splitlines()]
        for k, level in enumerate(("easy", "moderate", "hard")):
            expected = official[f"{name}_{kind}"][level]
            averages += [abs(each["R40"][k] - expected["AP40"]), abs(each["R11"][k] - expected["AP11"])]
            curves += [abs(mine / 100 - theirs) for mine, theirs in zip(each["precision"][k], lines[k])]
    return max(averages), max(curves)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kitti", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        with tarfile.open(arguments.kitti / "labels_calib_splits.tar.gz") as archive:
            archive.extractall(work, [m for m in archive.getmembers() if "label_2" in m.name], filter="data")
        for oracle in sorted((arguments.kitti / "eval_oracle").iterdir()):
            with tarfile.open(oracle / "detections.tar.gz") as archive:
                archive.extractall(work / oracle.name, filter="data")
            cache, out = work / f"cache_{oracle.name}", work / f"{oracle.name}.json"
            cold = evaluate(work / "training", work / oracle.name, out, cache)
            times = [evaluate(work / "training", work / oracle.name, out, cache) for _ in range(arguments.repeats)]
            warm, busy = (statistics.median(column) for column in zip(*times))
            ap, curve = largest_deviation(oracle, out)
            ratios = " to ".join(f"{seconds / warm:.0f}" for seconds in OFFICIAL_SECONDS)
            print(
                f"{oracle.name}: warm {warm:.2f} s wall, {busy:.2f} s processor (medians of {len(times)}); "
                f"cold {cold[0]:.2f} s wall, {cold[1]:.2f} s processor; {ratios} times as fast as the official program; "
                f"largest deviation {ap:.5f} AP, {curve:.1e} on curves"
            )


if __name__ == "__main__":
    main()
