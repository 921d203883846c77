"""Random geometry for the tests, and Embree as the independent judge of what a ray meets."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mono3d_kd_core.simulation.scene import Scene
from mono3d_kd_core.simulation.world import build_world


def random_triangles(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """Triangles (F,3,3) of many sizes all around the origin, some of them across the axes; none within half a metre."""
    middle = rng.normal(0, 1, (count, 1, 3))
    middle *= rng.uniform(3, 60, (count, 1, 1)) / np.linalg.norm(middle, axis=2, keepdims=True)
    corners = middle + rng.normal(0, 1, (count, 3, 3)) * rng.choice([0.2, 1.0, 4.0], (count, 1, 1))
    return corners[np.linalg.norm(corners, axis=2).min(1) > 2.0].astype(np.float32)


def street(index: int) -> NDArray[np.float32]:
    """All triangles (F,3,3) of a simulated street in the frame of the car that drives through it, traffic included."""
    world = build_world(6, index)
    return Scene.at(world, 0.0, world.ego(0.0)).mesh.corners


def first_hits(
    corners: NDArray[np.float32], origin: NDArray[np.floating], directions: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return for each ray the distance along its unit direction (inf) and the triangle (-1) that Embree finds."""
    embree = pytest.importorskip("embreex.rtcore_scene", reason="embreex is not in this environment")
    mesh = pytest.importorskip("embreex.mesh_construction")
    scene = embree.EmbreeScene(robust=True)
    mesh.TriangleMesh(scene, np.ascontiguousarray(corners, np.float32))
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    origins = np.broadcast_to(np.asarray(origin, np.float32), unit.shape).copy()
    found = scene.run(origins, unit.astype(np.float32), output=True)
    return np.where(found["primID"] >= 0, found["tfar"], np.inf), found["primID"].astype(np.int64)
