"""Lorries, buses, trams and trailers."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.simulation.actors.paint import GLASS_COLOUR, PLASTIC_COLOUR, draw_paint
from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, wheel

TRUCK_BODY = np.array(
    [[0.75, 0.75, 0.74], [0.60, 0.62, 0.62], [0.10, 0.16, 0.40], [0.50, 0.08, 0.05], [0.65, 0.55, 0.12]]
)


def truck(length: float, width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a lorry with a cab and a box body, nose along +x."""
    cab_length = 1.9
    cab_height = min(height, 2.7)
    paint, cargo = draw_paint(rng), TRUCK_BODY[rng.integers(len(TRUCK_BODY))] * rng.uniform(0.8, 1.1)
    x_cab = length / 2 - cab_length / 2
    parts = [
        box(cab_length, width * 0.96, cab_height - 0.55, paint, Material.PAINT, taper=0.95).moved(x_cab, 0, 0.55),
        box(0.04, width * 0.84, cab_height * 0.30, GLASS_COLOUR, Material.GLASS).moved(
            length / 2 - 0.03, 0, cab_height * 0.56
        ),
        box(cab_length * 0.5, width * 0.965, cab_height * 0.26, GLASS_COLOUR, Material.GLASS).moved(
            x_cab + 0.2, 0, cab_height * 0.58
        ),
        box(length - cab_length - 0.25, width, height - 1.0, cargo, Material.PLASTIC).moved(
            -cab_length / 2 - 0.12, 0, 1.0
        ),
        box(length * 0.97, width * 0.4, 0.35, PLASTIC_COLOUR, Material.PLASTIC).moved(-0.05, 0, 0.65),
        box(0.1, width * 0.9, 0.3, PLASTIC_COLOUR, Material.PLASTIC).moved(length / 2 - 0.06, 0, 0.4),
        box(0.1, width * 0.95, 0.12, PLASTIC_COLOUR, Material.PLASTIC).moved(-length / 2 + 0.06, 0, 0.5),
    ]
    for side in (-1, 1):
        y = side * (width / 2 - 0.2)
        axles = (length / 2 - 1.1, -length / 2 + 1.3, *((-length / 2 + 2.5,) if length > 9 else ()))
        parts += [wheel(0.48, 0.32, (0.4, 0.4, 0.4), along, y) for along in axles]
        lamp = box(0.06, 0.3, 0.14, (0.8, 0.8, 0.75), Material.LAMP)
        parts.append(lamp.moved(length / 2 - 0.03, side * width * 0.36, 0.75))
        parts.append(
            box(0.05, 0.3, 0.14, (0.45, 0.02, 0.01), Material.LAMP).moved(-length / 2 + 0.03, side * width * 0.38, 0.85)
        )
    return Mesh.join(parts)


def bus(length: float, width: float, height: float, rng: np.random.Generator, low: float = 0.3) -> Mesh:
    """Return a bus, or a tram when it is long: a box with a band of windows, nose along +x."""
    paint = draw_paint(rng) if rng.random() < 0.5 else np.array([0.7, 0.55, 0.05])
    band = 0.36 * height
    parts = [
        box(length, width, height - low, paint, Material.PAINT, taper=0.985).moved(0, 0, low),
        box(length * 0.94, width + 0.015, band, GLASS_COLOUR, Material.GLASS).moved(0, 0, 0.42 * height),
        box(length - 0.02, width * 0.86, band * 1.3, GLASS_COLOUR, Material.GLASS).moved(0.02, 0, 0.36 * height),
    ]
    pillars = np.arange(-0.42, 0.45, 1.5 / length) * length
    parts += [box(0.12, width + 0.025, band, paint, Material.PAINT).moved(float(x), 0, 0.42 * height) for x in pillars]
    for side in (-1, 1):
        y = side * (width / 2 - 0.14)
        parts += [wheel(0.48, 0.3, (0.4, 0.4, 0.4), along * length, y) for along in (-0.28, 0.30)]
        parts.append(
            box(0.05, 0.3, 0.15, (0.8, 0.8, 0.75), Material.LAMP).moved(length / 2 - 0.02, side * width * 0.36, 0.65)
        )
        parts.append(
            box(0.05, 0.2, 0.3, (0.45, 0.02, 0.01), Material.LAMP).moved(-length / 2 + 0.02, side * width * 0.40, 0.9)
        )
    return Mesh.join(parts)


def trailer(length: float, width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a caravan or box trailer, drawbar along +x."""
    colour = np.array([0.7, 0.7, 0.66]) * rng.uniform(0.7, 1.1)
    body = length * 0.82
    parts = [
        box(body, width, height - 0.4, colour, Material.PLASTIC, taper=0.96).moved(-(length - body) / 2, 0, 0.4),
        box(body * 0.4, width + 0.01, (height - 0.4) * 0.35, GLASS_COLOUR, Material.GLASS).moved(
            -(length - body) / 2, 0, height * 0.5
        ),
        box(length - body, 0.1, 0.1, (0.1, 0.1, 0.1), Material.METAL).moved(length / 2 - (length - body) / 2, 0, 0.45),
    ]
    parts += [wheel(0.3, 0.18, (0.4, 0.4, 0.4), -0.1 * length, side * (width / 2 - 0.1)) for side in (-1, 1)]
    return Mesh.join(parts)
