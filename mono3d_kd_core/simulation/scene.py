"""All triangles of a moment, and how they move during a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix, inverse
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.world import Placed, World

FAR = 110.0
"""Metres within which actors are drawn."""


@dataclass(frozen=True)
class Scene:
    """All triangles at a moment, in the base frame; owner (F,) is the row of `placed` or -1, group (F,) the LiDAR's."""

    mesh: Mesh
    placed: list[Placed]
    spans: list[slice]
    owner: NDArray[np.int32]
    group: NDArray[np.int32]

    @classmethod
    def at(cls, world: World, t: float, T_world_base: Matrix) -> Scene:
        """Gather what is near the test vehicle, which is at T_world_base (4,4), at t seconds."""
        T_base_world = inverse(T_world_base)
        still = world.scenery
        middle = still.corners[:, 0] @ T_base_world[:2, :3].T.astype(np.float32) + T_base_world[:2, 3].astype(
            np.float32
        )
        still = still[(np.abs(middle).max(1) < 170) & (middle[:, 0] > -100)]
        still = Mesh.join([world.surroundings(t), still])
        parts = [still.transformed(T_base_world[:3, :3], T_base_world[:3, 3])]
        placed: list[Placed] = []
        spans: list[slice] = []
        owners = [np.full(len(still), -1, np.int32)]
        start = len(still)
        for actor in world.actors(t, FAR):
            T = T_base_world @ actor.pose
            if np.hypot(T[0, 3], T[1, 3]) > FAR or T[0, 3] < -80:
                continue
            mesh = actor.actor.mesh(actor.phase).transformed(T[:3, :3], T[:3, 3])
            owners.append(np.full(len(mesh), len(placed), np.int32))
            placed.append(actor)
            spans.append(slice(start, start + len(mesh)))
            start += len(mesh)
            parts.append(mesh)
        owner = np.concatenate(owners)
        return cls(Mesh.join(parts), placed, spans, owner, owner + 1)

    def poses(self, world: World, t: float, times: NDArray[np.float64], T_lidar_base: Matrix) -> Matrix:
        """Return (groups, times, 3, 4): maps from the base frame of the image's time into the LiDAR's.

        Group 0 stands still; group i + 1 is the i-th placed actor, which moves on.
        """
        if len(times) == 1 and times[0] == t:
            return np.broadcast_to(T_lidar_base[:3], (len(self.placed) + 1, 1, 3, 4)).copy()
        # Within a sweep motion is as good as linear between a few instants.
        knots = np.linspace(times[0], times[-1], 5) if len(times) > 1 else times
        T_world_base = world.ego(t)
        lidar = [T_lidar_base @ inverse(world.ego(float(s))) for s in knots]
        exact = np.empty((len(self.placed) + 1, len(knots), 3, 4))
        exact[0] = [(T @ T_world_base)[:3] for T in lidar]
        for i, placed in enumerate(self.placed, 1):
            moved = [world.pose(placed.identity, float(s)) @ inverse(placed.pose) for s in knots]
            exact[i] = [(T @ m @ T_world_base)[:3] for T, m in zip(lidar, moved)]
        if len(knots) == len(times):
            return exact
        after = np.clip(np.searchsorted(knots, times), 1, len(knots) - 1)
        share = ((times - knots[after - 1]) / (knots[after] - knots[after - 1]))[:, None, None]
        return np.asarray(exact[:, after - 1] * (1 - share) + exact[:, after] * share)
