"""People: jointed figures who walk, stand, sit, push and ride."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, ellipsoid, tube

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One person: height in metres, build (1 is average), colours (linear RGB) and habits that stay the same."""

    height: float
    build: float
    jacket: Vector
    trousers: Vector
    skin: Vector
    hair: Vector
    skirt: bool
    bag: bool
    stride: float
    lean: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Figure:
        """Draw a person."""
        child = rng.random() < 0.06
        return cls(
            height=float(np.clip(rng.normal(1.30, 0.12) if child else rng.normal(1.70, 0.085), 1.0, 1.98)),
            build=float(rng.uniform(0.88, 1.25)),
            jacket=_clothes(rng), trousers=_clothes(rng) * 0.6,
            skin=np.array([0.62, 0.40, 0.30]) * rng.uniform(0.35, 1.05),
            hair=np.array([0.12, 0.08, 0.05]) * rng.uniform(0.3, 3.0),
            skirt=bool(rng.random() < 0.15), bag=bool(rng.random() < 0.35),
            stride=float(rng.uniform(0.5, 1.3)), lean=float(rng.normal(0.03, 0.03)),
        )  # fmt: skip


PHASES = 16
"""Poses of a gait or of pedalling that are told apart; each is modelled once and then dressed."""

_MANNEQUIN = Figure(
    1.75, 1.0, jacket=np.full(3, 1.0), trousers=np.full(3, 2.0), skin=np.full(3, 3.0), hair=np.full(3, 4.0), skirt=False,
    bag=False, stride=1.0, lean=0.03,
)  # fmt: skip
"""Its colours are no colours but the numbers of what is worn; 5 is a bicycle's frame."""


def walker(figure: Figure, phase: float, moving: bool = True) -> Mesh:
    """Return a figure on foot, facing +x, at a phase of its gait in radians (one turn is two steps)."""
    stride = round(figure.stride * 5) / 5
    return _dress(figure, _walking_mannequin(_index(phase) if moving else 0, stride, moving, figure.skirt, figure.bag))


def sitter(figure: Figure) -> Mesh:
    """Return a figure seated on a bench or chair, facing +x."""
    return _dress(figure, _sitting_mannequin())


def cyclist(figure: Figure, phase: float, frame_colour: ArrayLike) -> Mesh:
    """Return a bicycle with its rider, heading +x, at a phase of the pedals in radians."""
    rider = replace(figure, height=1.72 + 0.7 * (figure.height - 1.70), build=0.85 + 0.5 * (figure.build - 0.88))
    longer, broader = 1.05 + 0.25 * (figure.stride - 0.9), 0.82 + 0.55 * (figure.build - 0.88)
    return _dress(rider, _riding_mannequin(_index(phase)), frame_colour).scaled(longer, broader, 1)


def _index(phase: float) -> int:
    return round(phase / (2 * np.pi) * PHASES) % PHASES


@lru_cache(maxsize=512)
def _walking_mannequin(index: int, stride: float, moving: bool, skirt: bool, bag: bool) -> Mesh:
    return _walker(replace(_MANNEQUIN, stride=stride, skirt=skirt, bag=bag), 2 * np.pi * index / PHASES, moving)


@lru_cache(maxsize=1)
def _sitting_mannequin() -> Mesh:
    return _sitter(_MANNEQUIN)


@lru_cache(maxsize=PHASES)
def _riding_mannequin(index: int) -> Mesh:
    return _cyclist(_MANNEQUIN, 2 * np.pi * index / PHASES)


def _dress(figure: Figure, mannequin: Mesh, frame_colour: ArrayLike = (0, 0, 0)) -> Mesh:
    """Give a mannequin somebody's size and colours."""
    wear = np.array([[0, 0, 0], figure.jacket, figure.trousers, figure.skin, figure.hair, frame_colour], np.float32)
    number = np.where(mannequin.colour[:, 0] > 0.99, np.round(mannequin.colour[:, 0]), 0).astype(int)
    colour = np.where(number[:, None] > 0, wear[number], mannequin.colour).astype(np.float32)
    s = figure.height / 1.75
    return replace(mannequin.scaled(s * figure.build**0.5, s * figure.build, s), colour=colour)


def _clothes(rng: np.random.Generator) -> Vector:
    if rng.random() < 0.6:
        return np.full(3, rng.uniform(0.02, 0.5)) * rng.uniform(0.85, 1.15, 3)
    return np.asarray(rng.uniform(0.03, 0.6, 3))


