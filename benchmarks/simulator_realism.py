"""How much simulated frames measure like KITTI's: label distributions, points per box, and a real teacher's recall.

Example:
  mono3d-kd simulate --scenes 500 --seed 12 --out /tmp/sim
  python benchmarks/simulator_realism.py /tmp/sim --labels KITTI/training/label_2 --frames KITTI/training \\
      --teacher BUNDLE --out docs/images/simulator_distributions.png
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import iou_3d, rows_3d
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource
from mono3d_kd_core.io.kitti_calibration import KittiCalibration

CLASSES = ("Car", "Pedestrian", "Cyclist")
QUANTITIES = ("distance", "sideways", "height of the ground", "length", "width", "height", "rotation_y", "alpha",
              "objects a frame", "2D height", "truncation", "occlusion")  # fmt: skip
KITTI_FOCAL = 721.5377

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """The values of each quantity for one class, over a set of label files."""

    values: dict[str, Vector]


def measure(folder: Path, kind: str, pixel_scale: float = 1.0) -> Measured:
    """Measure the labels of one class; pixel_scale brings 2D heights to KITTI's focal length."""
    columns: dict[str, list[Vector]] = {name: [] for name in QUANTITIES}
    for path in sorted(folder.glob("*.txt")):
        every = KittiLabels.read(path)
        labels = every[every.type == kind]
        columns["objects a frame"].append(np.array([float(len(labels))]))
        columns["distance"].append(labels.location[:, 2])
        columns["sideways"].append(labels.location[:, 0])
        columns["height of the ground"].append(labels.location[:, 1])
        for axis, name in enumerate(("height", "width", "length")):
            columns[name].append(labels.dimensions[:, axis])
        columns["rotation_y"].append(labels.rotation_y)
        columns["alpha"].append(labels.alpha)
        columns["2D height"].append((labels.bbox[:, 3] - labels.bbox[:, 1]) * pixel_scale)
        columns["truncation"].append(labels.truncated)
        columns["occlusion"].append(labels.occluded[labels.occluded < 3].astype(np.float64))
    return Measured({name: np.concatenate(parts) for name, parts in columns.items()})


def kolmogorov_smirnov(a: Vector, b: Vector) -> float:
    """Return the largest distance between the two empirical distribution functions."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(v), at, "right") / len(v) for v in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def points_in_boxes(source: KittiObjectSource, kind: str) -> tuple[Vector, Vector]:
    """Return distance and number of LiDAR points of each labelled object of a class."""
    distance, count = [], []
    for index in range(len(source)):
        frame = source[index]
        if frame.points is None:
            continue
        boxes = source.labels(index).boxes()
        boxes = frame.rig.boxes_in_lidar(boxes[np.flatnonzero(boxes.label == kind)])
        for i in range(len(boxes)):
            local = frame.points[:, :3] - boxes.centre[i]
            c, s = np.cos(boxes.yaw[i]), np.sin(boxes.yaw[i])
            along, across = c * local[:, 0] + s * local[:, 1], c * local[:, 1] - s * local[:, 0]
            inside = np.abs(np.column_stack([along, across, local[:, 2]])) <= boxes.size[i] / 2
            distance.append(float(np.hypot(*boxes.centre[i, :2])))
            count.append(float(inside.all(1).sum()))
    return np.array(distance), np.array(count)


def car_recall(source: KittiObjectSource, bundle: Path, limit: int) -> tuple[int, int]:
    """Return how many cars within 40 m a teacher finds at 3D IoU 0.5, and how many there are."""
    from mono3d_kd_core.deploy.loading import load_teacher

    teacher = load_teacher(bundle)
    found = total = 0
    for index in range(min(limit, len(source))):
        frame = source[index]
        if frame.points is None:
            continue
        cars = frame.rig.boxes_in_lidar(_near_cars(source.labels(index).boxes()))
        if not len(cars):
            continue
        seen = frame.rig.boxes_in_lidar(teacher.observe(frame).boxes)
        seen = seen[np.flatnonzero(seen.label == "Car")]
        overlap = iou_3d(rows_3d(cars), rows_3d(seen)) if len(seen) else np.zeros((len(cars), 1))
        found += int((overlap.max(1) >= 0.5).sum())
        total += len(cars)
    return found, total


def _near_cars(boxes: Boxes3D) -> Boxes3D:
    return boxes[np.flatnonzero((boxes.label == "Car") & (np.hypot(*boxes.centre[:, :2].T) < 40))]


def plot(real: dict[str, Measured], simulated: dict[str, Measured], out: Path) -> None:
    """Draw both distribution functions of every quantity and class."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(CLASSES), len(QUANTITIES), figsize=(26, 6.5), sharey=True)
    for row, kind in zip(axes, CLASSES):
        for axis, name in zip(row, QUANTITIES):
            for label, measured, colour in (("KITTI", real, "0.3"), ("simulated", simulated, "tab:orange")):
                values = np.sort(measured[kind].values[name])
                low, high = np.percentile(real[kind].values[name], [0.2, 99.8])
                axis.plot(values, np.linspace(0, 1, len(values)), color=colour, label=label, linewidth=1.2)
                axis.set_xlim(low, high + 1e-6)
            axis.set_title(f"{kind}: {name}", fontsize=7)
            axis.tick_params(labelsize=6)
    axes[0, 0].legend(fontsize=6)
    figure.tight_layout()
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=70)


