"""The account of frames, and what the diagnostics make of it."""

from __future__ import annotations

import math
import time

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from mono3d_kd_ros.node.diagnostics import ERROR, OK, WARN, Finding, Limits, judge, status
from mono3d_kd_ros.node.statistics import FrameStatistics, Snapshot


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The steady clock, in seconds, that the test turns by hand."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_every_frame_is_accounted_for(clock: list[float]) -> None:
    frames = FrameStatistics()
    for _ in range(10):
        frames.receive()
    for _ in range(4):
        frames.publish(0.1, 0.2)
    for reason in ("busy", "busy", "bad_image"):
        frames.drop(reason)
    state = frames.snapshot()
    assert (state.received, state.published, state.dropped) == (10, 4, {"busy": 2, "bad_image": 1})
    assert frames.in_work == 3
    assert (state.processing.p50, state.pipeline.p95) == pytest.approx((100, 200))


def test_rates_are_those_of_the_last_seconds(clock: list[float]) -> None:
    frames = FrameStatistics()
    for _ in range(100):
        frames.receive()
        clock[0] += 0.1
    assert frames.snapshot().input_hz == pytest.approx(10, abs=0.3)
    clock[0] += 3
    assert frames.snapshot().input_hz == pytest.approx(4, abs=0.3)
    assert frames.snapshot().age_s == pytest.approx(3.1)
    clock[0] += 10
    assert frames.snapshot().input_hz == 0


def test_frames_are_late_until_one_is_not(clock: list[float]) -> None:
    frames = FrameStatistics(late_after=0.5)
    frames.publish(0.1, 0.6)
    clock[0] += 2
    frames.publish(0.1, 0.6)
    assert frames.snapshot().late_s == pytest.approx(2)
    frames.publish(0.1, 0.4)
    assert frames.snapshot().late_s == 0


def test_nothing_is_late_when_nobody_listens(clock: list[float]) -> None:
    frames = FrameStatistics(late_after=0.5)
    frames.receive()
    frames.publish(0.1, 0.6)
    clock[0] += 10
    frames.receive()
    assert frames.snapshot().late_s == pytest.approx(10)  # one is in work, and has been for long
    frames.drop("nobody_listens")
    assert frames.snapshot().late_s == 0


def test_no_durations_have_no_percentiles() -> None:
    assert math.isnan(FrameStatistics().snapshot().processing.p50)


GOOD = Snapshot(received=50, published=50, input_hz=10, output_hz=10, published_lately=50, age_s=0.1)


@pytest.mark.parametrize(
    ("frames", "level", "words"),
    [
        (Snapshot(), WARN, "no image on /cam yet"),
        (Snapshot(received=1, age_s=0.8), WARN, "no image on /cam for 0.8 s"),
        (Snapshot(received=1, age_s=3.0), ERROR, "no image on /cam for 3.0 s"),
        (Snapshot(received=9, age_s=0.1, input_hz=6.0), WARN, "only 6.0 of 10.0 images a second"),
        (Snapshot(received=9, age_s=0.1, input_hz=10, lost_lately=3), WARN, "3 images on /cam were lost"),
        (Snapshot(received=9, age_s=0.1, input_hz=10, late_s=0.5), WARN, "frames are late"),
        (Snapshot(received=9, age_s=0.1, input_hz=10, late_s=1.5), ERROR, "frames are late"),
        (Snapshot(received=9, age_s=0.1, input_hz=10, dropped_lately={"busy": 2}, published_lately=1), WARN, "2 busy"),
        (Snapshot(received=9, age_s=0.1, input_hz=10, dropped_lately={"bad_image": 2}), ERROR, "2 bad_image (it is odd)"),
    ],
)
def test_what_is_wrong_is_said_in_words(frames: Snapshot, level: bytes, words: str) -> None:
    [finding] = judge(frames, Limits(expected_hz=10), "/cam", {"bad_image": "it is odd"})
    assert finding.level == level
    assert words in finding.text


@pytest.mark.parametrize("dropped", [{}, {"nobody_listens": 3}, {"stopped": 1}])
def test_nothing_is_wrong_with_a_steady_flow(dropped: dict[str, int]) -> None:
    frames = Snapshot(**{**vars(GOOD), "dropped_lately": dropped})
    assert judge(frames, Limits(expected_hz=10), "/cam", {}) == []


def test_a_status_tells_the_worst_first() -> None:
    said = status("node", "hardware", [Finding(WARN, "hot"), Finding(ERROR, "on fire")], {"rate": "1"})
    assert (said.level, said.message) == (ERROR, "on fire; hot")
    assert status("node", "hardware", [], {}).level == OK
