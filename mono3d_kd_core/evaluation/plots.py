"""Pictures of an evaluation: precision against recall, errors against distance, and calibration."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mono3d_kd_core.evaluation.details import ClassDetails
from mono3d_kd_core.evaluation.errors import Band
from mono3d_kd_core.evaluation.kitti_ap import ClassResult, KittiResult
from mono3d_kd_core.evaluation.kitti_rules import LEVELS, metrics_of
from mono3d_kd_core.io.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#1b7837", "#2166ac", "#b2182b")
NAMES = {"2d": "2D boxes", "aos": "orientation", "bev": "bird's eye view", "3d": "3D boxes"}


def plot_evaluation(folder: Path, result: KittiResult, details: Mapping[str, ClassDetails]) -> list[Path]:
    """Write <class>_precision_recall.png and <class>_details.png of every class that was detected; return their paths."""
    written = []
    for name, each in result.classes.items():
        if each.detections == 0:
            continue
        written.append(_save(folder / f"{name.lower()}_precision_recall.png", _precision_recall(name, each)))
        written.append(_save(folder / f"{name.lower()}_details.png", _details(name, details[name])))
    return written


def _figure(width: float, height: float, rows: int, columns: int) -> tuple[Figure, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)  # no window system is asked for anything
    return figure, figure.subplots(rows, columns)


def _save(path: Path, figure: Figure) -> Path:
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())
    return path


def _precision_recall(name: str, each: ClassResult) -> Figure:
    figure, grid = _figure(12, 7.2, 2, 3)
    figure.suptitle(f"{name}: precision against recall")
    recall = np.linspace(0, 100, 41)
    for axes, metric in zip(grid.flat, metrics_of(name)):
        curve = each.curves.get(metric.name)
        kind = "aos" if metric.orientation else metric.space
        axes.set(title=f"{NAMES[kind]}, IoU > {metric.min_overlap:g}", xlim=(0, 100), ylim=(0, 102))
        axes.set(xlabel="recall %", ylabel="similarity %" if metric.orientation else "precision %")
        axes.grid(alpha=0.3)
        if curve is None:
            axes.text(50, 50, "the detections carry none", ha="center", color="grey")
            continue
        for k, level in enumerate(LEVELS):
            label = f"{level.name}: {curve.r40[k]:.2f}"
            # Recall that is never reached is drawn as a fall to zero, not as a line along it.
            reached = int(np.count_nonzero(curve.precision[k]))
            shown = slice(0, min(reached + 1, 41))
            axes.plot(recall[shown], curve.precision[k, shown], color=COLOURS[k], label=label, lw=1.8)
        axes.legend(loc="lower left", title="AP40", fontsize=9)
    return figure


def _details(name: str, each: ClassDetails) -> Figure:
    figure, grid = _figure(12, 7.2, 2, 2)
    figure.suptitle(f"{name}: what average precision hides")
    _plot_found(grid[0, 0], each.bands[:-1])
    _plot_errors(grid[0, 1], each.bands[:-1])
    _plot_score(grid[1, 0], each)
    _plot_coverage(grid[1, 1], each)
    return figure


def _ticks(axes: Axes, bands: list[Band]) -> np.ndarray[Any, np.dtype[np.int64]]:
    places = np.arange(len(bands))
    names = [f"{b.near:g}-{b.far:g} m" if np.isfinite(b.far) else f"{b.near:g}+ m" for b in bands]
    axes.set_xticks(places, [f"{label}\n{band.objects} objects" for label, band in zip(names, bands)])
    axes.grid(alpha=0.3, axis="y")
    return places


def _plot_found(axes: Axes, bands: list[Band]) -> None:
    places = _ticks(axes, bands)
    columns = (("seen", "seen on the image"), ("recall", "placed within 2 m"), ("precision", "right among detections"))
    for k, (key, label) in enumerate(columns):
        values = [100 * getattr(band, key) for band in bands]
        axes.bar(places + 0.26 * (k - 1), values, 0.24, color=COLOURS[k], label=label)
    axes.set(ylabel="%", ylim=(0, 122), yticks=range(0, 101, 20), title="found")
    axes.legend(fontsize=8, ncols=3, loc="upper center", columnspacing=1.0, handlelength=1.2)


def _plot_errors(axes: Axes, bands: list[Band]) -> None:
    places = _ticks(axes, bands)
    columns = (("longitudinal", "along the line of sight"), ("lateral", "across"), ("vertical", "up"))
    for k, (key, label) in enumerate(columns):
        values = [band.errors[key].mean_abs for band in bands]
        axes.bar(places + 0.26 * (k - 1), values, 0.24, color=COLOURS[k], label=label)
    bias = [band.errors["longitudinal"].bias for band in bands]
    axes.scatter(places - 0.26, bias, color="k", s=18, zorder=3, label="bias along")
    axes.axhline(0, color="k", lw=0.6)
    axes.set(ylabel="mean absolute error, m", title="errors of what is seen")
    axes.legend(fontsize=9)


def _plot_score(axes: Axes, each: ClassDetails) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share placed within 2 m", title="score")
    axes.plot([0, 1], [0, 1], color="grey", ls="--", lw=1)
    axes.grid(alpha=0.3)
    if each.score is None:
        axes.text(0.65, 0.25, "the scores are no probabilities", ha="center", color="grey")
        return
    axes.plot(each.score.confidence, each.score.accuracy, "o-", color=COLOURS[1], clip_on=False)
    share = each.score.count / each.score.count.sum()
    edges = each.score.edges
    axes.bar(edges[:-1], share, np.diff(edges), align="edge", color="#cccccc", label="share of detections")
    axes.set_title(f"score: expected calibration error {each.score.ece:.3f}")
    axes.legend(fontsize=9, loc="upper left")


def _plot_coverage(axes: Axes, each: ClassDetails) -> None:
    axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="interval %", ylabel="errors inside %", title="depth uncertainty")
    axes.plot([0, 100], [0, 100], color="grey", ls="--", lw=1)
    axes.grid(alpha=0.3)
    if each.depth is None:
        axes.text(65, 25, "the detections carry none", ha="center", color="grey")
        return
    for k, (law, coverage) in enumerate(each.depth.coverage.items()):
        shares = np.array([[100 * p, 100 * share] for p, share in coverage.items()])
        axes.plot(*shares.T, "o-", color=COLOURS[k], clip_on=False, label=f"{law}: NLL {each.depth.nll[law]:.2f}")
    axes.set_title(f"depth uncertainty: errors are {each.depth.spread:.2f} of what it says")
    axes.legend(fontsize=9, loc="upper left")