def main() -> None:
    """Print the tables, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulated", type=Path)
    parser.add_argument("--labels", type=Path, help="KITTI's label_2")
    parser.add_argument("--frames", type=Path, help="a KITTI object folder with LiDAR")
    parser.add_argument("--teacher", type=Path, help="a bundle of a LiDAR teacher")
    parser.add_argument("--limit", type=int, default=40, help="how many simulated frames the teacher sees")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.labels:
        calibration = KittiCalibration.read(min((options.simulated / "calib").glob("*.txt")))
        scale = KITTI_FOCAL / calibration.P2[1, 1]
        real = {kind: measure(options.labels, kind) for kind in CLASSES}
        simulated = {kind: measure(options.simulated / "label_2", kind, scale) for kind in CLASSES}
        print("| quantity | " + " | ".join(CLASSES) + " |\n|---|" + "---|" * len(CLASSES))
        for name in QUANTITIES:
            distances = [kolmogorov_smirnov(real[k].values[name], simulated[k].values[name]) for k in CLASSES]
            print(f"| {name} | " + " | ".join(f"{d:.2f}" for d in distances) + " |")
        means = [
            (real[k].values["objects a frame"].mean(), simulated[k].values["objects a frame"].mean()) for k in CLASSES
        ]
        print(
            "| objects a frame, mean: KITTI / simulated | " + " | ".join(f"{a:.2f} / {b:.2f}" for a, b in means) + " |"
        )
        if options.out:
            plot(real, simulated, options.out)
    if options.frames:
        sources = (KittiObjectSource(options.frames), KittiObjectSource(options.simulated))
        edges = np.array([0, 10, 20, 30, 40, 60])
        print("\n| median points in a car's box | " + " | ".join(f"{a}-{b} m" for a, b in pairwise(edges)) + " |")
        print("|---|" + "---|" * (len(edges) - 1))
        for name, source in zip(("KITTI frames", "simulated"), sources):
            distance, count = points_in_boxes(source, "Car")
            cells = [count[(distance >= a) & (distance < b)] for a, b in pairwise(edges)]
            print(
                f"| {name} | "
                + " | ".join(f"{np.median(c):.0f} (of {len(c)})" if len(c) else "-" for c in cells)
                + " |"
            )
        if options.teacher:
            for name, source in zip(("KITTI frames", "simulated"), sources):
                found, total = car_recall(source, options.teacher, options.limit)
                print(f"{name}: the teacher finds {found} of {total} cars within 40 m ({found / max(total, 1):.0%})")


if __name__ == "__main__":
    main()
