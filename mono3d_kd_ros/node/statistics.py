"""What became of the frames that reached a node: counts, drops by reason, rates and delays."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np

WINDOW_S = 5.0
"""Rates and delays are those of the last seconds."""


@dataclass(frozen=True)
class Delay:
    """Median and 95th percentile of some durations, in ms; NaN where there are none."""

    p50: float = float("nan")
    p95: float = float("nan")

    @classmethod
    def of(cls, milliseconds: list[float]) -> Delay:
        """Summarise durations."""
        return cls(*np.percentile(milliseconds, [50, 95]).tolist()) if milliseconds else cls()


@dataclass(frozen=True)
class Snapshot:
    """The state of a node's input at one moment. Counts are since the node started, the rest is of the last seconds.

    received = published + sum(dropped) + those still in work. age_s is the time since the last image, None before the
    first; late_s says for how long every frame has been late; lost images never reached the node, as the middleware tells.
    """

    received: int = 0
    published: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    dropped_lately: dict[str, int] = field(default_factory=dict)
    input_hz: float = 0.0
    output_hz: float = 0.0
    published_lately: int = 0
    age_s: float | None = None
    processing: Delay = field(default_factory=Delay)
    pipeline: Delay = field(default_factory=Delay)
    late_s: float = 0.0
    lost: int = 0
    lost_lately: int = 0


class FrameStatistics:
    """Counts frames; safe to use from several threads.

    A frame is late when more than `late_after` seconds pass between its arrival and its publication.
    """

    def __init__(self, late_after: float = float("inf")) -> None:
        self.late_after = late_after
        self._lock = threading.Lock()
        self._received = self._published = 0
        self._dropped: Counter[str] = Counter()
        self._arrivals: deque[float] = deque()
        self._outputs: deque[tuple[float, float, float]] = deque()
        self._drops: deque[tuple[float, str]] = deque()
        self._first_arrival: float | None = None
        self._last_arrival: float | None = None
        self._first_output: float | None = None
        self._late_since: float | None = None
        self._lost = 0
        self._losses: deque[tuple[float, int]] = deque()

    def lose(self, count: int) -> None:
        """Count images that the middleware gave up before they reached the node."""
        with self._lock:
            self._lost += count
            self._losses.append((time.monotonic(), count))

    def receive(self) -> None:
        """Count an image that has arrived."""
        with self._lock:
            self._received += 1
            self._last_arrival = time.monotonic()
            self._first_arrival = self._first_arrival or self._last_arrival
            self._arrivals.append(self._last_arrival)

    def publish(self, processing_s: float, pipeline_s: float) -> None:
        """Count a frame that was answered: processing is the work on it, pipeline the time since it arrived."""
        now = time.monotonic()
        with self._lock:
            self._published += 1
            self._first_output = self._first_output or now
            self._outputs.append((now, processing_s * 1e3, pipeline_s * 1e3))
            if pipeline_s <= self.late_after:
                self._late_since = None
            elif self._late_since is None:
                self._late_since = now

    def drop(self, reason: str) -> None:
        """Count a frame that was given up."""
        with self._lock:
            self._dropped[reason] += 1
            self._drops.append((time.monotonic(), reason))

    @property
    def in_work(self) -> int:
        """How many frames have come and are neither answered nor dropped yet."""
        with self._lock:
            return self._in_work()

    def _in_work(self) -> int:
        return self._received - self._published - sum(self._dropped.values())

    def snapshot(self) -> Snapshot:
        """Return the counts of now."""
        now = time.monotonic()
        with self._lock:
            _forget(self._outputs, now)
            _forget(self._drops, now)
            _forget(self._losses, now)
            if not self._outputs and self._in_work() == 0:
                self._late_since = None  # nobody waits for a frame any more
            while self._arrivals and self._arrivals[0] < now - WINDOW_S:
                self._arrivals.popleft()
            return Snapshot(
                self._received, self._published, dict(self._dropped), dict(Counter(reason for _, reason in self._drops)),
                _rate(self._arrivals, self._first_arrival, now), _rate(self._outputs, self._first_output, now),
                len(self._outputs), None if self._last_arrival is None else now - self._last_arrival,
                Delay.of([p for _, p, _ in self._outputs]), Delay.of([p for _, _, p in self._outputs]),
                0.0 if self._late_since is None else now - self._late_since,
                self._lost, sum(count for _, count in self._losses),
            )  # fmt: skip


def _forget(entries: deque, now: float) -> None:  # type: ignore[type-arg]
    while entries and entries[0][0] < now - WINDOW_S:
        entries.popleft()


def _rate(times: Collection[object], first: float | None, now: float) -> float:
    """Events per second of the window, or since the `first` of all where that is more recent."""
    if first is None:
        return 0.0
    if now - first >= WINDOW_S:
        return len(times) / WINDOW_S
    return max(0, len(times) - 1) / max(now - first, 1e-9)
