"""Parametric road vehicles: a body lofted through cross-sections, windows, wheels, lamps, plates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.materials import Material
from mono3d_kd_core.simulation.mesh import Mesh
from mono3d_kd_core.simulation.shapes import box, quads, tube, wheel

Segment = Literal["body", "screen", "cabin", "pillar"]
GLASS_COLOUR = (0.035, 0.045, 0.05)
PLASTIC_COLOUR = (0.04, 0.04, 0.045)
MODELS = 6
"""Models of each style: they differ in trim, rims and mirrors."""
MIRROR_REACH = 0.04
"""How far a mirror stands out at each side, metres."""


@dataclass(frozen=True)
class Style:
    """The side view of a body, as fractions of length and height, from the tail to the nose.

    stations holds (x, top, belt, width); segments names what lies between neighbouring stations: "screen" is glass on top,
    "cabin" has glass at its sides. The usual size is length, width, height in metres, with its standard deviation.
    """

    kind: str
    stations: tuple[tuple[float, float, float, float], ...]
    segments: tuple[Segment, ...]
    size: tuple[float, float, float]
    spread: tuple[float, float, float]


STYLES: dict[str, Style] = {
    "hatchback": Style(
        "Car",
        ((-0.5, 0.56, 0.50, 0.90), (-0.485, 0.64, 0.60, 0.95), (-0.46, 0.66, 0.63, 0.97), (-0.36, 0.965, 0.64, 0.98),
         (-0.20, 1.0, 0.63, 1.0), (-0.18, 1.0, 0.63, 1.0), (0.00, 0.995, 0.62, 1.0), (0.02, 0.99, 0.62, 1.0),
         (0.08, 0.965, 0.615, 1.0), (0.27, 0.66, 0.60, 0.99), (0.42, 0.58, 0.55, 0.95), (0.485, 0.50, 0.48, 0.86),
         (0.5, 0.40, 0.38, 0.80)),
        ("body", "body", "screen", "pillar", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (3.72, 1.61, 1.50), (0.20, 0.05, 0.06),
    ),
    "sedan": Style(
        "Car",
        ((-0.5, 0.56, 0.50, 0.86), (-0.49, 0.66, 0.62, 0.93), (-0.345, 0.69, 0.65, 0.97), (-0.20, 0.96, 0.65, 0.99),
         (-0.13, 0.99, 0.64, 1.0), (-0.01, 1.0, 0.63, 1.0), (0.01, 1.0, 0.63, 1.0), (0.09, 0.965, 0.62, 1.0),
         (0.25, 0.67, 0.61, 0.99), (0.42, 0.585, 0.55, 0.95), (0.485, 0.50, 0.48, 0.87), (0.5, 0.40, 0.38, 0.80)),
        ("body", "body", "screen", "cabin", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.25, 1.66, 1.44), (0.25, 0.05, 0.04),
    ),
    "estate": Style(
        "Car",
        ((-0.5, 0.58, 0.50, 0.90), (-0.49, 0.68, 0.62, 0.95), (-0.42, 0.955, 0.64, 0.97), (-0.37, 0.975, 0.64, 0.98),
         (-0.19, 1.0, 0.63, 1.0), (-0.17, 1.0, 0.63, 1.0), (-0.01, 1.0, 0.63, 1.0), (0.01, 1.0, 0.63, 1.0),
         (0.09, 0.965, 0.62, 1.0), (0.25, 0.67, 0.61, 0.99), (0.42, 0.585, 0.55, 0.95), (0.485, 0.50, 0.48, 0.87),
         (0.5, 0.40, 0.38, 0.80)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.25, 1.66, 1.50), (0.22, 0.05, 0.05),
    ),
    "suv": Style(
        "Car",
        ((-0.5, 0.55, 0.50, 0.92), (-0.49, 0.68, 0.64, 0.96), (-0.44, 0.94, 0.66, 0.97), (-0.38, 0.975, 0.66, 0.98),
         (-0.19, 1.0, 0.66, 1.0), (-0.17, 1.0, 0.66, 1.0), (0.0, 1.0, 0.65, 1.0), (0.02, 1.0, 0.65, 1.0),
         (0.10, 0.97, 0.65, 1.0), (0.24, 0.70, 0.64, 1.0), (0.42, 0.65, 0.61, 0.97), (0.485, 0.57, 0.55, 0.90),
         (0.5, 0.44, 0.42, 0.85)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (4.15, 1.71, 1.68), (0.25, 0.05, 0.07),
    ),
    "minicar": Style(
        "Car",
        ((-0.5, 0.55, 0.50, 0.92), (-0.48, 0.66, 0.62, 0.96), (-0.42, 0.95, 0.64, 0.98), (-0.30, 0.99, 0.64, 1.0),
         (-0.02, 1.0, 0.63, 1.0), (0.0, 1.0, 0.63, 1.0), (0.12, 0.96, 0.62, 1.0), (0.33, 0.66, 0.60, 0.98),
         (0.44, 0.58, 0.55, 0.94), (0.49, 0.48, 0.46, 0.86), (0.5, 0.40, 0.38, 0.82)),
        ("body", "screen", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body", "body"),
        (3.25, 1.55, 1.50), (0.18, 0.05, 0.05),
    ),
    "van": Style(
        "Van",
        ((-0.5, 0.93, 0.55, 0.97), (-0.49, 0.98, 0.55, 0.99), (-0.30, 1.0, 0.56, 1.0), (0.05, 1.0, 0.56, 1.0),
         (0.07, 1.0, 0.56, 1.0), (0.22, 0.97, 0.55, 1.0), (0.38, 0.60, 0.54, 0.98), (0.47, 0.50, 0.47, 0.92),
         (0.5, 0.36, 0.34, 0.88)),
        ("body", "pillar", "pillar", "pillar", "cabin", "screen", "body", "body"),
        (5.2, 1.90, 2.25), (0.75, 0.13, 0.28),
    ),
    "minibus": Style(
        "Van",
        ((-0.5, 0.60, 0.52, 0.97), (-0.485, 0.95, 0.54, 0.99), (-0.44, 0.99, 0.55, 1.0), (-0.16, 1.0, 0.55, 1.0),
         (-0.14, 1.0, 0.55, 1.0), (0.06, 1.0, 0.55, 1.0), (0.08, 1.0, 0.55, 1.0), (0.22, 0.97, 0.55, 1.0),
         (0.37, 0.61, 0.54, 0.98), (0.47, 0.50, 0.47, 0.92), (0.5, 0.36, 0.34, 0.88)),
        ("screen", "pillar", "cabin", "pillar", "cabin", "pillar", "cabin", "screen", "body", "body"),
        (4.75, 1.85, 1.98), (0.4, 0.10, 0.12),
    ),
}  # fmt: skip

HELD_OUT_STYLES = ("estate", "minibus")
"""Body styles that training sets never show, so that validation measures generalisation."""

PAINTS: NDArray[np.float64] = np.array(
    [[0.72, 0.72, 0.73], [0.80, 0.80, 0.79], [0.03, 0.03, 0.035], [0.05, 0.055, 0.06], [0.24, 0.25, 0.27],
     [0.42, 0.43, 0.45], [0.14, 0.15, 0.16], [0.40, 0.03, 0.03], [0.03, 0.07, 0.25], [0.08, 0.14, 0.22],
     [0.03, 0.13, 0.07], [0.42, 0.33, 0.18],
     [0.55, 0.40, 0.03], [0.20, 0.05, 0.03]]
)  # fmt: skip
PAINT_WEIGHTS = np.array([13, 9, 12, 8, 10, 12, 9, 6, 7, 6, 2, 3, 1, 2], np.float64)
TRUCK_BODY = np.array(
    [[0.75, 0.75, 0.74], [0.60, 0.62, 0.62], [0.10, 0.16, 0.40], [0.50, 0.08, 0.05], [0.65, 0.55, 0.12]]
)


def draw_size(style: Style, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw length, width, height in metres of one vehicle of a style."""
    size = rng.normal(style.size, style.spread)
    low, high = np.asarray(style.size) * 0.82, np.asarray(style.size) * 1.22
    length, width, height = np.clip(size, low, high)
    return float(length), float(width), float(height)


