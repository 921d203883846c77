"""The plan of a street: where its axis runs, how it rises, and what lies across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Vector = NDArray[np.float64]
STEP = 1.0
"""Metres between the samples of an axis."""
PAVEMENT_FALL = 0.03
"""Slope of a pavement towards its kerb, for the rain."""


@dataclass(frozen=True)
class Axis:
    """A street's axis by arc length s: x, y (S,), heading (S,) in radians, height z (S,), all in the world frame.

    Beside it, d metres to the left are positive.
    """

    start: float
    x: Vector
    y: Vector
    heading: Vector
    z: Vector

    @classmethod
    def draw(cls, rng: np.random.Generator, start: float, end: float, bend: float, hilliness: float) -> Axis:
        """Draw an axis through the origin at s = 0; bend is the usual curvature in 1/m, hilliness the usual grade."""
        s = np.arange(start, end + STEP, STEP)
        curvature = np.clip(_smooth(rng, s, 45.0) * bend, -1 / 70, 1 / 70)
        heading = _integrate(curvature, s)
        grade = np.clip(_smooth(rng, s, 60.0) * hilliness, -0.09, 0.09)
        return cls(
            start, _integrate(np.cos(heading), s), _integrate(np.sin(heading), s), heading, _integrate(grade, s)
        )  # fmt: skip

    @property
    def end(self) -> float:
        """The last arc length."""
        return self.start + STEP * (len(self.x) - 1)

    def at(self, s: ArrayLike, d: ArrayLike) -> tuple[Vector, Vector, Vector, Vector]:
        """Return x, y, z and heading at arc lengths s, d metres to the left; straight on beyond the ends."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        inside = np.clip(s, self.start, self.end)
        knots = self.start + STEP * np.arange(len(self.x))
        heading = np.interp(inside, knots, self.heading)
        beyond = s - inside
        x = np.interp(inside, knots, self.x) + beyond * np.cos(heading) - d * np.sin(heading)
        y = np.interp(inside, knots, self.y) + beyond * np.sin(heading) + d * np.cos(heading)
        return x, y, np.interp(inside, knots, self.z), heading

    def grade(self, s: float) -> float:
        """Return the slope dz/ds."""
        return float((self.at(s + 2, 0)[2] - self.at(s - 2, 0)[2]) / 4)

    def tightest(self, side: int) -> float:
        """Return the least radius of curvature towards a side (+1 left, -1 right), metres."""
        bend = float((np.gradient(self.heading, STEP) * side).max())
        return 1 / bend if bend > 1e-6 else np.inf


def _smooth(rng: np.random.Generator, s: Vector, wavelength: float) -> Vector:
    """Smooth noise of unit size along s."""
    knots = np.arange(s[0] - 3 * wavelength, s[-1] + 3 * wavelength, wavelength)
    values = np.repeat(np.interp(s, knots, rng.normal(0, 1, len(knots)))[None], 1, 0)[0]
    width = int(wavelength / STEP)
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width, mode="edge")
    return np.asarray(np.convolve(padded, kernel / kernel.sum(), "same")[width:-width])


def _integrate(rate: Vector, s: Vector) -> Vector:
    """Trapezoidal integral along s that vanishes at s = 0."""
    total = np.r_[0.0, np.cumsum((rate[1:] + rate[:-1]) / 2 * np.diff(s))]
    return np.asarray(total - np.interp(0.0, s, total))


@dataclass(frozen=True)
class Side:
    """What lies to one side of the axis, outwards, widths in metres.

    lanes carriageway lanes; parking strip (0: none); pavement behind the kerb; verge of grass or gardens; kerb height;
    bank is the slope of the land beyond (positive rises).
    """

    lanes: int
    lane_width: float
    parking: float
    pavement: float
    verge: float
    kerb: float
    bank: float

    @property
    def kerb_line(self) -> float:
        """Distance of the kerb from the axis."""
        return self.lanes * self.lane_width + self.parking

    @property
    def building_line(self) -> float:
        """Distance from the axis at which buildings may stand."""
        return self.kerb_line + self.pavement + self.verge


@dataclass(frozen=True)
class Crossing:
    """A side street that crosses at right angles at arc length s; half its carriageway's width; open sides."""

    s: float
    half_width: float
    left: bool
    right: bool
    zebra: bool
    signals: bool