def _walker(figure: Figure, phase: float, moving: bool) -> Mesh:
    s = figure.height / 1.75
    swing = 0.34 * figure.stride * np.sin(phase) if moving else 0.04
    joints: dict[str, tuple[Vector, ...]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        hip = np.array([0.0, sign * 0.09, 0.92]) * s
        angle = sign * swing
        bend = max(0.0, 0.75 * np.cos(phase) * sign) if moving else 0.0
        knee = hip + 0.44 * s * _down(angle + 0.08)
        ankle = knee + 0.44 * s * _down(angle - bend)
        shoulder = np.array([figure.lean * 0.5, sign * 0.19 * figure.build, 1.43]) * s
        elbow = shoulder + 0.29 * s * _down(-angle * 0.9)
        wrist = elbow + 0.27 * s * _down(-angle * 0.9 + 0.35)
        joints[side] = (hip, knee, ankle, shoulder, elbow, wrist)
    return _dressed(figure, joints, pelvis=np.array([0.0, 0.0, 0.92]) * s, neck=np.array([figure.lean, 0, 1.48]) * s)


def _sitter(figure: Figure) -> Mesh:
    s = figure.height / 1.75
    joints: dict[str, tuple[Vector, ...]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        hip = np.array([0, sign * 0.09 * s, 0.50 * s])
        knee = hip + np.array([0.42 * s, sign * 0.03, 0.02])
        ankle = knee + np.array([0.02, 0, -0.43 * s])
        shoulder = np.array([-0.04, sign * 0.19 * figure.build * s, 1.0 * s])
        elbow = shoulder + np.array([0.12, 0, -0.25 * s])
        wrist = elbow + np.array([0.22 * s, 0, -0.05])
        joints[side] = (hip, knee, ankle, shoulder, elbow, wrist)
    return _dressed(figure, joints, pelvis=np.array([0, 0, 0.50 * s]), neck=np.array([-0.03, 0, 1.05 * s]))


def _cyclist(figure: Figure, phase: float) -> Mesh:
    s = figure.height / 1.75
    pelvis = np.array([-0.20, 0, 0.98])
    neck = pelvis + 0.54 * s * np.array([np.sin(0.45), 0, np.cos(0.45)])
    joints: dict[str, tuple[Vector, ...]] = {}
    for side, sign in (("left", 1), ("right", -1)):
        hip = pelvis + np.array([0, sign * 0.09, 0])
        ankle = np.array([0.02 + 0.17 * np.cos(phase + (sign > 0) * np.pi), sign * 0.12,
                          0.34 + 0.17 * np.sin(phase + (sign > 0) * np.pi)])  # fmt: skip
        knee = _knee(hip, ankle, 0.45 * s)
        shoulder = neck + np.array([-0.03, sign * 0.19 * figure.build, -0.05])
        wrist = np.array([0.42, sign * 0.24, 1.04])
        elbow = 0.5 * (shoulder + wrist) + [-0.05, sign * 0.04, -0.08]
        joints[side] = (hip, knee, ankle, shoulder, elbow, wrist)
    return Mesh.join([_dressed(figure, joints, pelvis, neck), bicycle(np.full(3, 5.0))])


def bicycle(colour: ArrayLike) -> Mesh:
    """Return a bicycle standing upright, heading +x."""
    black = (0.02, 0.02, 0.02)
    rear, front = np.array([-0.52, 0, 0.34]), np.array([0.55, 0, 0.34])
    saddle, crank, head, bar = (
        np.array(p) for p in ((-0.22, 0, 0.95), (0.02, 0, 0.32), (0.36, 0, 0.86), (0.40, 0, 1.03))
    )
    parts = [_bicycle_wheel(rear), _bicycle_wheel(front)]
    for a, b in ((rear, crank), (rear, saddle), (crank, saddle), (crank, head), (saddle + np.array([0.03, 0, -0.12]), head),
                 (head, front), (head, bar)):  # fmt: skip
        parts.append(tube(a, b, 0.02, colour, Material.PAINT, sides=5, capped=False))
    parts += [
        tube(bar - np.array([0, 0.27, 0]), bar + np.array([0, 0.27, 0]), 0.016, black, Material.METAL, sides=5),
        box(0.26, 0.14, 0.06, black, Material.PLASTIC, taper=0.8).moved(-0.24, 0, 0.93),
        box(0.07, 0.05, 0.05, (0.5, 0.02, 0.02), Material.LAMP).moved(-0.62, 0, 0.70),
    ]
    return Mesh.join(parts)


def _bicycle_wheel(centre: Vector, radius: float = 0.34, count: int = 16) -> Mesh:
    angle = np.linspace(0, 2 * np.pi, count + 1)
    points = centre + radius * np.column_stack([np.cos(angle), np.zeros_like(angle), np.sin(angle)])
    rim = [tube(a, b, 0.022, (0.02, 0.02, 0.02), Material.RUBBER, sides=4, capped=False) for a, b in pairwise(points)]
    spokes = [
        tube(centre, p, 0.004, (0.5, 0.5, 0.5), Material.METAL, sides=3, capped=False)
        for p in points[: count : count // 8]
    ]
    return Mesh.join(rim + spokes)


def _down(angle: float) -> Vector:
    """Direction of a limb that hangs at `angle` forward of straight down."""
    return np.array([np.sin(angle), 0.0, -np.cos(angle)])


def _knee(hip: Vector, ankle: Vector, bone: float) -> Vector:
    """Return where the knee is when both bones have one length and it bends forward."""
    across = ankle - hip
    reach = min(float(np.linalg.norm(across)), 2 * bone * 0.999)
    forward = np.cross([0, 1.0, 0], across / np.linalg.norm(across))
    forward = forward if forward[0] > 0 else -forward
    return np.asarray(hip + across / 2 + forward * np.sqrt(bone**2 - (reach / 2) ** 2))


def _dressed(figure: Figure, joints: dict[str, tuple[Vector, ...]], pelvis: Vector, neck: Vector) -> Mesh:
    """Put flesh and clothes on the joints."""
    s, b = figure.height / 1.75, figure.build
    cloth, skin = Material.CLOTH, Material.SKIN
    spine = (neck - pelvis) / np.linalg.norm(neck - pelvis)
    waist, chest = pelvis + spine * 0.22 * s, neck - spine * 0.10 * s
    parts = [
        _torso(pelvis, waist, 0.155 * s * b, 0.145 * s * b, figure.trousers if not figure.skirt else figure.jacket),
        _torso(waist, chest, 0.145 * s * b, 0.18 * s * b, figure.jacket),
        _torso(chest, neck, 0.18 * s * b, 0.07 * s, figure.jacket),
        tube(neck - spine * 0.02, neck + spine * 0.09 * s, 0.055 * s, figure.skin, skin, sides=7),
        ellipsoid(neck + spine * 0.175 * s + [0.02, 0, 0], np.array([0.10, 0.078, 0.125]) * s, figure.skin, skin, 6, 9),
        ellipsoid(
            neck + spine * 0.205 * s + [-0.012, 0, 0], np.array([0.105, 0.088, 0.115]) * s, figure.hair, cloth, 6, 9
        ),
    ]
    for hip, knee, ankle, shoulder, elbow, wrist in joints.values():
        parts += [
            tube(hip, knee, 0.085 * s * b, figure.trousers, cloth, 0.062 * s * b, 7),
            tube(knee, ankle, 0.060 * s * b, figure.trousers if not figure.skirt else figure.skin, cloth, 0.042 * s, 7),
            box(0.25 * s, 0.09 * s, 0.07 * s, (0.03, 0.025, 0.02), Material.RUBBER, 0.8).transformed(
                np.eye(3), ankle + np.array([0.06 * s, 0, -0.065 * s])
            ),
            tube(shoulder, elbow, 0.055 * s * b, figure.jacket, cloth, 0.045 * s, 6),
            tube(elbow, wrist, 0.043 * s, figure.jacket, cloth, 0.034 * s, 6),
            ellipsoid(wrist + (wrist - elbow) * 0.22, np.array([0.045, 0.035, 0.05]) * s, figure.skin, skin, 4, 6),
        ]
    if figure.skirt:
        parts.append(
            tube(pelvis + spine * 0.05, pelvis - spine * 0.42 * s, 0.16 * s * b, figure.trousers, cloth, 0.23 * s, 9)
        )
    if figure.bag:
        wrist = joints["left"][5]
        parts.append(
            box(0.28, 0.12, 0.30, figure.hair, cloth).transformed(np.eye(3), wrist + np.array([0, 0.02, -0.38]))
        )
    return Mesh.join(parts)


def _torso(a: Vector, b: Vector, radius: float, end_radius: float, colour: Vector) -> Mesh:
    """A tube that is wider than deep; the stretch is about the line from a to b, seen from above."""
    middle = (a + b) / 2
    mesh = tube(a - middle, b - middle, radius, colour, Material.CLOTH, end_radius, 10)
    return mesh.scaled(0.70, 1.12, 1.0).transformed(np.eye(3), middle)
