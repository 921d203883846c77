"""Houses, blocks of flats, sheds and garden walls along a street."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, quads
from mono3d_kd_core.simulation.street.street import Street

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Look:
    """How a set of buildings looks: wall colours (linear RGB) and the shader's variants, which choose windows and bricks."""

    walls: tuple[tuple[float, float, float], ...]
    variants: tuple[int, ...]


TRAINING = Look(
    ((0.55, 0.50, 0.40), (0.62, 0.58, 0.50), (0.45, 0.43, 0.40), (0.60, 0.45, 0.28), (0.33, 0.14, 0.09), (0.66, 0.65, 0.62),
     (0.50, 0.33, 0.22), (0.40, 0.42, 0.44), (0.58, 0.52, 0.30)),
    (0, 1, 2, 3),
)  # fmt: skip
HELD_OUT = Look(((0.36, 0.48, 0.50), (0.55, 0.36, 0.36), (0.48, 0.55, 0.42), (0.25, 0.20, 0.18)), (4, 5))

_SIZES: dict[str, tuple[tuple[float, float], tuple[int, int], tuple[float, float], float]] = {
    # frontage, storeys, set-back from the building line, gap between neighbours
    "residential": ((9, 16), (2, 3), (0.5, 5), 5.0), "urban": ((10, 26), (3, 6), (0, 0.4), 0.8),
    "avenue": ((14, 34), (2, 5), (2, 10), 8.0), "country": ((9, 18), (1, 2), (8, 25), 45.0),
    "village": ((8, 15), (1, 2), (0.2, 4), 6.0), "terrace": ((5.5, 8), (2, 3), (0, 0.2), 0.0),
    "estate": ((18, 40), (3, 8), (5, 14), 14.0), "parkway": ((12, 25), (1, 2), (14, 28), 60.0),
}  # fmt: skip


def build_row(street: Street, sign: int, look: Look, rng: np.random.Generator) -> Mesh:
    """Return the buildings along one side (+1 left, -1 right) of a street."""
    frontages, storeys, setbacks, gap = _SIZES[street.kind]
    line = street.side(sign).building_line
    parts = []
    s = street.axis.start + float(rng.uniform(0, 10))
    while s < street.axis.end:
        length, depth = float(rng.uniform(*frontages)), float(rng.uniform(8, 13))
        out = line + float(rng.uniform(*setbacks)) + depth / 2
        free = not any(
            street.in_crossing(p, sign, 3.0) for p in np.linspace(s, s + length, 5)
        ) and out + depth / 2 < 0.9 * street.axis.tightest(sign)
        if free:
            floors = int(rng.integers(storeys[0], storeys[1] + 1))
            house = _house(length, depth, floors, look, rng)
            x, y, _, heading = street.axis.at(s + length / 2, sign * out)
            base = float(
                street.ground(s + np.array([0.0, length / 2, length]), np.full(3, sign * (out - depth / 2))).min()
            )
            turn = float(heading) + (np.pi if sign > 0 else 0.0)
            parts.append(house.moved(float(x), float(y), base - 0.3, turn))
            if street.kind in ("residential", "village", "estate") and rng.random() < 0.45:
                parts.append(_garden_wall(street, sign, s, length, rng))
        s += length + float(rng.exponential(gap)) + (0.05 if gap else 0.0)
    return Mesh.join(parts)


def _house(length: float, depth: float, floors: int, look: Look, rng: np.random.Generator) -> Mesh:
    """A house whose front looks along +y, standing on z = 0, centred."""
    colour = np.asarray(look.walls[rng.integers(len(look.walls))]) * rng.uniform(0.75, 1.15)
    variant = int(rng.choice(look.variants)) + 8 * int(rng.integers(0, 1000))
    brick = rng.random() < 0.3
    height = floors * float(rng.uniform(2.7, 3.2)) + float(rng.uniform(0.5, 1.0))
    parts = [_walls(length, depth, height, colour, Material.BRICK if brick else Material.FACADE, variant)]
    roof = np.array([[0.20, 0.075, 0.05], [0.10, 0.09, 0.09], [0.14, 0.10, 0.08], [0.22, 0.11, 0.07]])[rng.integers(4)]
    if floors <= 3 and rng.random() < 0.85:
        parts.append(
            _gable(length, depth, height, float(rng.uniform(1.8, 4.0)), roof, colour, variant, bool(rng.random() < 0.7))
        )
        if rng.random() < 0.7:
            chimney = box(0.6, 0.6, 1.8, colour * 0.7, Material.CONCRETE)
            parts.append(chimney.moved(float(rng.uniform(-0.3, 0.3)) * length, 0.0, height + 1.5))
    else:
        parts.append(box(length + 0.3, depth + 0.3, 0.35, colour * 0.8, Material.CONCRETE).moved(0, 0, height))
    if floors >= 2 and rng.random() < 0.35:
        for level in range(1, floors):
            for x in np.arange(-length / 2 + 2, length / 2 - 1.5, 4.5):
                balcony = box(2.2, 1.1, 1.0, colour * rng.uniform(0.6, 1.0), Material.CONCRETE)
                parts.append(balcony.moved(float(x), depth / 2 + 0.5, level * 3.0 + 0.2))
    if rng.random() < 0.5:
        porch = box(1.6, 1.2, 2.4, colour * 0.6, Material.FACADE)
        parts.append(porch.moved(float(rng.uniform(-0.35, 0.35)) * length, depth / 2 + 0.5, 0.0))
    return Mesh.join(parts)


