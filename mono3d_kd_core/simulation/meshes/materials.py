"""What surfaces are made of: how they look and how they answer a laser."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Material(IntEnum):
    """The materials of the street; the number is what the kernels see."""

    ASPHALT = 0
    MARKING = 1
    KERB = 2
    PAVEMENT = 3
    GRASS = 4
    FACADE = 5
    BRICK = 6
    ROOF = 7
    FOLIAGE = 8
    BARK = 9
    PAINT = 10
    GLASS = 11
    RUBBER = 12
    METAL = 13
    LAMP = 14
    CLOTH = 15
    SKIN = 16
    SIGN = 17
    CONCRETE = 18
    PLASTIC = 19
    SOIL = 20


class Surface(NamedTuple):
    """One row of the table.

    mirror: share of the environment reflected head-on; gloss: strength of the sun's highlight; exponent: its sharpness;
    glow: light of its own; reflectance: at the laser's 905 nm, relative to a white diffuse target (None: from the colour);
    retro: how much of it comes back at any angle; lost: share of laser shots that never return.
    """

    mirror: float = 0.0
    gloss: float = 0.0
    exponent: float = 20.0
    glow: float = 0.0
    reflectance: float | None = None
    retro: float = 0.0
    lost: float = 0.0


SURFACES: dict[Material, Surface] = {
    Material.ASPHALT: Surface(gloss=0.03, exponent=8, reflectance=0.20),
    Material.MARKING: Surface(gloss=0.03, exponent=8, reflectance=0.55, retro=0.5),
    Material.KERB: Surface(reflectance=0.35),
    Material.PAVEMENT: Surface(reflectance=0.32),
    Material.GRASS: Surface(reflectance=0.42),
    Material.FACADE: Surface(reflectance=0.40),
    Material.BRICK: Surface(reflectance=0.38),
    Material.ROOF: Surface(reflectance=0.30),
    Material.FOLIAGE: Surface(gloss=0.06, exponent=6, reflectance=0.45, lost=0.05),
    Material.BARK: Surface(reflectance=0.32),
    Material.PAINT: Surface(mirror=0.07, gloss=0.9, exponent=70, lost=0.10),
    Material.GLASS: Surface(mirror=0.16, gloss=1.2, exponent=120, reflectance=0.08, lost=0.75),
    Material.RUBBER: Surface(gloss=0.05, exponent=8, reflectance=0.06, lost=0.05),
    Material.METAL: Surface(mirror=0.20, gloss=0.6, exponent=30, reflectance=0.45, lost=0.02),
    Material.LAMP: Surface(mirror=0.08, gloss=0.8, exponent=60, glow=0.35, reflectance=0.6, retro=0.6, lost=0.05),
    Material.CLOTH: Surface(),
    Material.SKIN: Surface(gloss=0.05, exponent=8, reflectance=0.45),
    Material.SIGN: Surface(gloss=0.1, exponent=15, glow=0.10, reflectance=0.9, retro=0.95),
    Material.CONCRETE: Surface(reflectance=0.35),
    Material.PLASTIC: Surface(mirror=0.03, gloss=0.25, exponent=25, lost=0.03),
    Material.SOIL: Surface(reflectance=0.30),
}

LOOK: NDArray[np.float32] = np.array(
    [[SURFACES[m].mirror, SURFACES[m].gloss, SURFACES[m].exponent, SURFACES[m].glow] for m in Material], np.float32
)
"""(materials, 4): mirror, gloss, exponent, glow, for the shading kernel."""

LASER: NDArray[np.float32] = np.array(
    [[-1.0 if SURFACES[m].reflectance is None else SURFACES[m].reflectance, SURFACES[m].retro, SURFACES[m].lost]
     for m in Material], np.float32
)  # fmt: skip
"""(materials, 3): reflectance (-1: take it from the colour), retro, lost, for the LiDAR."""
