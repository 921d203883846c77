"""How everything moves: cars follow each other in lanes, walkers keep to pavements, the rest is parked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.actors import Actor, draw_cyclist, draw_sitter, draw_vehicle, draw_walker
from mono3d_kd_core.simulation.street import Street

Vector = NDArray[np.float64]
DT = 0.05
"""Seconds between the steps of the car-following model."""
EARLIER = 2
"""Steps before time 0 at which the traffic starts, because a sweep begins before its stamp."""
SPEEDS = {"residential": 9.0, "urban": 11.0, "avenue": 15.0, "country": 20.0, "village": 11.0, "terrace": 8.0, "estate": 9.0,
          "parkway": 20.0}  # fmt: skip
"""Usual speeds, m/s."""


@dataclass(frozen=True)
class Mover:
    """An actor and its way: place(t) gives arc length s, distance d to the left, heading relative to the street, and the
    way it has gone, metres, at t seconds."""

    actor: Actor
    place: Callable[[float], tuple[float, float, float, float]]


@dataclass(frozen=True)
class Traffic:
    """All movers of a world, and the way of the vehicle under test as Mover.place."""

    movers: tuple[Mover, ...]
    ego: Callable[[float], tuple[float, float, float, float]]


def still(s: float, d: float, heading: float) -> Callable[[float], tuple[float, float, float, float]]:
    """Return the way of something that stays where it is."""
    return lambda _t: (s, d, heading, 0.0)


def steady(
    s: float, d: float, heading: float, along: float, across: float, speed: float
) -> Callable[[float], tuple[float, float, float, float]]:
    """Return the way of something that goes straight on: along + across * 1j is its unit direction in (s, d)."""
    return lambda t: (s + along * speed * t, d + across * speed * t, heading, speed * t)


def draw_traffic(street: Street, seconds: float, held_out: bool, rng: np.random.Generator) -> Traffic:
    """Fill a street with traffic for a time."""
    busy = float(rng.choice([0.05, 0.3, 0.7, 1.4], p=[0.38, 0.3, 0.23, 0.09]))
    ego_lane = int(rng.integers(street.right.lanes))
    movers: list[Mover] = []
    ego: Callable[[float], tuple[float, float, float, float]] = still(0.0, -street.right.lane_width / 2, 0.0)
    for sign in (-1, 1):
        for lane in range(street.side(sign).lanes):
            with_ego = sign < 0 and lane == ego_lane
            ways, actors = _lane(street, sign, lane, busy, seconds, held_out, with_ego, rng)
            if with_ego:
                ego, ways = ways[0], ways[1:]
            movers += [Mover(a, w) for a, w in zip(actors, ways)]
        movers += _parked(street, sign, held_out, rng)
        movers += _walkers(street, sign, seconds, rng)
        movers += _cyclists(street, sign, seconds, rng)
    movers += _side_streets(street, held_out, seconds, rng)
    return Traffic(tuple(movers), ego)


def _lane(
    street: Street,
    sign: int,
    lane: int,
    busy: float,
    seconds: float,
    held_out: bool,
    with_ego: bool,
    rng: np.random.Generator,
) -> tuple[list[Callable[[float], tuple[float, float, float, float]]], list[Actor]]:
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

    def way(i: int) -> Callable[[float], tuple[float, float, float, float]]:
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


def _parked(street: Street, sign: int, held_out: bool, rng: np.random.Generator) -> list[Mover]:
    """Cars along the kerb, in drives, and now and then across the pavement's edge."""
    side = street.side(sign)
    found: list[Mover] = []
    if side.parking:
        fill = float(rng.beta(0.9, 1.6))
        d = sign * (side.kerb_line - side.parking / 2 + 0.05)
        s = street.axis.start + float(rng.uniform(0, 6))
        while s < street.axis.end - 4:
            actor = draw_vehicle(rng, held_out, only_cars=bool(rng.random() < 0.85))
            s += actor.size[0] / 2
            if rng.random() < fill and not street.in_crossing(s, sign, 5.0):
                against = rng.random() < 0.12
                heading = (0.0 if sign < 0 else np.pi) + (np.pi if against else 0.0) + float(rng.normal(0, 0.02))
                found.append(Mover(actor, still(s, d + float(rng.normal(0, 0.08)), heading)))
            s += actor.size[0] / 2 + float(rng.uniform(0.5, 2.2))
    yards = {"residential": 1.2, "village": 1.6, "country": 0.6, "estate": 2.0, "parkway": 0.6, "avenue": 0.8}
    for s in rng.uniform(street.axis.start, street.axis.end, rng.poisson(yards.get(street.kind, 0.3) * 2.5)):
        actor = draw_vehicle(rng, held_out, only_cars=True)
        out = side.kerb_line + side.pavement + actor.size[0] / 2 + float(rng.uniform(0.2, 3.0))
        heading = sign * np.pi / 2 * rng.choice([-1, 1]) + float(rng.normal(0, 0.15))
        near = [m for m in found if abs(m.place(0.0)[0] - s) < 3.0 and abs(m.place(0.0)[1] - sign * out) < 5.0]
        if not near and not street.in_crossing(float(s), sign, 3.0) and side.verge > 1.0:
            found.append(Mover(actor, still(float(s), sign * out, float(heading))))
    return found


_WALKERS = {"urban": 7.0, "residential": 2.0, "avenue": 2.5, "country": 0.35, "village": 1.6, "terrace": 2.5, "estate": 2.5,
            "parkway": 0.4}  # fmt: skip


