"""Primitive shapes that everything in the street is put together from. Each stands about the origin, z up, metres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh

_BOX_QUADS = np.array([[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]])


def quads(
    corners: ArrayLike, colour: ArrayLike, material: Material, uvw: ArrayLike | None = None, variant: int = 0
) -> Mesh:
    """Build two triangles for each quadrilateral (Q,4,3); uvw (Q,4,3) defaults to the corners."""
    return Mesh.from_corners(_split(corners), colour, material, None if uvw is None else _split(uvw), variant)


def _split(quad: ArrayLike) -> NDArray[np.float64]:
    q = np.asarray(quad, np.float64).reshape(-1, 4, 3)
    return q[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3, 3)


def box(length: float, width: float, height: float, colour: ArrayLike, material: Material, taper: float = 1.0) -> Mesh:
    """Return a box on the ground, centred in x and y; the top face is `taper` times as large."""
    x, y = length / 2, width / 2
    base = np.array([[-x, -y, 0], [x, -y, 0], [x, y, 0], [-x, y, 0]])
    top = base * [taper, taper, 1] + [0, 0, height]
    return quads(np.concatenate([base, top])[_BOX_QUADS], colour, material)


def tube(
    start: ArrayLike, end: ArrayLike, radius: float, colour: ArrayLike, material: Material, end_radius: float | None = None,
    sides: int = 8, capped: bool = True,
) -> Mesh:  # fmt: skip
    """Return a (tapered) cylinder between two points, with smooth sides."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (b - a) / max(float(np.linalg.norm(b - a)), 1e-9)
    side = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    ring = np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * other
    low, high = a + radius * ring, b + (radius if end_radius is None else end_radius) * ring
    following = np.roll(np.arange(sides), -1)
    mantle = quads(np.stack([low, low[following], high[following], high], 1), colour, material)
    normals = np.stack([ring, ring[following], ring[following], ring], 1)
    mantle = replace(mantle, normals=_split(normals).astype(np.float32))
    if not capped:
        return mantle
    caps = np.concatenate(
        [
            np.stack([low[following], low, np.broadcast_to(a, low.shape)], 1),
            np.stack([high, high[following], np.broadcast_to(b, high.shape)], 1),
        ]
    )
    return Mesh.join([mantle, Mesh.from_corners(caps, colour, material)])


def ellipsoid(
    centre: ArrayLike, radii: ArrayLike, colour: ArrayLike, material: Material, rings: int = 6, segments: int = 10,
    roughness: NDArray[np.float64] | None = None,
) -> Mesh:  # fmt: skip
    """Return an ellipsoid; roughness (rings+1, segments) scales each vertex' radius."""
    polar = np.linspace(0, np.pi, rings + 1)[:, None]
    turn = np.linspace(0, 2 * np.pi, segments, endpoint=False)[None]
    unit = np.stack(
        [np.sin(polar) * np.cos(turn), np.sin(polar) * np.sin(turn), np.cos(polar) + 0 * turn], -1
    )  # fmt: skip
    scale = np.ones((rings + 1, segments)) if roughness is None else roughness
    points = unit * scale[..., None] * np.asarray(radii, np.float64) + np.asarray(centre, np.float64)
    upper, lower = points[:-1], points[1:]
    faces = np.stack([upper, lower, np.roll(lower, -1, 1), np.roll(upper, -1, 1)], 2).reshape(-1, 4, 3)
    mesh = quads(faces, colour, material)
    edge = mesh.corners[:, 1:] - mesh.corners[:, :1]
    kept = np.linalg.norm(np.cross(edge[:, 0], edge[:, 1]), axis=1) > 1e-8
    return Mesh.from_corners(mesh.corners[kept], colour, material).smoothed(75)


def prism(profile: ArrayLike, width: float, colour: ArrayLike, material: Material) -> Mesh:
    """Extrude a convex polygon (P,2) of x, z, counter-clockwise seen from -y, along y."""
    p = np.asarray(profile, np.float64)
    right = np.column_stack([p[:, 0], np.full(len(p), -width / 2), p[:, 1]])
    left = right * [1, -1, 1]
    following = np.roll(np.arange(len(p)), -1)
    mantle = quads(np.stack([right, left, left[following], right[following]], 1)[:, ::-1], colour, material)
    fan = np.array([[0, i, i + 1] for i in range(1, len(p) - 1)])
    return Mesh.join(
        [
            mantle,
            Mesh.from_corners(right[fan], colour, material),
            Mesh.from_corners(left[fan[:, ::-1]], colour, material),
        ]
    )


def wheel(radius: float, width: float, rim: ArrayLike, x: float, y: float, sides: int = 14) -> Mesh:
    """Return a wheel whose axle is along y at (x, y), with a rim of its own colour on both faces."""
    outer, inner = np.array([0, width / 2, 0]), np.array([0, -width / 2, 0])
    tyre = tube(inner, outer, radius, (0.025, 0.025, 0.028), Material.RUBBER, sides=sides)
    hub = tube(inner * 1.04, outer * 1.04, radius * 0.62, rim, Material.METAL, sides=8)
    return Mesh.join([tyre, hub]).moved(x, y, radius)
