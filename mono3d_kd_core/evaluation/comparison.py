"""Is one detector better than another: average precision over seeds, and differences with their uncertainty.

Two things make a figure uncertain. Which frames happened to be in the set: frames are drawn with replacement, the same for
all runs (paired bootstrap, Efron & Tibshirani 1993), and all averages computed anew. And the luck of training: with K seeds
a mean is off by their standard deviation / sqrt(K) times a Student t of K - 1 degrees of freedom, drawn once for each set of
frames. With one seed the second is unknown, which the verdict says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.comparison_result import Comparison, Difference, RunFigure, Target
from mono3d_kd_core.evaluation.kitti_curve import CurveProblem
from mono3d_kd_core.evaluation.kitti_overlaps import Overlaps
from mono3d_kd_core.evaluation.kitti_rules import found_use, has_orientation, truth_use
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_table import LabelTable


def compare_runs(
    labels: LabelTable, runs: Mapping[str, Sequence[LabelTable]], targets: Sequence[Target], *, samples: int = 1000,
    seed: int = 0, groups: NDArray[np.generic] | None = None, progress: Callable[[], None] = lambda: None,
) -> Comparison:  # fmt: skip
    """Compare runs, each of one or more seeds' detections on the frames of `labels`.

    groups (F,) names what the frames of each drive have in common: then whole drives are drawn instead of frames, since
    frames of a drive are alike. `progress` is called once for each seed of each run. Raises DataError where orientation is
    to be compared and a run has none.
    """
    _check_orientation(runs, targets)
    weights = list(_draw(len(labels), groups, samples, np.random.default_rng(seed)))
    jobs = [(name, found) for name, tables in runs.items() for found in tables]

    def work(found: LabelTable) -> Matrix:
        overlaps = Overlaps.between(labels, found)
        result = np.stack([_averages(labels, found, overlaps, target, weights) for target in targets])
        progress()
        return result

    with ThreadPoolExecutor(2) as pool:
        averages = list(pool.map(work, (found for _, found in jobs)))
    by_run = {name: np.stack([each for each, (run, _) in zip(averages, jobs) if run == name]) for name in runs}
    figures = {name: {t: RunFigure(each[:, k, 0]) for k, t in enumerate(targets)} for name, each in by_run.items()}
    luck = np.random.default_rng([seed, 1])
    spread = {name: _spread(each, luck) for name, each in by_run.items()}
    differences = [
        _difference(first, second, target, figures, spread[first][k] - spread[second][k])
        for k, target in enumerate(targets)
        for first, second in combinations(runs, 2)
    ]
    return Comparison(figures, differences, len(labels), samples)


def _check_orientation(runs: Mapping[str, Sequence[LabelTable]], targets: Sequence[Target]) -> None:
    asked = next((target for target in targets if target.metric.orientation), None)
    for name, tables in runs.items():
        if asked and not all(has_orientation(table.rows) for table in tables):
            raise DataError(f"{name}: {asked} cannot be compared: the detections carry no orientation (alpha is -10)")


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