def draw_paint(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a paint colour, linear RGB, as common as on the road."""
    base = PAINTS[rng.choice(len(PAINTS), p=PAINT_WEIGHTS / PAINT_WEIGHTS.sum())]
    return np.asarray(base * rng.uniform(0.8, 1.15) * rng.uniform(0.94, 1.06, 3))


def car(style: Style, length: float, width: float, height: float, rng: np.random.Generator) -> Mesh:
    """Return a car or van on its wheels, nose along +x; exactly length x width (with its mirrors) x height."""
    paint = draw_paint(rng).astype(np.float32)
    model = _model(style, int(rng.integers(MODELS)))
    colour = np.where((model.colour[:, :1] > 1.5), paint, model.colour).astype(np.float32)
    size = np.array([length, width, height]) / style.size
    return replace(model.scaled(*size), colour=colour)


@lru_cache(maxsize=64)
def _model(style: Style, number: int) -> Mesh:
    """Build a model of a style in its usual size; its paint is a placeholder, so that one model serves for many cars."""
    rng = np.random.default_rng(number)
    length, width, height = style.size
    paint = np.full(3, 2.0)
    sill = 0.20 if height < 1.6 else 0.25
    x, top, belt, broad = np.array(style.stations).T
    outer, width = width, width - 2 * MIRROR_REACH
    x, top, belt, half = x * length, top * height, belt * height, broad * width / 2
    bumper = np.clip((np.abs(x) / length - 0.44) / 0.06, 0, 1)
    low = sill + 0.06 * bumper
    cabin = np.clip((top - belt - 0.02) / (height * 0.36), 0, 1)
    rail = half * (0.93 - 0.20 * cabin)
    zero = np.zeros_like(x)
    ring = np.stack(
        [np.stack([x, half * 0.90, low], 1), np.stack([x, half * 0.995, low + 0.14], 1),
         np.stack([x, half, 0.5 * (low + 0.14 + belt - 0.05)], 1), np.stack([x, half * 0.975, belt - 0.05], 1),
         np.stack([x, half * 0.945, belt], 1), np.stack([x, rail, np.maximum(top - 0.05 * (0.4 + cabin), belt)], 1),
         np.stack([x, rail * 0.75, top - 0.015], 1), np.stack([x, zero, top], 1)], 1,
    )  # fmt: skip
    body: list[NDArray[np.float64]] = []
    glass: list[NDArray[np.float64]] = []
    trim: list[NDArray[np.float64]] = []
    lower_trim = rng.random() < 0.4
    for i, segment in enumerate(style.segments):
        for j in range(ring.shape[1] - 1):
            quad = np.array([ring[i, j], ring[i + 1, j], ring[i + 1, j + 1], ring[i, j + 1]])
            window = (segment == "cabin" and j == 4) or (segment == "screen" and j >= 5)
            chosen = glass if window else trim if (j == 0 and lower_trim) else body
            chosen += [quad, quad[::-1] * [1, -1, 1]]
    tail, nose = (
        np.concatenate([ring[0], ring[0, ::-1] * [1, -1, 1]]),
        np.concatenate([ring[-1], ring[-1, ::-1] * [1, -1, 1]]),
    )
    centre_tail, centre_nose = tail.mean(0), nose.mean(0)
    caps = [[tail[k], tail[k - 1], centre_tail] for k in range(len(tail))]
    caps += [[nose[k - 1], nose[k], centre_nose] for k in range(len(nose))]
    floor = np.array([ring[0, 0], ring[-1, 0], ring[-1, 0] * [1, -1, 1], ring[0, 0] * [1, -1, 1]])
    parts = [
        Mesh.join(
            [quads(np.array(body), paint, Material.PAINT), Mesh.from_corners(caps, paint, Material.PAINT)]
        ).smoothed(32),
        quads(np.array(glass), GLASS_COLOUR, Material.GLASS).smoothed(25),
        quads(floor, PLASTIC_COLOUR, Material.PLASTIC),
    ]
    if trim:
        parts.append(quads(np.array(trim), PLASTIC_COLOUR, Material.PLASTIC).smoothed(32))
    parts += _running_gear(length, width, height, rng)
    parts += _face(ring, paint, style, outer, rng)
    return Mesh.join(parts)


def _running_gear(length: float, width: float, height: float, rng: np.random.Generator) -> list[Mesh]:
    radius = float(np.clip(0.2 * height, 0.28, 0.36))
    rim = np.array([0.45, 0.45, 0.47]) * rng.uniform(0.4, 1.1)
    parts = []
    for along in (-0.305, 0.315):
        for side in (-1, 1):
            y = side * (width / 2 - 0.095)
            parts.append(wheel(radius, 0.2, rim, along * length, y))
            arch = tube((along * length, y - 0.1, radius * 1.18), (along * length, y + 0.1, radius * 1.18), radius * 1.16,
                        (0.015, 0.015, 0.016), Material.PLASTIC, sides=14)  # fmt: skip
            parts.append(arch.scaled(1, (width / 2 + 0.001) / (width / 2 + 0.006), 1))
    return parts


def _face(
    ring: NDArray[np.float64], paint: NDArray[np.float64], style: Style, outer: float, rng: np.random.Generator
) -> list[Mesh]:
    """Return lamps, grille, plates and mirrors, set into the outline `ring` (stations, 8, 3)."""
    tail, nose = ring[1], ring[-2]
    length, width, height = ring[-1, 0, 0] - ring[0, 0, 0], 2 * float(ring[:, :, 1].max()), float(ring[:, :, 2].max())
    x_tail, x_nose = ring[0, 0, 0], ring[-1, 0, 0]
    parts = []
    for side in (-1, 1):
        lamp = box(0.10, width * 0.17, 0.13, (0.85, 0.85, 0.8), Material.LAMP, taper=0.8)
        parts.append(lamp.moved(x_nose - 0.075, side * width * 0.30, float(nose[4, 2]) - 0.17))
        tall = 0.30 if style.kind == "Van" or height > 1.6 else 0.18
        rear = box(0.06, width * 0.12, tall, (0.45, 0.015, 0.01), Material.LAMP)
        parts.append(rear.moved(x_tail + 0.032, side * width * 0.36, float(tail[4, 2]) - tall * 0.9))
        mirror = box(0.12, 0.16, 0.12, paint if rng.random() < 0.6 else PLASTIC_COLOUR, Material.PLASTIC, taper=0.8)
        parts.append(mirror.moved(0.215 * length, side * (outer / 2 - 0.08), height * 0.62))
    grille = box(0.03, width * 0.42, 0.12, PLASTIC_COLOUR, Material.PLASTIC)
    plate = box(0.02, 0.50, 0.11, (0.75, 0.75, 0.70), Material.SIGN)
    parts += [
        grille.moved(x_nose - 0.013, 0, 0.42), plate.moved(x_nose - 0.008, 0, 0.33),
        plate.moved(x_tail + 0.008, 0, 0.45 if style.kind == "Car" else 0.6),
    ]  # fmt: skip
    return parts


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
