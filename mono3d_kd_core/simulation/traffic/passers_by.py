"""Walkers, sitters and cyclists."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.simulation.actors.casting import draw_cyclist, draw_sitter, draw_walker
from mono3d_kd_core.simulation.street.street import Street
from mono3d_kd_core.simulation.traffic.ways import Mover, steady, still

_WALKERS = {"urban": 7.0, "residential": 2.0, "avenue": 2.5, "country": 0.35, "village": 1.6, "terrace": 2.5, "estate": 2.5,
            "parkway": 0.4}  # fmt: skip


def draw_walkers(street: Street, sign: int, seconds: float, rng: np.random.Generator) -> list[Mover]:
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
                out = sign * (side.kerb_line + side.pavement - 0.3)
                found.append(Mover(draw_sitter(rng), still(float(s) + 0.7 * k, out, -sign * np.pi / 2)))
    return found


def draw_cyclists(street: Street, sign: int, seconds: float, rng: np.random.Generator) -> list[Mover]:
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
