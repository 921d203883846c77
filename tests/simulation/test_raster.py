"""The camera's rasteriser agrees with a ray tracer, for any lens."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import apply, inverse
from mono3d_kd_core.simulation.rendering.raster import NEAR, Lens, count_unoccluded
from mono3d_kd_core.simulation.rig import KITTI
from tests.simulation.scenes import first_hits, random_triangles, street

K = np.array([[180.0, 0, 121.3], [0, 178.0, 58.9], [0, 0, 1]])
CAMERAS = {
    "pinhole": CameraModel.pinhole(240, 120, 180, 178, 121.3, 58.9),
    "plumb_bob": CameraModel(240, 120, K, "plumb_bob", np.array([-0.31, 0.11, 0.001, -0.002, -0.02])),
    "rational": CameraModel(
        240, 120, K, "rational_polynomial", np.array([0.5, 0.1, 0.0003, -0.0002, 0.01, 0.8, 0.2, 0.02])
    ),
    "fisheye": CameraModel(240, 120, K * [[0.55], [0.55], [1]] + [[0, 0, 55], [0, 0, 26], [0, 0, 0]], "equidistant",
                           np.array([0.02, -0.01, 0.003, -0.0005])),
}  # fmt: skip


@pytest.mark.parametrize("name", CAMERAS)
def test_every_pixel_meets_what_embree_says(name: str) -> None:
    camera = CAMERAS[name]
    corners = random_triangles(np.random.default_rng(3), 700)
    v, u = np.mgrid[:120, :240]
    rays = camera.rays(np.column_stack([u.ravel(), v.ravel()]))

    depth, face = Lens(camera).draw(corners)

    distance, triangle = first_hits(corners, np.zeros(3), rays)
    z = distance / np.linalg.norm(rays, axis=1)
    same = face.ravel() == triangle
    # The rest are rays along an edge, where float32 rounding decides.
    assert same.mean() > 0.999
    hit = same & (triangle >= 0)
    assert hit.mean() > 0.3
    np.testing.assert_allclose(depth.ravel()[hit], z[hit], rtol=2e-4)


@pytest.mark.parametrize("index", range(3))
def test_the_pixels_of_a_street_meet_what_embree_says(index: int) -> None:
    sensors = KITTI.resized(414, 125).sensors()
    camera = sensors.rig.camera
    corners = apply(inverse(sensors.T_base_camera), street(index).reshape(-1, 3)).reshape(-1, 3, 3).astype(np.float32)
    v, u = np.mgrid[:125, :414]
    rays = camera.rays(np.column_stack([u.ravel(), v.ravel()]))

    depth, face = Lens(camera).draw(corners)

    distance, triangle = first_hits(corners, np.zeros(3), rays)
    z = distance / np.linalg.norm(rays, axis=1)
    hit = triangle >= 0
    assert hit.mean() > 0.5
    assert np.mean(face.ravel() == triangle) > 0.999
    assert np.mean(np.isclose(depth.ravel()[hit], z[hit], rtol=1e-3)) > 0.999


def test_a_triangle_through_the_camera_needs_no_clipping() -> None:
    camera = CAMERAS["pinhole"]
    road = np.array([[[-50, 1.5, -40], [50, 1.5, -40], [0, 1.5, 300]]], np.float32)
    depth, face = Lens(camera).draw(road)
    rows = (np.arange(120) - 58.9) / 178
    seen = rows > 0.006
    assert (face[seen, 121] == 0).all()
    assert (face[rows < 0] == -1).all()
    np.testing.assert_allclose(depth[seen, 121], 1.5 / rows[seen], rtol=1e-4)


def test_nothing_nearer_than_the_near_plane_is_drawn() -> None:
    wall = np.array([[[-5, -5, NEAR * 0.9], [5, -5, NEAR * 0.9], [0, 9, NEAR * 0.9]]], np.float32)
    assert (Lens(CAMERAS["pinhole"]).draw(wall)[1] == -1).all()


def test_unoccluded_pixels_are_those_of_the_object_drawn_alone() -> None:
    lens = Lens(CAMERAS["pinhole"])
    corners = random_triangles(np.random.default_rng(5), 300)
    owner = np.repeat(np.arange(10, dtype=np.int32), -(-len(corners) // 10))[: len(corners)]
    windows = np.tile(np.array([0, 239, 0, 119], np.int32), (10, 1))

    counts = count_unoccluded(corners, lens.bounds(corners), lens.slopes, owner, windows)

    alone = [(lens.draw(np.ascontiguousarray(corners[owner == k]))[1] >= 0).sum() for k in range(10)]
    np.testing.assert_array_equal(counts, alone)


def test_a_lens_that_sees_nothing_is_refused() -> None:
    camera = CameraModel(64, 48, np.array([[8.0, 0, 31.5], [0, 8.0, 23.5], [0, 0, 1]]), "equidistant", np.zeros(4))
    with pytest.raises(CalibrationError, match="most of its 64x48 pixels have no ray"):
        Lens(camera)
