"""What moves, or might: vehicles, walkers and cyclists, each with an identity, a class, a size and a look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.actors import body_styles, cars, heavy_vehicles, paint, people
from mono3d_kd_core.simulation.meshes.mesh import Mesh


@dataclass(frozen=True)
class Actor:
    """One thing with a label.

    kind is a KITTI class name; size is length, width, height in metres of its box, which stays the same while it moves;
    mesh(phase) stands on z = 0 with the box centred in x and y, facing +x; phase is that of its gait or pedals, radians.
    stride is how far it gets in one turn of the phase (0: the look does not change).
    """

    kind: str
    size: tuple[float, float, float]
    mesh: Callable[[float], Mesh]
    stride: float = 0.0


_SHARES = {"hatchback": 2.4, "sedan": 1.1, "suv": 0.7, "minicar": 0.9}
"""How common body styles are among their kind; 1 where not named."""


def draw_vehicle(rng: np.random.Generator, held_out: bool, only_cars: bool = False) -> Actor:
    """Draw a car, van, truck, bus, tram or trailer, as common as in KITTI's labels; held_out chooses validation's shapes."""
    u = rng.random()
    if only_cars or u < 0.905:
        kind = "Van" if u < 0.11 and not only_cars else "Car"
        held = body_styles.HELD_OUT_STYLES
        names = [n for n, s in body_styles.STYLES.items() if s.kind == kind and (n in held) == held_out]
        share = np.array([_SHARES.get(n, 1.0) for n in names])
        style = body_styles.STYLES[names[rng.choice(len(names), p=share / share.sum())]]
        size = body_styles.draw_size(style, rng)
        mesh = cars.car(style, *size, rng)
        return Actor(kind, size, lambda _phase: mesh)
    if u < 0.935:
        size = (float(rng.uniform(6.0, 15.5)), float(rng.uniform(2.35, 2.8)), float(rng.uniform(2.6, 3.9)))
        lorry = heavy_vehicles.truck(*size, rng)
        return Actor("Truck", size, lambda _phase: lorry)
    if u < 0.955:
        size = (float(rng.uniform(11, 18)), 2.5, float(rng.uniform(3.0, 3.5)))
        coach = heavy_vehicles.bus(*size, rng)
        return Actor("Tram" if size[0] > 14 else "Misc", size, lambda _phase: coach)
    size = (float(rng.uniform(2.5, 6.0)), float(rng.uniform(1.5, 2.3)), float(rng.uniform(1.4, 2.6)))
    caravan = heavy_vehicles.trailer(*size, rng)
    return Actor("Misc", size, lambda _phase: caravan)


def draw_walker(rng: np.random.Generator, moving: bool) -> Actor:
    """Draw a pedestrian, walking or standing."""
    figure = people.Figure.draw(rng)
    margin = (float(rng.uniform(0, 0.12 if moving else 0.5)), float(rng.uniform(0.0, 0.28)))
    return _fitted(
        "Pedestrian",
        lambda phase: people.walker(figure, phase, moving),
        moving,
        1.5 * figure.stride * figure.height / 1.75,
        margin,
    )


def draw_sitter(rng: np.random.Generator) -> Actor:
    """Draw somebody who sits."""
    figure = people.Figure.draw(rng)
    return _fitted("Person_sitting", lambda _phase: people.sitter(figure), False, 0.0)


def draw_cyclist(rng: np.random.Generator) -> Actor:
    """Draw a cyclist."""
    figure = people.Figure.draw(rng)
    colour = paint.draw_paint(rng)
    margin = (0.0, 0.3 * float(rng.uniform()) ** 2)
    return _fitted("Cyclist", lambda phase: people.cyclist(figure, phase, colour), True, 5.5, margin)


def _fitted(
    kind: str, pose: Callable[[float], Mesh], moving: bool, stride: float, margin: tuple[float, float] = (0.0, 0.0)
) -> Actor:
    """Give an actor the box that holds it in every phase, and a margin in length and width, centred on the box."""
    poses = [pose(phase) for phase in (np.linspace(0, 2 * np.pi, people.PHASES, endpoint=False) if moving else (0.0,))]
    bounds: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = [mesh.bounds() for mesh in poses]
    low, high = np.min([b[0] for b in bounds], 0), np.max([b[1] for b in bounds], 0)
    middle = (low + high) / 2
    shift = (-float(middle[0]), -float(middle[1]), -float(low[2]))
    length, width, height = (float(v) for v in high - low + (*margin, 0.0))
    return Actor(kind, (length, width, height), lambda phase: pose(phase).transformed(np.eye(3), shift), stride)
