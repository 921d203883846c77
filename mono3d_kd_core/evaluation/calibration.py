"""Does the detector know what it does not know: its depth uncertainty and its score against what came of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.geometry.rigid import Matrix

Law = Literal["normal", "laplace"]
LAWS: tuple[Law, Law] = ("normal", "laplace")
INTERVALS = (0.5, 0.9, 0.95)
BINS = 10


@dataclass(frozen=True)
class DepthCalibration:
    """How a predicted standard deviation fits the errors it stands for, N of them.

    coverage[law][p] is the share of errors inside the central interval that should hold a share p of them; nll[law] is the
    mean negative log-likelihood in nats (metres); spread is the root mean square of error / std: 1 where the uncertainty
    is right, above 1 where the detector is too sure. Networks of the MonoDLE family are trained with the Laplace law.
    """

    count: int
    coverage: dict[Law, dict[float, float]]
    nll: dict[Law, float]
    spread: float
    mean_std: float

    @classmethod
    def of(cls, error: ArrayLike, std: ArrayLike) -> DepthCalibration | None:
        """Compare errors (N,) with their predicted std (N,), metres; pairs without a positive std are left out."""
        errors, stds = np.abs(np.asarray(error, np.float64)), np.asarray(std, np.float64)
        known = np.isfinite(stds) & (stds > 0) & np.isfinite(errors)
        if not known.any():
            return None
        errors, stds = errors[known], stds[known]
        ratio = errors / stds
        coverage = {law: {p: float((ratio <= half_width(law, p)).mean()) for p in INTERVALS} for law in LAWS}
        scale = stds / math.sqrt(2)  # a Laplace law of scale b has the standard deviation b * sqrt(2)
        nll: dict[Law, float] = {
            "normal": float((0.5 * np.log(2 * math.pi * stds**2) + ratio**2 / 2).mean()),
            "laplace": float((np.log(2 * scale) + errors / scale).mean()),
        }
        return cls(len(errors), coverage, nll, float(np.sqrt((ratio**2).mean())), float(stds.mean()))

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        coverage = {law: {f"{p:g}": share for p, share in each.items()} for law, each in self.coverage.items()}
        return {**vars(self), "coverage": coverage}


def half_width(law: Law, share: float) -> float:
    """Return how many standard deviations the central interval reaches to each side that holds `share` of a law."""
    if law == "normal":
        return NormalDist().inv_cdf((1 + share) / 2)
    return -math.log(1 - share) / math.sqrt(2)


@dataclass(frozen=True)
class ScoreCalibration:
    """The reliability curve of a score (Guo et al., ICML 2017).

    edges (B+1,) of the bins; count (B,) detections in each; confidence (B,) their mean score and accuracy (B,) the share of
    them that is right, NaN where empty; ece the expected calibration error, the mean gap between the two weighted by count.
    """

    edges: Matrix
    count: NDArray[np.int64]
    confidence: Matrix
    accuracy: Matrix
    ece: float

    @classmethod
    def of(cls, score: ArrayLike, right: ArrayLike, bins: int = BINS) -> ScoreCalibration | None:
        """Compare scores (N,) with whether each detection is right (N,). None where scores are no probabilities."""
        scores, hits = np.asarray(score, np.float64), np.asarray(right, np.float64)
        if len(scores) == 0 or scores.min() < 0 or scores.max() > 1:
            return None
        edges = np.linspace(0, 1, bins + 1)
        bin_ = np.minimum((scores * bins).astype(np.int64), bins - 1)
        count = np.bincount(bin_, minlength=bins)
        with np.errstate(invalid="ignore"):
            confidence = np.bincount(bin_, scores, bins) / count
            accuracy = np.bincount(bin_, hits, bins) / count
        gap = np.where(count > 0, np.abs(confidence - accuracy), 0)
        return cls(edges, count, confidence, accuracy, float((gap * count).sum() / len(scores)))

    def as_json(self) -> dict[str, Any]:
        """Return plain lists, null where a bin is empty."""
        return {
            "edges": self.edges.tolist(),
            "count": self.count.tolist(),
            "confidence": [None if np.isnan(value) else float(value) for value in self.confidence],
            "accuracy": [None if np.isnan(value) else float(value) for value in self.accuracy],
            "ece": self.ece,
        }


@dataclass(frozen=True)
class Latency:
    """Milliseconds a frame."""

    frames: int
    mean: float
    p50: float
    p95: float
    worst: float

    @classmethod
    def of(cls, milliseconds: ArrayLike) -> Latency:
        """Summarise times (N,), at least one."""
        times = np.asarray(milliseconds, np.float64)
        p50, p95 = np.percentile(times, [50, 95])
        return cls(len(times), float(times.mean()), float(p50), float(p95), float(times.max()))
