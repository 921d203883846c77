"""The ground: carriageway, kerbs, pavements, verges and painted markings, as triangles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import quads
from mono3d_kd_core.simulation.street.street import Crossing, Street

Vector = NDArray[np.float64]
COLOURS = {
    Material.ASPHALT: (0.115, 0.115, 0.12), Material.PAVEMENT: (0.32, 0.31, 0.29), Material.GRASS: (0.075, 0.13, 0.035),
    Material.KERB: (0.36, 0.36, 0.35), Material.SOIL: (0.20, 0.16, 0.11), Material.CONCRETE: (0.36, 0.35, 0.33),
}  # fmt: skip
MARKING_COLOUR = (0.62, 0.62, 0.60)
Patch = tuple[float, float, float, float]
"""A painted patch: from and to along the street, from and to across it."""
LIFT = 0.012
"""Height of painted markings above the asphalt, metres: enough for the depth test, too little to see."""


def build_ground(street: Street, rng: np.random.Generator) -> Mesh:
    """Return the ground of a street and its markings."""
    tone = float(rng.uniform(0.75, 1.5))
    colours = {
        m: np.asarray(c) * (tone if m is Material.ASPHALT else rng.uniform(0.8, 1.2)) for m, c in COLOURS.items()
    }
    rows = _rows(street)
    parts = [_half(street, sign, rows, colours, rng) for sign in (1, -1)]
    parts.append(_markings(street, rng))
    return Mesh.join(parts)


def _rows(street: Street) -> Vector:
    """Arc lengths of the ground's cross-sections: every 3 m, and at the edges of the side streets."""
    axis = street.axis
    edges = [c.s + k * (c.half_width + e) for c in street.crossings for k in (-1, 1) for e in (-1e-4, 1e-4, 2.0)]
    rows = np.unique(np.r_[np.arange(axis.start, axis.end + 0.1, 3.0), edges])
    return np.asarray(rows[(rows >= axis.start) & (rows <= axis.end)])


def _half(street: Street, sign: int, rows: Vector, colours: dict[Material, Vector], rng: np.random.Generator) -> Mesh:
    """One side of the ground as strips along the street."""
    side = street.side(sign)
    kerb, pavement, building = side.kerb_line, side.kerb_line + side.pavement, side.building_line
    reach = min(55.0, 0.8 * street.axis.tightest(sign))
    paved = street.kind in ("urban",)
    hard = Material.SOIL if street.kind in ("country", "parkway") and rng.random() < 0.5 else Material.PAVEMENT
    strips = [
        (0.0, kerb * 0.5, Material.ASPHALT), (kerb * 0.5, kerb, Material.ASPHALT), (kerb, kerb + 0.15, Material.KERB),
        (kerb + 0.15, pavement, hard),
        (pavement, max(building, pavement + 0.1), Material.PAVEMENT if paved else Material.GRASS),
        (max(building, pavement + 0.1), max(building + 14, pavement + 3), Material.PAVEMENT if paved else Material.GRASS),
        (max(building + 14, pavement + 3), max(reach, building + 20), Material.GRASS),
    ]  # fmt: skip
    mouth = np.array([street.in_crossing(s, sign) for s in (rows[:-1] + rows[1:]) / 2])
    crossing_pavement = np.array([street.in_crossing(s, sign, 2.0) for s in (rows[:-1] + rows[1:]) / 2]) & ~mouth
    parts = []
    for near, far, material in strips:
        patch = _strip(street, sign, rows, near, far)
        kinds = np.full(len(rows) - 1, int(material))
        kinds[mouth] = int(Material.ASPHALT)
        if near >= pavement - 1e-6:
            kinds[crossing_pavement] = int(Material.PAVEMENT)
        parts += [
            quads(
                _oriented(patch[0][kinds == k], sign),
                colours[Material(k)],
                Material(k),
                _oriented(patch[1][kinds == k], sign),
            )
            for k in np.unique(kinds)
        ]
    if side.kerb > 0.01:
        parts.append(_kerb_faces(street, sign, rows, kerb, mouth, colours[Material.KERB]))
    return Mesh.join(parts)


def _strip(street: Street, sign: int, rows: Vector, near: float, far: float) -> tuple[Vector, Vector]:
    """Quadrilaterals (R-1,4,3) between two distances from the axis, and their texture coordinates (s, d, 0)."""
    ends = (
        (rows[:-1], 1e-5, near, 1e-4),
        (rows[1:], -1e-5, near, 1e-4),
        (rows[1:], -1e-5, far, -1e-4),
        (rows[:-1], 1e-5, far, -1e-4),
    )
    points, texture = [], []
    for s, inward, d, within in ends:
        x, y, _, _ = street.axis.at(s, sign * d)
        points.append(np.stack([x, y, street.ground(s + inward, sign * (d + within))], 1))
        texture.append(np.stack([s, np.full_like(s, sign * d), np.zeros_like(s)], 1))
    return np.stack(points, 1), np.stack(texture, 1)