def _walls(length: float, depth: float, height: float, colour: Vector, material: Material, variant: int) -> Mesh:
    """Four walls; the texture coordinates run along the wall and up."""
    x, y = length / 2, depth / 2
    feet = np.array([[-x, y], [x, y], [x, -y], [-x, -y]])
    faces, texture = [], []
    travelled = 0.0
    for a, b in zip(feet, np.roll(feet, -1, 0)):
        run = float(np.linalg.norm(b - a))
        faces.append([[*a, 0], [*a, height], [*b, height], [*b, 0]])
        # Whole windows only: the pattern of 2.6 m restarts at each corner.
        count = max(1.0, np.floor(run / 2.6))
        texture.append(
            [[0, 0, travelled], [0, height, travelled], [count * 2.6, height, travelled], [count * 2.6, 0, travelled]]
        )
        travelled += run
    return quads(np.array(faces)[:, ::-1], colour, material, np.array(texture)[:, ::-1], variant)


def _gable(
    length: float, depth: float, height: float, rise: float, roof: Vector, wall: Vector, variant: int, along: bool
) -> Mesh:
    """A pitched roof with its ridge along the street, or across."""
    if not along:
        return _gable(depth, length, height, rise, roof, wall, variant, True).moved(yaw=np.pi / 2)
    x, y, eave = length / 2 + 0.35, depth / 2 + 0.45, height - 0.25
    ridge = height + rise
    slopes = [
        [[-x, y, eave], [x, y, eave], [x, 0, ridge], [-x, 0, ridge]],
        [[x, -y, eave], [-x, -y, eave], [-x, 0, ridge], [x, 0, ridge]],
    ]
    texture = [[[-x, 0, 0], [x, 0, 0], [x, y, 0], [-x, y, 0]], [[x, 0, 0], [-x, 0, 0], [-x, y, 0], [x, y, 0]]]
    inset = length / 2
    gables = [
        [[k * inset, depth / 2, height], [k * inset, -depth / 2, height], [k * inset, 0, ridge - 0.15]] for k in (-1, 1)
    ]
    return Mesh.join(
        [
            quads(np.array(slopes)[:, ::-1], roof, Material.ROOF, np.array(texture)[:, ::-1]),
            Mesh.from_corners(gables, wall, Material.CONCRETE),
        ]
    )


def _garden_wall(street: Street, sign: int, s: float, length: float, rng: np.random.Generator) -> Mesh:
    """A low wall, fence or hedge at the back of the pavement, with a gate."""
    d = sign * (street.side(sign).kerb_line + street.side(sign).pavement + 0.3)
    style = int(rng.integers(3))
    height = float((0.7, 1.1, 1.3)[style] * rng.uniform(0.8, 1.4))
    width = (0.25, 0.08, 0.7)[style]
    colour = ((0.35, 0.33, 0.30), (0.22, 0.13, 0.07), (0.05, 0.10, 0.025))[style]
    material = (Material.CONCRETE, Material.BARK, Material.FOLIAGE)[style]
    gate = s + length * float(rng.uniform(0.3, 0.7))
    parts = []
    for a, b in ((s, gate - 0.8), (gate + 0.8, s + length)):
        for p in np.arange(a, b - 0.5, 3.0):
            run = min(3.0, b - p)
            x, y, _, heading = street.axis.at(p + run / 2, d)
            z = float(street.ground(p + run / 2, d))
            parts.append(
                box(run + 0.05, width, height + 0.1, colour, material).moved(
                    float(x), float(y), z - 0.1, float(heading)
                )
            )
    return Mesh.join(parts)