@dataclass(frozen=True)
class Street:
    """A street: kind, axis, what lies to its left and right, its crossings, and the fall of the road to its edges."""

    kind: str
    axis: Axis
    left: Side
    right: Side
    crossings: tuple[Crossing, ...]
    camber: float

    def side(self, sign: int) -> Side:
        """Return the left side for +1, the right one for -1."""
        return self.left if sign > 0 else self.right

    def in_crossing(self, s: float, sign: int, margin: float = 0.0) -> bool:
        """Say whether arc length s lies in the mouth of a side street on that side."""
        return any(abs(s - c.s) < c.half_width + margin and (c.left if sign > 0 else c.right) for c in self.crossings)

    def ground(self, s: ArrayLike, d: ArrayLike) -> Vector:
        """Return the height of the ground at (s, d): the road with its camber, kerbs, banks; no furniture."""
        s, d = np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64))
        z = self.axis.at(s, 0)[2]
        for sign in (1, -1):
            side, out = self.side(sign), sign * d
            road = -self.camber * np.minimum(np.maximum(out, 0), side.kerb_line)
            mouth = np.zeros(s.shape, bool)
            for c in self.crossings:
                if c.left if sign > 0 else c.right:
                    mouth |= np.abs(s - c.s) < c.half_width
            behind_kerb = np.clip(out - side.kerb_line, 0, side.pavement)
            raised = np.where((out > side.kerb_line) & ~mouth, side.kerb + PAVEMENT_FALL * behind_kerb, 0.0)
            beyond = np.maximum(out - side.kerb_line - side.pavement, 0) * np.where(mouth, 0.3 * side.bank, side.bank)
            z = z + np.where(out >= 0, road + raised + np.clip(beyond, -4, 6), 0)
        return np.asarray(z)


KINDS: dict[str, float] = {"residential": 0.36, "urban": 0.22, "avenue": 0.14, "country": 0.18, "village": 0.10}
"""Street types seen in training, with their shares."""

HELD_OUT_KINDS: dict[str, float] = {"terrace": 0.4, "estate": 0.3, "parkway": 0.3}
"""Street types that only validation sees."""


def draw_street(kind: str, rng: np.random.Generator, start: float = -60.0, end: float = 190.0) -> Street:
    """Draw a street of a kind between two arc lengths; the vehicle under test starts near s = 0."""
    bend = {"country": 1 / 160, "parkway": 1 / 200, "village": 1 / 120}.get(kind, 1 / 320)
    if rng.random() < 0.35:
        bend *= 0.1
    axis = Axis.draw(rng, start, end, bend, {"country": 0.022, "village": 0.026}.get(kind, 0.014))
    crossings = _draw_crossings(kind, rng, start, end)
    lane = float(rng.uniform(2.9, 3.5) if kind in ("avenue", "country", "parkway", "urban") else rng.uniform(2.5, 3.1))
    sides = [_draw_side(kind, lane, rng) for _ in range(2)]
    return Street(kind, axis, sides[0], sides[1], crossings, float(rng.uniform(0.004, 0.018)))


def _draw_crossings(kind: str, rng: np.random.Generator, start: float, end: float) -> tuple[Crossing, ...]:
    spacing = {"country": 220.0, "parkway": 200.0, "village": 110.0}.get(kind, 85.0)
    found = []
    s = start + float(rng.uniform(25, spacing))
    while s < end - 10:
        left, right = rng.random(2) < 0.7
        found.append(
            Crossing(s, float(rng.uniform(3.0, 5.0)), bool(left), bool(right or not left),
                     bool(rng.random() < 0.5 and kind not in ("country", "parkway")),
                     bool(rng.random() < 0.5 and kind in ("urban", "avenue")))
        )  # fmt: skip
        s += spacing * float(rng.uniform(0.6, 1.6))
    return tuple(found)


def _draw_side(kind: str, lane: float, rng: np.random.Generator) -> Side:
    u = rng.uniform
    parking = (
        2.1
        if rng.random() < {"residential": 0.85, "urban": 0.6, "terrace": 0.9, "estate": 0.7}.get(kind, 0.15)
        else 0.0
    )
    bank = float(rng.normal(0, 0.02))
    if kind in ("country", "parkway"):
        return Side(1, lane, 0.0, float(u(0.5, 2.5)), float(u(2, 6)), float(u(0.0, 0.05)), float(rng.normal(0, 0.08)))
    if kind == "urban":
        return Side(
            int(rng.integers(1, 3)), lane, parking, float(u(2.5, 5)), float(u(0.0, 1.0)), float(u(0.14, 0.27)), 0.0
        )
    if kind == "avenue":
        return Side(2, lane, parking, float(u(2.5, 4)), float(u(2, 6)), float(u(0.08, 0.16)), bank)
    if kind == "terrace":
        return Side(1, lane, parking, float(u(1.8, 2.6)), float(u(0.5, 2.5)), float(u(0.08, 0.20)), 0.0)
    return Side(1, lane, parking, float(u(1.5, 2.8)), float(u(1.5, 6)), float(u(0.08, 0.24)), bank)
