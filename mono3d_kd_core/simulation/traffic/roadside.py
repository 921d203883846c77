"""Vehicles beside the road: parked along the kerb and in yards, waiting in side streets and coming out of them."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.simulation.actors.casting import draw_vehicle
from mono3d_kd_core.simulation.street.street import Street
from mono3d_kd_core.simulation.traffic.ways import Mover, steady, still


def park(street: Street, sign: int, held_out: bool, rng: np.random.Generator) -> list[Mover]:
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


def fill_side_streets(street: Street, held_out: bool, seconds: float, rng: np.random.Generator) -> list[Mover]:
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
