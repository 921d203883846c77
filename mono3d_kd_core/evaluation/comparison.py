"""Is one detector better than another: average precision over seeds, and differences with their uncertainty.

Two things make a figure uncertain. Which frames happened to be in the set: frames are drawn with replacement, the same for
all runs (paired bootstrap, Efron & Tibshirani 1993), and all averages computed anew. And the luck of training: with K seeds
a mean is off by their standard deviation / sqrt(K) times a Student t of K - 1 degrees of freedom, drawn once for each set of
frames. With one seed the second is unknown, which the verdict says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.kitti_curve import CurveProblem
from mono3d_kd_core.evaluation.kitti_overlaps import Overlaps
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, Level, Metric, found_use, metrics_of, truth_use
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_table import LabelTable


@dataclass(frozen=True)
class Target:
    """The average precision (R40) that is compared, such as Car/3d@0.7/moderate."""

    name: str
    metric: Metric
    level: Level

    def __str__(self) -> str:
        return f"{self.name}/{self.metric.name}/{self.level.name}"

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read "Car/3d@0.7/moderate"; the level may be left out. Raises DataError saying what there is."""
        name, _, rest = text.partition("/")
        metric, _, level = rest.partition("/")
        if name not in CLASSES:
            raise DataError(f'"{text}": expected class/metric/level, with one of the classes {", ".join(CLASSES)}')
        metrics = {each.name: each for each in metrics_of(name)}
        if metric not in metrics:
            raise DataError(f'"{text}": {name} has the metrics {", ".join(metrics)}')
        levels = {each.name: each for each in LEVELS}
        if (level or "moderate") not in levels:
            raise DataError(f'"{text}": the levels are {", ".join(levels)}')
        return cls(name, metrics[metric], levels[level or "moderate"])


@dataclass(frozen=True)
class RunFigure:
    """The average precision of one run: each seed (K,), and their mean and sample standard deviation (NaN for one seed)."""

    seeds: Matrix

    @property
    def mean(self) -> float:
        return float(self.seeds.mean())

    @property
    def std(self) -> float:
        return float(self.seeds.std(ddof=1)) if len(self.seeds) > 1 else np.nan


@dataclass(frozen=True)
class Difference:
    """How much better `first` is than `second`: the difference of means ± half of its 95 % interval, in AP.

    trained_once names the runs of one seed, whose luck in training the interval cannot contain.
    """

    first: str
    second: str
    target: Target
    value: float
    half_width: float
    trained_once: tuple[str, ...]

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return abs(self.value) > self.half_width

    @property
    def verdict(self) -> str:
        """One sentence; it names a winner only where the difference is clear."""
        better, worse = (self.first, self.second) if self.value > 0 else (self.second, self.first)
        if self.is_clear:
            text = f"{better} is better than {worse} by {abs(self.value):.2f} ± {self.half_width:.2f} AP"
        else:
            text = f"{self.first} and {self.second} are not distinguishable: {self.value:+.2f} ± {self.half_width:.2f} AP"
        if self.trained_once:
            text += f" (one seed of {' and '.join(self.trained_once)}: the luck of training is not counted)"
        return text


@dataclass(frozen=True)
class Comparison:
    """Figures of all runs and differences of all pairs of them, by target."""

    figures: Mapping[str, Mapping[Target, RunFigure]]
    differences: Sequence[Difference]
    frames: int
    samples: int

    def as_json(self) -> dict[str, Any]:
        """Return plain values; standard deviations of a single seed are null."""
        return {
            "frames": self.frames,
            "bootstrap_samples": self.samples,
            "runs": {
                name: {
                    str(target): {
                        "seeds": figure.seeds.tolist(), "mean": figure.mean,
                        "std": None if np.isnan(figure.std) else figure.std,
                    }
                    for target, figure in each.items()
                }
                for name, each in self.figures.items()
            },
            "differences": [
                {
                    "first": each.first, "second": each.second, "metric": str(each.target), "difference": each.value,
                    "interval_95": [each.value - each.half_width, each.value + each.half_width],
                    "clear": each.is_clear, "verdict": each.verdict,
                }
                for each in self.differences
            ],
        }  # fmt: skip


