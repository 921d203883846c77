"""How much simulated labels are distributed like KITTI's: a table of Kolmogorov-Smirnov distances, and a plot.

Example:
  mono3d-kd simulate --dataset sim-small --out data/sim-small
  python -m benchmarks.simulator_realism data/sim-small/training --labels KITTI/training/label_2 \\
      --out docs/images/simulator_distributions.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.io.kitti_calibration import KittiCalibration

CLASSES = {"Car": "tab:blue", "Pedestrian": "tab:orange", "Cyclist": "tab:green"}
UNITS = {
    "distance": "m", "sideways": "m, right is positive", "height of the ground": "m below the camera", "length": "m",
    "width": "m", "height": "m", "rotation_y": "rad", "alpha": "rad", "objects a frame": "", "2D height": "pixels",
    "truncation": "share", "occlusion": "level",
}  # fmt: skip
"""The quantities compared, and their units."""
KITTI_FOCAL = 721.5377

Vector = NDArray[np.float64]
Measured = dict[str, dict[str, Vector]]
"""Class -> quantity -> its values in all label files."""


def measure(folder: Path, focal: float = KITTI_FOCAL) -> Measured:
    """Measure all label files of a folder; heights in pixels are brought from `focal` to KITTI's focal length."""
    every = [KittiLabels.read(path) for path in sorted(folder.glob("*.txt"))]
    return {kind: _measure([labels[labels.type == kind] for labels in every], KITTI_FOCAL / focal) for kind in CLASSES}


def _measure(frames: list[KittiLabels], pixel_scale: float) -> dict[str, Vector]:
    """Return the values of each quantity for one class, given its labels in each frame."""
    location = np.concatenate([f.location for f in frames])
    dimensions = np.concatenate([f.dimensions for f in frames])
    bbox = np.concatenate([f.bbox for f in frames])
    occluded = np.concatenate([f.occluded for f in frames])
    return {
        "distance": location[:, 2], "sideways": location[:, 0], "height of the ground": location[:, 1],
        "length": dimensions[:, 2], "width": dimensions[:, 1], "height": dimensions[:, 0],
        "rotation_y": np.concatenate([f.rotation_y for f in frames]), "alpha": np.concatenate([f.alpha for f in frames]),
        "objects a frame": np.array([float(len(f)) for f in frames]),
        "2D height": (bbox[:, 3] - bbox[:, 1]) * pixel_scale,
        "truncation": np.concatenate([f.truncated for f in frames]),
        "occlusion": occluded[occluded < 3].astype(np.float64),  # 3 is "unknown"
    }  # fmt: skip


def kolmogorov_smirnov(a: Vector, b: Vector) -> float:
    """Return the largest distance between the two empirical distribution functions."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(v), at, "right") / len(v) for v in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def print_table(real: Measured, simulated: Measured) -> None:
    """Print the distances, and how many objects they rest on."""
    print("| quantity | " + " | ".join(CLASSES) + " |\n|---|" + "---|" * len(CLASSES))
    for name in UNITS:
        distances = [kolmogorov_smirnov(real[k][name], simulated[k][name]) for k in CLASSES]
        print(f"| {name} | " + " | ".join(f"{d:.2f}" for d in distances) + " |")
    for what, digest in (("objects a frame, mean", np.mean), ("objects", np.sum)):
        pairs = [[digest(m[k]["objects a frame"]) for m in (real, simulated)] for k in CLASSES]
        cells = [f"{a:.2f} / {b:.2f}" if digest is np.mean else f"{a:.0f} / {b:.0f}" for a, b in pairs]
        print(f"| {what}: KITTI / simulated | " + " | ".join(cells) + " |")


def plot(real: Measured, simulated: Measured, out: Path) -> None:
    """Draw the distribution functions of every quantity, KITTI's solid and the simulated ones dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams["font.size"] = 11
    figure, axes = plt.subplots(4, 3, figsize=(13, 14), sharey=True)
    for axis, (name, unit) in zip(axes.flat, UNITS.items()):
        for kind, colour in CLASSES.items():
            for origin, measured, dashes in (("KITTI", real, "-"), ("simulated", simulated, "--")):
                values = np.sort(measured[kind][name])
                share = np.arange(1, len(values) + 1) / len(values)
                axis.step(values, share, dashes, where="post", color=colour, linewidth=1.6, label=f"{kind}, {origin}")
        extremes = [np.percentile(real[kind][name], [0.3, 99.7]) for kind in CLASSES]
        axis.set_xlim(min(e[0] for e in extremes), max(e[1] for e in extremes) + 1e-6)
        axis.set_xlabel(f"{name} ({unit})" if unit else name)
        axis.grid(alpha=0.3)
    axes[3, 2].set_xticks([0, 1, 2])
    for axis in axes[:, 0]:
        axis.set_ylabel("share at or below")
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=3, loc="upper center", frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=80)


def main() -> None:
    """Print the table, draw the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("simulated", type=Path, help="a simulated folder")
    parser.add_argument("--labels", type=Path, required=True, help="KITTI's label_2, all 7481 files")
    parser.add_argument("--out", type=Path, help="the plot to write")
    options = parser.parse_args()
    calibration = KittiCalibration.read(min((options.simulated / "calib").glob("*.txt")))
    real, simulated = measure(options.labels), measure(options.simulated / "label_2", calibration.P2[1, 1])
    print_table(real, simulated)
    if options.out:
        plot(real, simulated, options.out)


if __name__ == "__main__":
    main()