def _oriented(quad: Vector, sign: int) -> Vector:
    """Let upper faces look up on both sides of the axis."""
    return quad if sign > 0 else quad[:, ::-1]


def _kerb_faces(street: Street, sign: int, rows: Vector, kerb: float, mouth: NDArray[np.bool_], colour: Vector) -> Mesh:
    """The upright faces of the kerb along the road and into the side streets."""
    a, b = rows[:-1][~mouth], rows[1:][~mouth]

    def at(s: Vector, inward: float, probe: float) -> Vector:
        x, y, _, _ = street.axis.at(s, sign * kerb)
        return np.stack([x, y, street.ground(s + inward, sign * probe)], 1)

    low, high = kerb - 1e-4, kerb + 1e-4
    faces = [np.stack([at(a, 1e-5, low), at(b, -1e-5, low), at(b, -1e-5, high), at(a, 1e-5, high)], 1)]
    for c in street.crossings:
        if not (c.left if sign > 0 else c.right):
            continue
        for k in (-1, 1):
            out = np.arange(kerb, street.side(sign).building_line + 14, 4.0)
            s = np.full_like(out, c.s + k * c.half_width)
            x, y, _, _ = street.axis.at(s, sign * out)
            bottom = np.stack([x, y, street.ground(s - k * 1e-3, sign * (out + 1e-3))], 1)
            top = np.stack([x, y, street.ground(s + k * 1e-3, sign * (out + 1e-3))], 1)
            faces.append(np.stack([bottom[:-1], bottom[1:], top[1:], top[:-1]], 1))
    return quads(np.concatenate(faces), colour, Material.KERB)


def _markings(street: Street, rng: np.random.Generator) -> Mesh:
    """Centre and lane lines, edge lines, parking bays, zebra crossings and stop lines."""
    found: list[Patch] = []
    start, end = street.axis.start, street.axis.end
    if street.kind not in ("residential", "estate", "terrace") or rng.random() < 0.4:
        dash = ((3.0, 6.0), (4.0, 8.0), (6.0, 12.0), (1e3, 1e3))[rng.integers(4)]
        found += [(s, min(s + dash[0], end), -0.06, 0.06) for s in np.arange(start, end, dash[1])]
    for sign in (1, -1):
        side = street.side(sign)
        for lane in range(1, side.lanes):
            d = sign * lane * side.lane_width
            found += [(s, s + 3.0, d - 0.06, d + 0.06) for s in np.arange(start, end - 3, 9.0)]
        edge = sign * (side.lanes * side.lane_width - 0.15)
        if side.parking and rng.random() < 0.5:
            kerb = sign * side.kerb_line
            found += [(s, s + 0.1, min(edge, kerb), max(edge, kerb)) for s in np.arange(start, end, 5.5)]
        elif street.kind in ("country", "parkway", "avenue"):
            found.append((start, end, edge - 0.06, edge + 0.06))
    kept = [m for m in found if not any(m[0] < c.s + c.half_width and m[1] > c.s - c.half_width and m[1] - m[0] < 50
                                        for c in street.crossings)]  # fmt: skip
    for c in street.crossings:
        kept += _crossing_markings(street, c)
    return _painted(street, kept)


def _crossing_markings(street: Street, c: Crossing) -> list[Patch]:
    left, right = street.left.lanes * street.left.lane_width, street.right.lanes * street.right.lane_width
    marks: list[Patch] = []
    for k in (-1, 1):
        near = c.s + k * (c.half_width + 1.0)
        if c.zebra:
            far = near + k * 3.0
            marks += [(min(near, far), max(near, far), d, d + 0.5) for d in np.arange(-right, left - 0.3, 1.0)]
        stop = near + k * 4.2
        marks.append((stop - 0.2, stop + 0.2, *((-right, 0.0) if k < 0 else (0.0, left))))
    return marks


def _painted(street: Street, patches: list[Patch]) -> Mesh:
    """Paint patches on the ground, long ones in pieces that follow the street."""
    pieces = [
        (u, v, d0, d1)
        for s0, s1, d0, d1 in patches
        for u, v in pairwise(np.linspace(s0, s1, max(2, int((s1 - s0) / 3.0) + 1)).tolist())
    ]
    if not pieces:
        return Mesh.empty()
    s0, s1, d0, d1 = np.array(pieces).T
    s, d = np.stack([s0, s1, s1, s0], 1), np.stack([d0, d0, d1, d1], 1)
    x, y, _, _ = street.axis.at(s, d)
    corners = np.stack([x, y, street.ground(s, d) + LIFT], -1)
    return quads(corners, MARKING_COLOUR, Material.MARKING, np.stack([s, d, np.zeros_like(s)], -1))


def land() -> Mesh:
    """Return a plain to the horizon."""
    r = 900.0
    return quads(np.array([[[-r, -r, 0], [r, -r, 0], [r, r, 0], [-r, r, 0]]]), COLOURS[Material.GRASS], Material.GRASS)
