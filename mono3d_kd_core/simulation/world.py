"""A world: a street with its scenery, its light, and everything that moves, at any time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix, rotation_z, transform
from mono3d_kd_core.simulation.actors.casting import Actor
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.rendering.light import Light, draw_light
from mono3d_kd_core.simulation.street import buildings
from mono3d_kd_core.simulation.street.scenery import build_backdrop, build_scenery
from mono3d_kd_core.simulation.street.street import HELD_OUT_KINDS, KINDS, Street, draw_street
from mono3d_kd_core.simulation.traffic.traffic import Traffic, draw_traffic
from mono3d_kd_core.simulation.traffic.ways import Mover

BELOW = 4.5
"""Metres from the lowest point of the road nearby down to the land around."""
Split = Literal["train", "val"]


@dataclass(frozen=True)
class Placed:
    """An actor at a moment: its identity, its T_world_actor (4,4), its gait's phase, its velocity (3,) in m/s."""

    identity: int
    actor: Actor
    pose: Matrix
    phase: float
    velocity: NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """A street and all that is on it.

    scenery stands still (world frame); backdrop bounds the view and is carried along, see `surroundings`.
    attitude (3,) is its pitch, roll and lift for load, springs and mounting; rocking (3,3) are frequency in Hz, phase and
    amplitude of its pitch, roll and bounce.
    """

    street: Street
    scenery: Mesh
    backdrop: Mesh
    light: Light
    traffic: Traffic
    rocking: NDArray[np.float64]
    attitude: NDArray[np.float64]

    def ego(self, t: float) -> Matrix:
        """Return T_world_base (4,4) at t seconds: the base is on the road under the test vehicle, x forward, z up."""
        s, d, heading, _ = self.traffic.ego(t)
        pose = _pose(self.street, s, d, heading)
        frequency, turn, size = self.rocking
        pitch, roll, bounce = self.attitude + size * np.sin(2 * np.pi * frequency * t + turn)
        cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
        tilt = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]]) @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
        return pose @ transform(tilt, [0, 0, bounce])

    def actors(self, t: float, within: float = np.inf) -> list[Placed]:
        """Return where everything with a label is at t seconds, `within` that many metres along the street."""
        here = self.traffic.ego(t)[0]
        movers = enumerate(self.traffic.movers)
        return [self._placed(i, mover, t) for i, mover in movers if abs(mover.place(t)[0] - here) < within]

    def surroundings(self, t: float) -> Mesh:
        """Return the land and the hills around the test vehicle, in the world frame; they stay around it as it drives."""
        s = self.traffic.ego(t)[0]
        x, y, _, _ = self.street.axis.at(s, 0.0)
        low = float(self.street.axis.at(np.arange(s - 200, s + 200, 10.0), 0.0)[2].min()) - BELOW
        return self.backdrop.carried(float(x), float(y), low)

    def pose(self, identity: int, t: float) -> Matrix:
        """Return T_world_actor (4,4) of one actor at t seconds."""
        mover = self.traffic.movers[identity]
        s, d, heading, _ = mover.place(t)
        return _pose(self.street, s, d, heading, tilted=mover.actor.size[0] > 2)

    def _placed(self, identity: int, mover: Mover, t: float) -> Placed:
        gone = mover.place(t)[3]
        pose = self.pose(identity, t)
        later = mover.place(t + 0.05)
        velocity = np.zeros(3)
        if later[3] > gone:
            velocity = (_pose(self.street, *later[:3])[:3, 3] - pose[:3, 3]) / 0.05
        turns = gone / mover.actor.stride if mover.actor.stride else 0.0
        return Placed(identity, mover.actor, pose, 2 * np.pi * turns + identity * 1.7, velocity)


def _pose(street: Street, s: float, d: float, heading: float, tilted: bool = True) -> Matrix:
    """Stand something on the ground at (s, d), turned by `heading` against the street, tilted as the road is."""
    step = 1.2
    ds, dd = step * np.cos(heading), step * np.sin(heading)
    z, ahead, behind = street.ground([s, s + ds, s - ds], [d, d + dd, d - dd]).tolist()
    x, y, _, direction = street.axis.at(s, d)
    yaw = float(direction) + heading
    rotation = rotation_z(yaw)
    if tilted:
        pitch = -np.arctan2(ahead - behind, 2 * step)
        if abs(pitch) > 0.12:
            pitch = 0.0
        c, v = np.cos(pitch), np.sin(pitch)
        rotation = rotation @ np.array([[c, 0, v], [0, 1, 0], [-v, 0, c]])
    return transform(rotation, [float(x), float(y), z])


def build_world(seed: int, index: int = 0, split: Split = "train", seconds: float = 0.0) -> World:
    """Build world number `index` of a seed, with traffic for a time; "val" draws from shapes and streets held out."""
    held_out = split == "val"
    plan, things, moves, weather = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(held_out), index, part))) for part in range(4)
    )
    kinds = HELD_OUT_KINDS if held_out else KINDS
    kind = str(plan.choice(list(kinds), p=np.array(list(kinds.values())) / sum(kinds.values())))
    street = draw_street(kind, plan, end=190.0 + 28.0 * seconds)
    rocking = np.array(
        [plan.uniform(0.4, 1.8, 3), plan.uniform(0, 2 * np.pi, 3), np.abs(plan.normal(0, 1, 3)) * [0.006, 0.005, 0.01]]
    )
    return World(
        street,
        build_scenery(street, buildings.HELD_OUT if held_out else buildings.TRAINING, things),
        build_backdrop(plan),
        draw_light(weather),
        draw_traffic(street, seconds, held_out, moves),
        rocking,
        attitude=plan.normal([-0.002, 0.0, 0.0], [0.007, 0.004, 0.02]),
    )
