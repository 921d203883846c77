"""Calibration recognises the law that errors were drawn from, and a score that means what it says."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.evaluation.calibration import INTERVALS, DepthCalibration, Latency, ScoreCalibration, half_width


@pytest.mark.parametrize("law", ["normal", "laplace"])
def test_the_right_law_covers_what_it_says(law: str) -> None:
    rng = np.random.default_rng(0)
    std = rng.uniform(0.5, 4, 200_000)
    drawn = rng.normal(0, std) if law == "normal" else rng.laplace(0, std / np.sqrt(2))
    calibration = DepthCalibration.of(drawn, std)
    assert calibration is not None
    for share in INTERVALS:
        assert calibration.coverage[law][share] == pytest.approx(share, abs=0.004)  # type: ignore[index]
    assert calibration.spread == pytest.approx(1, abs=0.01)
    assert min(calibration.nll, key=lambda key: calibration.nll[key]) == law


def test_known_quantiles() -> None:
    assert half_width("normal", 0.95) == pytest.approx(1.959964, abs=1e-6)
    # P(|x| <= t) = 1 - exp(-sqrt(2) t) for a Laplace law of standard deviation 1.
    assert 1 - np.exp(-np.sqrt(2) * half_width("laplace", 0.9)) == pytest.approx(0.9)


def test_likelihoods_by_hand() -> None:
    calibration = DepthCalibration.of([0.0, 2.0], [1.0, 2.0])
    assert calibration is not None
    normal = np.mean([0.5 * np.log(2 * np.pi), 0.5 * np.log(2 * np.pi * 4) + 0.5])
    laplace = np.mean([np.log(np.sqrt(2)), np.log(2 * np.sqrt(2)) + np.sqrt(2)])
    assert calibration.nll == {"normal": pytest.approx(normal), "laplace": pytest.approx(laplace)}
    assert calibration.spread == pytest.approx(np.sqrt(0.5))


def test_too_sure_a_detector_is_told_so() -> None:
    error = np.random.default_rng(1).normal(0, 3, 1000)
    calibration = DepthCalibration.of(error, np.ones(1000))
    assert calibration is not None
    assert calibration.spread == pytest.approx(3, rel=0.1)
    assert calibration.coverage["normal"][0.95] < 0.6


def test_pairs_without_uncertainty_are_left_out() -> None:
    assert DepthCalibration.of([1.0, 2.0], [np.nan, 0.0]) is None
    calibration = DepthCalibration.of([1.0, 2.0, 3.0], [np.nan, 1.0, -1.0])
    assert calibration is not None
    assert calibration.count == 1


def test_a_score_that_is_a_probability_has_no_calibration_error() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(100_000)
    honest = ScoreCalibration.of(score, rng.random(100_000) < score)
    boastful = ScoreCalibration.of(score, rng.random(100_000) < score**2)
    assert honest is not None
    assert boastful is not None
    assert honest.ece < 0.01
    # The mean of s - s^2 over [0, 1].
    assert boastful.ece == pytest.approx(1 / 6, abs=0.01)


def test_reliability_bins_by_hand() -> None:
    calibration = ScoreCalibration.of([0.05, 0.15, 0.15, 1.0], [0, 1, 0, 1])
    assert calibration is not None
    assert calibration.count.tolist() == [1, 2, 0, 0, 0, 0, 0, 0, 0, 1]
    assert calibration.accuracy[[0, 1, 9]].tolist() == [0, 0.5, 1]
    assert calibration.ece == pytest.approx((0.05 + 2 * 0.35 + 0) / 4)
    assert calibration.as_json()["accuracy"][2] is None


@pytest.mark.parametrize("score", [[], [-0.1, 0.5], [0.5, 7.0]])
def test_scores_that_are_no_probabilities_are_not_calibrated(score: list[float]) -> None:
    assert ScoreCalibration.of(score, np.ones(len(score))) is None


def test_latency() -> None:
    latency = Latency.of([10, 20, 30, 40, 100])
    assert (latency.frames, latency.mean, latency.p50, latency.worst) == (5, 40, 30, 100)
    assert latency.p95 == pytest.approx(88)
