"""How much simulated sweeps measure like KITTI's: points in labelled boxes against distance, and a real teacher's recall.

Example:
  python -m benchmarks.simulator_lidar data/sim-small/training --frames KITTI/training --limit 400 \\
      --out docs/images/simulator_points.png --teacher BUNDLE --sweeps 60
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
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.simulation.lidar.beams import MODELS
from mono3d_kd_core.simulation.lidar.scanner import trace
from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.shapes import box

CLASSES = ("Car", "Pedestrian", "Cyclist")
BANDS = tuple(pairwise((0, 10, 20, 30, 40, 60)))
"""Distances in metres, from and to."""
WHOLE = 0.05
"""Boxes that the image cuts by less than this share count as whole."""
MARGIN = 0.05
"""Metres by which boxes are widened: simulated ones touch the surface, and range noise puts points outside. KITTI's were
drawn around the points."""

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Counted:
    """N labelled objects of a class: distance (N,) in metres, level of occlusion (N,), points (N,) in their boxes, and
    beams (N,) of an HDL-64E that meet the box when nothing is in between."""

    distance: Vector
    occluded: Vector
    points: Vector
    beams: Vector

    def within(self, near: float, far: float) -> NDArray[np.bool_]:
        """Tell which objects are between two distances."""
        return np.asarray((self.distance >= near) & (self.distance < far))


def count(source: KittiObjectSource, kind: str, limit: int) -> Counted:
    """Count the points in the boxes of one class, in the first `limit` frames that have a LiDAR sweep."""
    rows: list[Vector] = []
    for index in range(min(limit, len(source))):
        frame = source[index]
        if frame.points is None:
            continue
        labels = source.labels(index)
        labels = labels[(labels.type == kind) & (labels.truncated < WHOLE)]
        boxes = frame.rig.boxes_in_lidar(labels.boxes())
        distance = np.hypot(*boxes.centre[:, :2].T)
        points = boxes.contains(frame.points, MARGIN).sum(1)
        rows.append(np.column_stack([distance, labels.occluded, points, beams_on(boxes)]))
    return Counted(*np.concatenate(rows).T)


def beams_on(boxes: Boxes3D) -> NDArray[np.int64]:
    """Return how many beams of an HDL-64E meet each box, as if it stood alone."""
    here = np.eye(4, dtype=np.float32)[None, None, :3]
    meshes = [
        box(*size, (0, 0, 0), Material.PAINT).moved(*(centre - [0, 0, size[2] / 2]), yaw)
        for centre, size, yaw in zip(boxes.centre, boxes.size, boxes.yaw)
    ]
    hits = [trace(mesh.corners, np.zeros(len(mesh), np.int32), here, MODELS["hdl64"])[1] for mesh in meshes]
    return np.array([(triangle >= 0).sum() for triangle in hits], np.int64)


def recall_of_cars(source: KittiObjectSource, bundle: Path, sweeps: int) -> tuple[int, int, int]:
    """Return how many cars within 40 m a teacher finds at 3D IoU 0.5, how many there are, and on how many sweeps."""
    from mono3d_kd_core.deploy.loading import load_teacher

    teacher = load_teacher(bundle)
    found = total = used = 0
    for index in range(len(source)):
        frame = source[index]
        cars = source.labels(index).boxes()
        cars = cars[np.flatnonzero((cars.label == "Car") & (np.hypot(*cars.centre[:, :2].T) < 40))]
        if frame.points is None or not len(cars) or used == sweeps:
            continue
        seen = frame.rig.boxes_in_lidar(teacher.observe(frame).boxes)
        seen = seen[np.flatnonzero(seen.label == "Car")]
        overlap = (
            iou_3d(rows_3d(frame.rig.boxes_in_lidar(cars)), rows_3d(seen)) if len(seen) else np.zeros((len(cars), 1))
        )
        found, total, used = found + int((overlap.max(1) >= 0.5).sum()), total + len(cars), used + 1
    return found, total, used


def print_tables(counted: dict[str, dict[str, Counted]]) -> None:
    """Print the median points of all labelled objects, and the share of beams that return from those nothing hides."""
    head = " | ".join(f"{near}-{far} m" for near, far in BANDS) + " |\n|---|" + "---|" * len(BANDS)
    print(f"\n| median points in the box | {head}")
    for kind in CLASSES:
        for origin, classes in counted.items():
            c = classes[kind]
            print(f"| {kind}, {origin} | " + " | ".join(_median(c.points[c.within(*b)], ".0f") for b in BANDS) + " |")
    print(f"\n| share of the beams on an unoccluded box that return from it, median | {head}")
    for kind in CLASSES:
        for origin, classes in counted.items():
            c = classes[kind]
            shares = [(c.points / np.maximum(c.beams, 1))[c.within(*b) & (c.occluded == 0)] for b in BANDS]
            print(f"| {kind}, {origin} | " + " | ".join(_median(s, ".2f") for s in shares) + " |")


def _median(values: Vector, form: str) -> str:
    return f"{np.median(values):{form}} (of {len(values)})" if len(values) else "-"


def plot(real: dict[str, Counted], simulated: dict[str, Counted], out: Path) -> None:
    """Draw points in the box against distance: simulated medians with their middle 80 %, and each real object."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 11
    figure, axes = plt.subplots(1, len(CLASSES), figsize=(13, 4.6), sharey=True)
    for axis, kind in zip(axes, CLASSES):
        for hidden, colour in ((False, "tab:blue"), (True, "tab:orange")):
            s, r = simulated[kind], real[kind]
            what = "partly or largely occluded" if hidden else "not occluded"
            mine = (s.occluded > 0) == hidden
            edges = [(d, d * 1.25) for d in 5 * 1.25 ** np.arange(12)]
            kept = [(np.sqrt(a * b), s.points[mine & s.within(a, b)]) for a, b in edges]
            kept = [(d, p) for d, p in kept if len(p) >= 5]
            d = [at for at, _ in kept]
            low, middle, high = np.array([np.percentile(p, [10, 50, 90]) for _, p in kept]).T
            axis.plot(d, middle, color=colour, label=f"simulated, {what}: median and middle 80 %")
            axis.fill_between(d, low, high, color=colour, alpha=0.2, linewidth=0)
            theirs = ((r.occluded > 0) & (r.occluded < 3)) if hidden else r.occluded == 0
            axis.plot(r.distance[theirs], r.points[theirs], "o" if not hidden else "^", color=colour, markeredgecolor="k",
                      label=f"KITTI, {what}: each object")  # fmt: skip
        axis.set(xscale="log", yscale="log", xlim=(4, 80), ylim=(1, 8000), title=kind, xlabel="distance (m)")
        axis.set_xticks([5, 10, 20, 40, 80], ["5", "10", "20", "40", "80"])
        axis.set_xticks([], minor=True)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("LiDAR points in the labelled box")
    figure.tight_layout(rect=(0, 0, 1, 0.87))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=2, loc="upper center", frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main() -> None:
    """Print the tables, draw the plot, ask the teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulated", type=Path, help="a simulated folder")
    parser.add_argument("--frames", type=Path, required=True, help="a KITTI object folder with LiDAR")
    parser.add_argument("--limit", type=int, default=400, help="how many simulated frames are counted")
    parser.add_argument("--out", type=Path, help="the plot to write")
    parser.add_argument("--teacher", type=Path, help="a bundle of a LiDAR teacher")
    parser.add_argument("--sweeps", type=int, default=60, help="how many sweeps with cars within 40 m the teacher sees")
    options = parser.parse_args()
    sources = {"KITTI": KittiObjectSource(options.frames), "simulated": KittiObjectSource(options.simulated)}
    counted = {origin: {kind: count(s, kind, options.limit) for kind in CLASSES} for origin, s in sources.items()}
    print_tables(counted)
    if options.out:
        plot(counted["KITTI"], counted["simulated"], options.out)
    if options.teacher:
        for origin, source in sources.items():
            found, total, used = recall_of_cars(source, options.teacher, options.sweeps)
            share = found / max(total, 1)
            print(f"{origin}: {found} of {total} cars within 40 m found ({share:.0%}) on {used} sweeps")


if __name__ == "__main__":
    main()