def compare_runs(
    labels: LabelTable, runs: Mapping[str, Sequence[LabelTable]], targets: Sequence[Target], *, samples: int = 1000,
    seed: int = 0, groups: NDArray[np.generic] | None = None, progress: Callable[[], None] = lambda: None,
) -> Comparison:  # fmt: skip
    """Compare runs, each of one or more seeds' detections on the frames of `labels`.

    groups (F,) names what the frames of each drive have in common: then whole drives are drawn instead of frames, since
    frames of a drive are alike. `progress` is called once for each seed of each run.
    """
    weights = list(_draw(len(labels), groups, samples, np.random.default_rng(seed)))
    jobs = [(name, index, found) for name, tables in runs.items() for index, found in enumerate(tables)]

    def work(found: LabelTable) -> Matrix:
        overlaps = Overlaps.between(labels, found)
        result = np.stack([_averages(labels, found, overlaps, target, weights) for target in targets])
        progress()
        return result

    with ThreadPoolExecutor(2) as pool:
        averages = list(pool.map(work, (found for _, _, found in jobs)))
    by_run = {name: np.stack([a for a, job in zip(averages, jobs) if job[0] == name]) for name in runs}
    figures = {name: {t: RunFigure(each[:, k, 0]) for k, t in enumerate(targets)} for name, each in by_run.items()}
    luck = np.random.default_rng([seed, 1])
    spread = {name: _spread(each, luck) for name, each in by_run.items()}
    differences = [
        _difference(first, second, target, figures, spread[first][k] - spread[second][k])
        for k, target in enumerate(targets)
        for first, second in combinations(runs, 2)
    ]
    return Comparison(figures, differences, len(labels), samples)


def _draw(
    frames: int, groups: NDArray[np.generic] | None, samples: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield how often each frame counts: first once each, then as drawn."""
    yield np.ones(frames, np.int64)
    group = np.arange(frames) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(group.max()) + 1 if frames else 0
    for _ in range(samples):
        yield np.bincount(rng.integers(0, count, count), minlength=count)[group].astype(np.int64)


def _averages(
    labels: LabelTable, found: LabelTable, overlaps: Overlaps, target: Target, weights: Sequence[NDArray[np.int64]]
) -> Matrix:
    """Return the average precision (1+S,) in percent for each weighting of the frames."""
    use = truth_use(labels.rows, target.name, target.level), found_use(found.rows, target.name, target.level)
    problem = CurveProblem.build(labels, found, overlaps, *use, target.metric)
    curve = 1 if target.metric.orientation else 0
    return np.array([100 * problem.solve(weight)[curve][1:].mean() for weight in weights])


def _spread(averages: Matrix, rng: np.random.Generator) -> Matrix:
    """Return the mean over seeds (T,S) for each sample, with the luck of training added; averages is (K,T,1+S)."""
    seeds = len(averages)
    mean = np.asarray(averages[:, :, 1:].mean(0))
    if seeds == 1:
        return mean
    error = averages[:, :, 0].std(0, ddof=1) / np.sqrt(seeds)
    return np.asarray(mean + error[:, None] * rng.standard_t(seeds - 1, mean.shape))


def _difference(
    first: str, second: str, target: Target, figures: Mapping[str, Mapping[Target, RunFigure]], drawn: Matrix
) -> Difference:
    one, other = figures[first][target], figures[second][target]
    # About the median: the 40 steps of recall make the average of a redrawn set of frames differ a little in level.
    half_width = float(np.percentile(np.abs(drawn - np.median(drawn)), 95))
    once = tuple(name for name, figure in ((first, one), (second, other)) if len(figure.seeds) == 1)
    return Difference(first, second, target, one.mean - other.mean, half_width, once)
