"""Parametric cars and vans: a body lofted through cross-sections, windows, wheels, lamps, plates."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.actors.body_styles import Style
from mono3d_kd_core.simulation.actors.paint import GLASS_COLOUR, PLASTIC_COLOUR, draw_paint
from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, quads, tube, wheel

MODELS = 6
"""Models of each style: they differ in trim, rims and mirrors."""
MIRROR_REACH = 0.04
"""How far a mirror stands out at each side, metres."""


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
