"""Trees, bushes and the wooded horizon. Crowns are a dark core behind a cloud of leaf clumps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import ellipsoid, quads, tube

Vector = NDArray[np.float64]
GREENS = np.array(
    [[0.055, 0.105, 0.022], [0.075, 0.13, 0.03], [0.045, 0.085, 0.03], [0.10, 0.13, 0.03], [0.13, 0.10, 0.03]]
)


def tree(height: float, spread: float, rng: np.random.Generator, leaves: int = 560) -> Mesh:
    """Return a broad-leaved tree of a height and crown radius in metres."""
    green = GREENS[rng.choice(len(GREENS), p=[0.3, 0.25, 0.25, 0.14, 0.06])] * rng.uniform(0.8, 1.3)
    bark = np.array([0.10, 0.075, 0.055]) * rng.uniform(0.7, 1.4)
    bole = height * float(rng.uniform(0.28, 0.42))
    lean = rng.normal(0, 0.15, 2)
    top = np.array([lean[0], lean[1], bole])
    trunk = 0.05 + 0.022 * height
    parts = [tube((0, 0, -0.3), top, trunk, bark, Material.BARK, trunk * 0.7, 7, capped=False)]
    lobes = []
    for _ in range(int(rng.integers(4, 8))):
        out = rng.normal(0, 0.42, 2) * spread
        centre = np.array([*(top[:2] + out), rng.uniform(bole + 0.12 * height, height - spread * 0.35)])
        radius = spread * rng.uniform(0.42, 0.68)
        lobes.append((centre, radius))
        parts.append(tube(top, centre, trunk * 0.45, bark, Material.BARK, trunk * 0.15, 5, capped=False))
        rough = 1 + rng.uniform(-0.25, 0.15, (5, 7))
        parts.append(ellipsoid(centre, np.full(3, radius * 0.78), green * 0.45, Material.FOLIAGE, 4, 7, rough))
    parts.append(_leaves(lobes, green, leaves, 0.27 * spread**0.5, rng))
    return Mesh.join(parts)


def conifer(height: float, rng: np.random.Generator) -> Mesh:
    """Return a fir."""
    green = np.array([0.03, 0.065, 0.025]) * rng.uniform(0.8, 1.3)
    parts = [tube((0, 0, -0.3), (0, 0, height * 0.5), 0.15, (0.09, 0.06, 0.045), Material.BARK, 0.08, 6, capped=False)]
    lobes = []
    for level in np.linspace(0.15, 0.95, 7):
        radius = 0.24 * height * (1 - level) + 0.1
        rise = height * 0.28
        base = height * level
        parts.append(
            tube(
                (0, 0, base),
                (0, 0, min(base + rise, height)),
                radius,
                green * 0.6,
                Material.FOLIAGE,
                0.02,
                9,
                capped=False,
            )
        )
        lobes.append((np.array([0, 0, base + 0.1]), radius))
    parts.append(_leaves(lobes, green, 180, 0.4, rng, flat=0.3))
    return Mesh.join(parts)


def bush(radius: float, rng: np.random.Generator) -> Mesh:
    """Return a shrub."""
    green = GREENS[rng.integers(4)] * rng.uniform(0.8, 1.3)
    centre = np.array([0, 0, radius * 0.6])
    rough = 1 + rng.uniform(-0.2, 0.15, (5, 7))
    core = ellipsoid(
        centre, np.array([radius, radius, radius * 0.75]) * 0.85, green * 0.5, Material.FOLIAGE, 4, 7, rough
    )
    return Mesh.join([core, _leaves([(centre, radius)], green, int(90 * radius), 0.22, rng)])


def _leaves(
    lobes: list[tuple[Vector, float]],
    green: Vector,
    count: int,
    size: float,
    rng: np.random.Generator,
    flat: float = 1.0,
) -> Mesh:
    """Scatter leaf clumps, one triangle each, over spheres; their normals look outwards, as a crown shades."""
    share = np.array([r**2 for _, r in lobes])
    owner = rng.choice(len(lobes), count, p=share / share.sum())
    centres, radii = np.array([c for c, _ in lobes])[owner], np.array([r for _, r in lobes])[owner]
    outward = rng.normal(0, 1, (count, 3))
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    middle = centres + outward * (radii * rng.uniform(0.75, 1.12, count))[:, None] * [1, 1, flat]
    corners = middle[:, None] + rng.normal(0, size * 0.62, (count, 3, 3))
    mesh = Mesh.from_corners(corners, green, Material.FOLIAGE)
    shade = rng.uniform(0.65, 1.45, (count, 1)) * (0.72 + 0.35 * outward[:, 2:])
    normals = np.repeat((outward + np.array([0, 0, 0.25]))[:, None], 3, 1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return replace(mesh, colour=(mesh.colour * shade).astype(np.float32), normals=normals.astype(np.float32))


def horizon(rng: np.random.Generator) -> Mesh:
    """Return wooded hills around the scene: two rings of uneven height standing on z = 0."""
    parts = []
    for radius, usual, green in ((230.0, 9.0, (0.045, 0.075, 0.03)), (520.0, 34.0, (0.05, 0.08, 0.055))):
        n = 160
        angle = np.linspace(0, 2 * np.pi, n + 1)
        coarse = np.interp(angle, np.linspace(0, 2 * np.pi, 15), np.r_[(v := rng.uniform(0.1, 1.5, 14)), v[0]])
        height = usual * coarse * rng.uniform(0.85, 1.15, n + 1) * float(rng.uniform(0.3, 1.3))
        height[-1] = height[0]
        foot = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.zeros(n + 1)])
        ridge = foot * [1.02, 1.02, 1] + np.column_stack([0 * angle, 0 * angle, height + 5.0])
        ring = np.stack([foot[1:], foot[:-1], ridge[:-1], ridge[1:]], 1)
        parts.append(quads(ring, np.asarray(green) * rng.uniform(0.8, 1.3), Material.FOLIAGE))
    return Mesh.join(parts)
