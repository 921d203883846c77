"""Triangles that know what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mono3d_kd_core.simulation.meshes.materials import Material

Floats = NDArray[np.float32]
COLUMNS = ("corners", "normals", "uvw", "colour", "material", "variant")


@dataclass(frozen=True)
class Mesh:
    """A soup of F triangles, z up, metres.

    corners (F,3,3) positions; normals (F,3,3) unit normals at the corners; uvw (F,3,3) texture coordinates, metres, which
    stay put when the mesh moves; colour (F,3) linear RGB albedo; material (F,) `Material`; variant (F,) chooses among the
    looks of one material (which windows are lit, ...).
    """

    corners: Floats
    normals: Floats
    uvw: Floats
    colour: Floats
    material: NDArray[np.uint8]
    variant: NDArray[np.int32]

    @classmethod
    def from_corners(
        cls, corners: ArrayLike, colour: ArrayLike, material: Material, uvw: ArrayLike | None = None, variant: int = 0
    ) -> Mesh:
        """Build flat triangles of one colour and material from corners (F,3,3); uvw defaults to the corners."""
        c = np.ascontiguousarray(corners, np.float32).reshape(-1, 3, 3)
        n = len(c)
        texture = c.copy() if uvw is None else np.ascontiguousarray(uvw, np.float32).reshape(-1, 3, 3)
        return cls(
            c, flat_normals(c), texture,
            np.broadcast_to(np.asarray(colour, np.float32), (n, 3)).copy(),
            np.full(n, int(material), np.uint8), np.full(n, variant, np.int32),
        )  # fmt: skip

    @classmethod
    def empty(cls) -> Mesh:
        """Return a mesh without triangles."""
        return cls.from_corners(np.empty((0, 3, 3)), (0, 0, 0), Material.CONCRETE)

    @classmethod
    def join(cls, meshes: Sequence[Mesh]) -> Mesh:
        """Concatenate meshes."""
        if not meshes:
            return cls.empty()
        return cls(**{name: np.concatenate([getattr(m, name) for m in meshes]) for name in COLUMNS})

    def __len__(self) -> int:
        return len(self.corners)

    def __getitem__(self, rows: NDArray[np.generic]) -> Mesh:
        """Select triangles by boolean mask or index array."""
        return Mesh(**{name: getattr(self, name)[rows] for name in COLUMNS})

    def transformed(self, rotation: ArrayLike, translation: ArrayLike) -> Mesh:
        """Rotate by a (3,3) rotation and shift by (3,) metres."""
        r = np.asarray(rotation, np.float32)
        return replace(
            self,
            corners=self.corners @ r.T + np.asarray(translation, np.float32),
            normals=self.normals @ r.T,
        )

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Mesh:
        """Turn about +z by `yaw`, then shift."""
        c, s = np.cos(yaw), np.sin(yaw)
        return self.transformed([[c, -s, 0], [s, c, 0], [0, 0, 1]], (x, y, z))

    def carried(self, x: float, y: float, z: float) -> Mesh:
        """Shift the triangles under a texture that stays with the ground."""
        shift = np.array([x, y, z], np.float32)
        return replace(self, corners=self.corners + shift, uvw=self.uvw + shift)

    def scaled(self, x: float, y: float, z: float) -> Mesh:
        """Stretch along the axes, about the origin."""
        factor = np.array([x, y, z], np.float32)
        normals = self.normals / factor
        normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
        return replace(self, corners=self.corners * factor, normals=normals)

    def smoothed(self, crease_degrees: float = 40.0) -> Mesh:
        """Average the normals of triangles that meet at a corner, except across creases sharper than the given angle."""
        if not len(self):
            return self
        face = flat_normals(self.corners)[:, 0]
        edges = self.corners[:, 1:] - self.corners[:, :1]
        area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
        keys = np.round(self.corners.reshape(-1, 3) * 1e4).astype(np.int64)
        vertex = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
        order = np.argsort(vertex, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(vertex[order]) > 0])
        count = np.diff(np.r_[first, len(order)])
        summed = np.zeros((len(order), 3))
        for step in range(int(count.max())):
            # Each corner meets the step-th other corner of its vertex.
            partner = order[np.repeat(first, count) + (np.arange(len(order)) - np.repeat(first, count) + step)
                            % np.repeat(count, count)]  # fmt: skip
            mine, other = order // 3, partner // 3
            new = step < np.repeat(count, count)
            close = (face[mine] * face[other]).sum(1) > np.cos(np.radians(crease_degrees))
            summed[order] += np.where((new & close)[:, None], face[other] * area[other, None], 0)
        length = np.linalg.norm(summed, axis=1, keepdims=True)
        normals = np.where(length > 1e-12, summed / np.maximum(length, 1e-12), np.repeat(face, 3, 0))
        return replace(self, normals=normals.reshape(-1, 3, 3).astype(np.float32))

    def bounds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the lowest and the highest corner, (3,) each."""
        points = self.corners.reshape(-1, 3)
        return points.min(0).astype(np.float64), points.max(0).astype(np.float64)


def flat_normals(corners: Floats) -> Floats:
    """Return the unit normal of each triangle, repeated at its corners: (F,3,3)."""
    n = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    n = n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)
    return np.repeat(n[:, None].astype(np.float32), 3, 1)
