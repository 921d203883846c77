"""Moving cars of one lane, which follow each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.actors.casting import Actor, draw_vehicle
from mono3d_kd_core.simulation.street.street import Street
from mono3d_kd_core.simulation.traffic.ways import Way

Vector = NDArray[np.float64]
DT = 0.05
"""Seconds between the steps of the car-following model."""
EARLIER = 2
"""Steps before time 0 at which the traffic starts, because a sweep begins before its stamp."""
SPEEDS = {"residential": 9.0, "urban": 11.0, "avenue": 15.0, "country": 20.0, "village": 11.0, "terrace": 8.0, "estate": 9.0,
          "parkway": 20.0}  # fmt: skip
"""Usual speeds, m/s."""


def drive_lane(
    street: Street,
    sign: int,
    lane: int,
    busy: float,
    seconds: float,
    held_out: bool,
    with_ego: bool,
    rng: np.random.Generator,
) -> tuple[list[Way], list[Actor]]:
    """One lane of moving cars, by the intelligent driver model (Treiber, Hennecke, Helbing 2000)."""
    usual = SPEEDS[street.kind] * float(rng.uniform(0.7, 1.25))
    jam = rng.random() < 0.16 * min(busy, 1.0)
    start, end = street.axis.start, street.axis.end
    # Positions run along the driving direction; the vehicle under test, when it drives here, is at 0.
    ahead = sorted(_spaced(5.5, (end if sign < 0 else -start) - 5, busy, jam, usual, rng))
    behind = (
        sorted(_spaced(7.0, (-start if sign < 0 else end) - 5, busy, jam, usual, rng))
        if not with_ego or seconds
        else []
    )
    position = np.array([-p for p in reversed(behind)] + ([0.0] if with_ego else []) + list(ahead))
    actors = [draw_vehicle(rng, held_out) for _ in range(len(position) - with_ego)]
    lengths = np.array([a.size[0] for a in actors])
    own = len(behind)
    if with_ego:
        lengths = np.insert(lengths, own, 4.4)
    # Long vehicles push those behind them back.
    for i in range(own - 1, -1, -1):
        if i + 1 < len(position):
            position[i] = min(position[i], position[i + 1] - (lengths[i] + lengths[i + 1]) / 2 - 1.5)
    for i in range(own + 1, len(position)):
        position[i] = max(position[i], position[i - 1] + (lengths[i] + lengths[i - 1]) / 2 + 1.5)
    track = _follow(position, lengths, usual, jam, seconds, rng)
    d = sign * (lane + 0.5) * street.side(sign).lane_width
    heading = 0.0 if sign < 0 else np.pi
    drift = rng.normal(0, 0.16, len(position))
    twist = rng.normal(0, 0.015, len(position))

    def way(i: int) -> Way:
        times = (np.arange(len(track)) - EARLIER) * DT
        return lambda t: (
            -sign * float(np.interp(t, times, track[:, i])), d + float(drift[i]), heading + float(twist[i]),
            float(np.interp(t, times, track[:, i]) - track[EARLIER, i]),
        )  # fmt: skip

    ways = [way(i) for i in range(len(position))]
    if with_ego:
        ways = [ways[own], *ways[:own], *ways[own + 1 :]]
    return ways, actors


def _spaced(first: float, last: float, busy: float, jam: bool, speed: float, rng: np.random.Generator) -> list[float]:
    """Draw positions of vehicles from `first` on, with the gaps of their speed."""
    mean = 4.0 if jam else max(12.0, 3.2 * speed) / busy
    found = []
    p = first + float(rng.exponential(mean))
    while p < last:
        found.append(p)
        p += 6.0 + float(rng.exponential(mean))
    return found


def _follow(
    position: Vector, lengths: Vector, usual: float, jam: bool, seconds: float, rng: np.random.Generator
) -> Vector:
    """Integrate the lane; returns positions (T, n)."""
    steps = int(np.ceil(seconds / DT)) + 2 * EARLIER + 2
    wish = usual * rng.uniform(0.9, 1.1, len(position))
    wish[-1:] *= 0.1 if jam else 1.0
    speed = np.full(len(position), usual * (0.15 if jam else 1.0))
    track = np.empty((steps, len(position)))
    for k in range(steps):
        track[k] = position
        gap = np.r_[position[1:] - position[:-1] - (lengths[1:] + lengths[:-1]) / 2, 1e3][: len(position)]
        closing = np.r_[speed[:-1] - speed[1:], 0.0][: len(position)]
        desired = 2.0 + np.maximum(0, speed * 1.2 + speed * closing / (2 * np.sqrt(1.4 * 2.0)))
        push = 1.4 * (1 - (speed / np.maximum(wish, 0.3)) ** 4 - (desired / np.maximum(gap, 0.3)) ** 2)
        speed = np.maximum(0.0, speed + DT * np.clip(push, -7.0, 1.4))
        position = position + DT * speed
    return track