def _walkers(street: Street, sign: int, seconds: float, rng: np.random.Generator) -> list[Mover]:
    """People on the pavement, alone and in company; a few stand, sit or step into the road far ahead."""
    side = street.side(sign)
    crowd = float(rng.choice([0.0, 0.35, 2.6], p=[0.72, 0.22, 0.06]))
    found: list[Mover] = []
    # Most are near, as where one drives slowly among people; along a drive they are everywhere.
    along = 14.0 * seconds
    number = rng.poisson(_WALKERS[street.kind] * crowd * (1 + along / 60))
    for s in -8.0 + rng.gamma(2.2, 7.6, number) + rng.uniform(0, max(along, 1e-6), number):
        company = 1 + int(rng.random() < 0.35) + int(rng.random() < 0.12)
        forth = bool(rng.random() < 0.5)
        speed = float(rng.uniform(0.8, 1.7))
        base = side.kerb_line + 0.4 + float(rng.uniform(0, 1)) * max(side.pavement - 0.6, 0.4)
        role = rng.random()
        for k in range(company):
            place, out = float(s) + float(rng.normal(0, 0.4)), sign * min(base + 0.65 * k, side.building_line - 0.4)
            if role < 0.54:
                heading = (0.0 if forth else np.pi) + float(rng.normal(0, 0.15))
                way = steady(place, out, heading, 1.0 if forth else -1.0, 0.0, speed)
                found.append(Mover(draw_walker(rng, True), way))
            elif role < 0.80 and place > 10:
                start = sign * (side.kerb_line - float(rng.uniform(0, side.kerb_line + 2.0)))
                way = steady(place, start, -sign * np.pi / 2, 0.0, -sign, speed)
                found.append(Mover(draw_walker(rng, True), way))
            elif role < 0.95:
                found.append(Mover(draw_walker(rng, False), still(place, out, float(rng.uniform(-np.pi, np.pi)))))
            else:
                out = sign * (side.kerb_line + side.pavement - 0.3 + 0.6 * k * 0)
                found.append(Mover(draw_sitter(rng), still(float(s) + 0.7 * k, out, -sign * np.pi / 2)))
    return found


def _cyclists(street: Street, sign: int, seconds: float, rng: np.random.Generator) -> list[Mover]:
    side = street.side(sign)
    heading = 0.0 if sign < 0 else np.pi
    found = []
    reach = 10.0 * seconds
    number = rng.poisson((0.6 if rng.random() < 0.3 else 0.05) * (1.4 if sign < 0 else 0.6) * (1 + reach / 60))
    for s in -6.0 + rng.gamma(2.0, 13.0, number) + rng.uniform(0, max(reach, 1e-6), number):
        if abs(s) < 4:
            continue
        near_kerb = side.lanes * side.lane_width - 0.5 if side.parking else side.kerb_line - 0.6
        on_road = rng.random() < (0.25 if sign < 0 else 0.4)
        beside = min(side.kerb_line + float(rng.uniform(0.6, 4.0 if sign > 0 else 7.0)), side.building_line - 0.5)
        d = sign * (near_kerb if on_road else beside)
        against = not on_road and rng.random() < (0.6 if sign < 0 else 0.4)
        speed = float(rng.uniform(2.5, 6.0))
        if rng.random() < 0.15 and s > 10 and not seconds:
            across = steady(float(s), float(rng.uniform(-6, 6)), -sign * np.pi / 2, 0.0, -float(sign), speed)
            found.append(Mover(draw_cyclist(rng), across))
            continue
        along = float(sign if against else -sign)
        turned = heading + (np.pi if against else 0.0) + float(rng.normal(0, 0.06))
        way = steady(float(s), d, turned, along, 0.0, speed)
        found.append(Mover(draw_cyclist(rng), way))
    return found


def _side_streets(street: Street, held_out: bool, seconds: float, rng: np.random.Generator) -> list[Mover]:
    """Cars that wait in side streets, and one that crosses or has just crossed."""
    found = []
    for c in street.crossings:
        for sign, is_open in ((1, c.left), (-1, c.right)):
            if not is_open:
                continue
            kerb = street.side(sign).kerb_line
            lane = c.half_width / 2
            # Cars in the near lane (right-hand traffic) come towards the street and wait.
            queue = kerb + 2.0
            for _ in range(int(rng.poisson(0.45))):
                actor = draw_vehicle(rng, held_out)
                d = queue + actor.size[0] / 2
                found.append(
                    Mover(actor, still(c.s - sign * lane, sign * d, -sign * np.pi / 2 + float(rng.normal(0, 0.03))))
                )
                queue = d + actor.size[0] / 2 + float(rng.uniform(1.0, 5.0))
            if rng.random() < 0.3:
                actor = draw_vehicle(rng, held_out)
                speed = float(rng.uniform(3, 9))
                d = (
                    float(rng.uniform(0.5, 30.0))
                    if not seconds and c.s > 12
                    else kerb + actor.size[0] / 2 + float(rng.uniform(1, 20))
                )
                found.append(
                    Mover(actor, steady(c.s + sign * lane, sign * d, sign * np.pi / 2, 0.0, float(sign), speed))
                )
            if rng.random() < 0.3:
                d = kerb + float(rng.uniform(6, 22))
                s = c.s + sign * (c.half_width - 1.0) if c.half_width > 4 else c.s + sign * c.half_width * 0.8
                found.append(
                    Mover(draw_vehicle(rng, held_out, only_cars=True), still(s, sign * (d + 2), sign * np.pi / 2))
                )
    return found
