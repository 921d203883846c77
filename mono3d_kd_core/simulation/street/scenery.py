"""Everything that stands still along a street: buildings, trees and furniture, put in their places."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.street import furniture
from mono3d_kd_core.simulation.street.buildings import Look, build_row
from mono3d_kd_core.simulation.street.ground import build_ground, land
from mono3d_kd_core.simulation.street.street import Street
from mono3d_kd_core.simulation.street.vegetation import bush, conifer, horizon, tree

_TREES_PER_100_METRES = {"residential": 5, "urban": 4, "avenue": 8, "country": 22, "village": 7, "terrace": 1.5, "estate": 8,
                         "parkway": 16}  # fmt: skip


def build_scenery(street: Street, look: Look, rng: np.random.Generator) -> Mesh:
    """Return the still part of the world."""
    parts = [build_ground(street, rng)]
    groves = _Grove(rng)
    for sign in (1, -1):
        parts += [
            build_row(street, sign, look, rng),
            *_vegetation(street, sign, groves, rng),
            *_furniture(street, sign, rng),
        ]
    return Mesh.join(parts)


def build_backdrop(rng: np.random.Generator) -> Mesh:
    """Return what bounds the view: a plain at z = 0 and wooded hills, around the origin."""
    return Mesh.join([land(), horizon(rng)])


NURSERY = 24
"""Kinds of broad-leaved trees that streets choose from."""


@lru_cache(maxsize=NURSERY)
def _nursery_tree(number: int) -> Mesh:
    rng = np.random.default_rng([1, number])
    return tree(float(rng.uniform(6, 12)), float(rng.uniform(1.8, 3.2)), rng)


@lru_cache(maxsize=6)
def _nursery_conifer(number: int) -> Mesh:
    rng = np.random.default_rng([2, number])
    return conifer(float(rng.uniform(7, 13)), rng)


@lru_cache(maxsize=8)
def _nursery_bush(number: int) -> Mesh:
    rng = np.random.default_rng([3, number])
    return bush(float(rng.uniform(0.6, 1.6)), rng)


class _Grove:
    """A few trees, planted over and over, turned and stretched: building each anew would cost more than drawing it."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._trees = [_nursery_tree(int(n)) for n in rng.choice(NURSERY, 4, replace=False)]
        self._trees += [_nursery_conifer(int(rng.integers(6)))]
        self._bushes = [_nursery_bush(int(n)) for n in rng.choice(8, 3, replace=False)]

    def tree(self) -> Mesh:
        """Return one of the trees."""
        return self._vary(self._trees[self._rng.choice(len(self._trees), p=[0.23, 0.23, 0.23, 0.23, 0.08])])

    def bush(self) -> Mesh:
        """Return one of the bushes."""
        return self._vary(self._bushes[self._rng.integers(len(self._bushes))])

    def _vary(self, mesh: Mesh) -> Mesh:
        wide, tall = self._rng.uniform(0.75, 1.25, 2)
        return mesh.scaled(wide, wide, tall).moved(yaw=float(self._rng.uniform(0, 2 * np.pi)))


def _planted(street: Street, mesh: Mesh, s: float, d: float, turn: float = 0.0) -> Mesh:
    """Put a mesh on the ground at (s, d), facing along the street plus `turn`."""
    x, y, _, heading = street.axis.at(s, d)
    return mesh.moved(float(x), float(y), float(street.ground(s, d)), float(heading) + turn)


def _vegetation(street: Street, sign: int, groves: _Grove, rng: np.random.Generator) -> list[Mesh]:
    side, axis = street.side(sign), street.axis
    count = rng.poisson(_TREES_PER_100_METRES[street.kind] * (axis.end - axis.start) / 100 * rng.uniform(0.4, 1.5))
    wooded = street.kind in ("country", "parkway")
    reach = min(45.0, 0.8 * axis.tightest(sign))
    parts = []
    for s in rng.uniform(axis.start, axis.end, count):
        if street.in_crossing(s, sign, 2.5):
            continue
        if wooded:
            low = side.building_line + 1.0
            d = min(low + float(rng.exponential(9.0)), reach)
        elif street.kind == "urban":
            d = side.kerb_line + 0.8
        else:
            d = (side.kerb_line + 0.7) if rng.random() < 0.35 else side.building_line + float(rng.uniform(-0.8, 0.8))
        parts.append(_planted(street, groves.tree(), float(s), sign * d))
    bushes = rng.poisson(count * (1.2 if wooded else 0.6))
    for s in rng.uniform(axis.start, axis.end, bushes):
        d = side.building_line + float(rng.uniform(-0.5, 8.0 if wooded else 2.0))
        if not street.in_crossing(s, sign, 2.0) and d > side.kerb_line + side.pavement + 0.8:
            parts.append(_planted(street, groves.bush(), float(s), sign * d))
    return parts


def _furniture(street: Street, sign: int, rng: np.random.Generator) -> list[Mesh]:
    side, axis = street.side(sign), street.axis
    kerb = side.kerb_line
    facing = 0.0 if sign < 0 else np.pi
    parts: list[Mesh] = []

    def repeat(spacing: float, offset: float, make: Callable[[], Mesh], turn: float, chance: float = 0.85) -> None:
        places = np.arange(axis.start + float(rng.uniform(0, spacing)), axis.end, spacing)
        free = (float(s) for s in places if rng.random() < chance and not street.in_crossing(s, sign, 1.5))
        parts.extend(_planted(street, make(), s, sign * (kerb + offset), turn) for s in free)

    if street.kind != "country":
        height = float(rng.uniform(4.5, 8.5))
        post = furniture.lamp_post(height, float(rng.uniform(0.6, 2.0)))
        repeat(float(rng.uniform(22, 38)), 0.5, lambda: post, -sign * np.pi / 2, 0.9 if sign > 0 else 0.6)
        repeat(35.0, float(rng.uniform(0.3, 1.2)), lambda: furniture.bin_(rng), facing, 0.4)
    repeat(float(rng.uniform(25, 60)), 0.5, lambda: furniture.traffic_sign(rng), facing, 0.6)
    if street.kind in ("country", "parkway"):
        repeat(25.0, 0.9, furniture.bollard, facing, 0.9)
        if rng.random() < 0.4:
            rail = furniture.guard_rail(3.0)
            begin = float(rng.uniform(axis.start, axis.end - 50))
            panels = np.arange(begin, min(begin + float(rng.uniform(40, 120)), axis.end), 3.0)
            free = (s for s in panels if not street.in_crossing(s, sign, 2.0))
            parts += [_planted(street, rail, s, sign * (kerb + 0.6), facing) for s in free]
    elif rng.random() < 0.25:
        s = float(rng.uniform(15, 80))
        if not street.in_crossing(s, sign, 5.0) and side.pavement > 1.9:
            parts.append(
                _planted(
                    street, furniture.shelter(), s, sign * (kerb + side.pavement - 0.4), sign * np.pi / 2 + np.pi / 2
                )
            )
    for c in street.crossings:
        if c.signals:
            s = c.s - (c.half_width + 1.5) * (1 if sign < 0 else -1)
            parts.append(_planted(street, furniture.signal(), s, sign * (kerb + 0.4), facing))
    return parts
