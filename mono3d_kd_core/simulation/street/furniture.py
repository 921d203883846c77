"""Street furniture: lamps, poles, signs, signals, bollards, bins, guard rails, boxes."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, tube

GREY = (0.28, 0.28, 0.29)
SIGN_COLOURS = ((0.05, 0.12, 0.45), (0.55, 0.04, 0.03), (0.70, 0.70, 0.68), (0.75, 0.55, 0.03))


def lamp_post(height: float, reach: float) -> Mesh:
    """Return a street lamp whose arm reaches along +x."""
    return Mesh.join(
        [
            tube((0, 0, 0), (0, 0, height), 0.09, GREY, Material.METAL, 0.05, 7),
            tube((0, 0, height), (reach, 0, height + 0.25), 0.04, GREY, Material.METAL, sides=6),
            box(0.7, 0.25, 0.12, (0.5, 0.5, 0.48), Material.PLASTIC).moved(reach + 0.2, 0, height + 0.2),
        ]
    )


def traffic_sign(rng: np.random.Generator) -> Mesh:
    """Return a sign on a pole that faces -x."""
    height = float(rng.uniform(2.1, 2.8))
    colour = SIGN_COLOURS[rng.integers(4)]
    pole = tube((0, 0, 0), (0, 0, height), 0.035, GREY, Material.METAL, sides=6)
    back = (0.3, 0.3, 0.3)
    if rng.random() < 0.5:
        disc = tube((-0.05, 0, height), (-0.03, 0, height), 0.32, colour, Material.SIGN, sides=16)
        inner = tube((-0.06, 0, height), (-0.05, 0, height), 0.24, SIGN_COLOURS[2], Material.SIGN, sides=16)
        plate = tube((-0.03, 0, height), (-0.015, 0, height), 0.32, back, Material.METAL, sides=16)
        return Mesh.join([pole, disc, inner, plate])
    board = box(0.02, float(rng.uniform(0.5, 1.0)), float(rng.uniform(0.4, 0.9)), colour, Material.SIGN)
    return Mesh.join([pole, board.moved(-0.05, 0, height - 0.3), board.moved(-0.028, 0, height - 0.3)])


def signal() -> Mesh:
    """Return a traffic light that faces -x."""
    parts = [
        tube((0, 0, 0), (0, 0, 3.4), 0.06, GREY, Material.METAL, sides=7),
        box(0.25, 0.32, 0.95, (0.02, 0.02, 0.02), Material.PLASTIC).moved(-0.1, 0, 2.4),
    ]
    for z, colour in ((3.15, (0.9, 0.05, 0.03)), (2.87, (0.12, 0.08, 0.01)), (2.6, (0.01, 0.1, 0.03))):
        parts.append(tube((-0.26, 0, z), (-0.22, 0, z), 0.10, colour, Material.LAMP, sides=10))
    return Mesh.join(parts)


def bollard() -> Mesh:
    """Return a reflector post."""
    return Mesh.join(
        [
            box(0.12, 0.10, 0.95, (0.72, 0.72, 0.70), Material.PLASTIC, taper=0.9),
            box(0.125, 0.105, 0.2, (0.02, 0.02, 0.02), Material.PLASTIC).moved(0, 0, 0.62),
            box(0.13, 0.04, 0.12, (0.8, 0.6, 0.1), Material.SIGN).moved(0, 0, 0.66),
        ]
    )


def bin_(rng: np.random.Generator) -> Mesh:
    """Return a wheeled bin or a switch box."""
    colour = np.array([[0.05, 0.10, 0.05], [0.06, 0.06, 0.07], [0.35, 0.25, 0.02], [0.40, 0.41, 0.40]])[rng.integers(4)]
    return box(float(rng.uniform(0.5, 1.1)), 0.5, float(rng.uniform(0.9, 1.4)), colour, Material.PLASTIC, taper=0.97)


def shelter() -> Mesh:
    """Return a bus shelter that opens towards +y."""
    glass = (0.10, 0.13, 0.13)
    parts = [
        box(4.0, 0.05, 2.0, glass, Material.GLASS).moved(0, -0.7, 0.25),
        box(0.05, 1.3, 2.0, glass, Material.GLASS).moved(-2.0, 0, 0.25),
        box(4.3, 1.7, 0.12, (0.15, 0.16, 0.17), Material.METAL).moved(0, 0, 2.35),
        box(2.0, 0.4, 0.08, (0.3, 0.2, 0.1), Material.PLASTIC).moved(0, -0.4, 0.45),
    ]
    parts += [tube((x, y, 0), (x, y, 2.4), 0.04, GREY, Material.METAL, sides=6) for x in (-2, 2) for y in (-0.7, 0.6)]
    return Mesh.join(parts)


def guard_rail(length: float) -> Mesh:
    """Return one panel of guard rail along x."""
    return Mesh.join(
        [
            box(length + 0.02, 0.06, 0.31, (0.42, 0.43, 0.44), Material.METAL).moved(0, 0, 0.44),
            box(0.10, 0.10, 0.72, (0.35, 0.35, 0.36), Material.METAL).moved(0, 0.08, 0),
        ]
    )
