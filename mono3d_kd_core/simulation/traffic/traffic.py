"""How everything moves: cars follow each other in lanes, walkers keep to pavements, the rest is parked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mono3d_kd_core.simulation.street.street import Street
from mono3d_kd_core.simulation.traffic.lane import drive_lane
from mono3d_kd_core.simulation.traffic.passers_by import draw_cyclists, draw_walkers
from mono3d_kd_core.simulation.traffic.roadside import fill_side_streets, park
from mono3d_kd_core.simulation.traffic.ways import Mover, Way, still


@dataclass(frozen=True)
class Traffic:
    """All movers of a world, and the way of the vehicle under test as Mover.place."""

    movers: tuple[Mover, ...]
    ego: Way


def draw_traffic(street: Street, seconds: float, held_out: bool, rng: np.random.Generator) -> Traffic:
    """Fill a street with traffic for a time."""
    busy = float(rng.choice([0.05, 0.3, 0.7, 1.4], p=[0.38, 0.3, 0.23, 0.09]))
    ego_lane = int(rng.integers(street.right.lanes))
    movers: list[Mover] = []
    ego: Way = still(0.0, -street.right.lane_width / 2, 0.0)
    for sign in (-1, 1):
        for lane in range(street.side(sign).lanes):
            with_ego = sign < 0 and lane == ego_lane
            ways, actors = drive_lane(street, sign, lane, busy, seconds, held_out, with_ego, rng)
            if with_ego:
                ego, ways = ways[0], ways[1:]
            movers += [Mover(a, w) for a, w in zip(actors, ways)]
        movers += park(street, sign, held_out, rng)
        movers += draw_walkers(street, sign, seconds, rng)
        movers += draw_cyclists(street, sign, seconds, rng)
    movers += fill_side_streets(street, held_out, seconds, rng)
    return Traffic(tuple(movers), ego)
