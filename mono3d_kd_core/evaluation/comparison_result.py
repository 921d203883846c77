"""What a comparison of runs says: figures, differences, and verdicts in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.evaluation.kitti_rules import CLASSES, LEVELS, Level, Metric, metrics_of
from mono3d_kd_core.geometry.rigid import Matrix


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
