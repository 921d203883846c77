"""Shapes, vehicles, people and shadows against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.simulation.actors.body_styles import STYLES
from mono3d_kd_core.simulation.actors.cars import car
from mono3d_kd_core.simulation.actors.casting import draw_cyclist, draw_vehicle, draw_walker
from mono3d_kd_core.simulation.actors.people import Figure, walker
from mono3d_kd_core.simulation.meshes.materials import LASER, LOOK, Material
from mono3d_kd_core.simulation.meshes.mesh import Mesh
from mono3d_kd_core.simulation.meshes.shapes import box, ellipsoid, tube
from mono3d_kd_core.simulation.rendering.shadow import HeightMap
from mono3d_kd_core.simulation.street.street import draw_street


def volume(mesh: Mesh) -> float:
    """The volume that a closed mesh with outward faces encloses (divergence theorem)."""
    a, b, c = mesh.corners.astype(np.float64).transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


def test_a_box_encloses_its_volume() -> None:
    assert volume(box(4, 2, 1.5, (0, 0, 0), Material.PAINT)) == pytest.approx(12)


def test_a_tube_and_an_ellipsoid_approach_their_volumes() -> None:
    cylinder = tube((1, 2, 0), (1, 2, 3), 0.5, (0, 0, 0), Material.METAL, sides=64)
    assert abs(volume(cylinder)) == pytest.approx(np.pi * 0.25 * 3, rel=0.01)
    egg = ellipsoid((0, 0, 5), np.array([1, 2, 3.0]), (0, 0, 0), Material.FOLIAGE, 48, 64)
    assert abs(volume(egg)) == pytest.approx(4 / 3 * np.pi * 6, rel=0.01)


def test_smoothed_normals_of_a_sphere_point_from_its_middle() -> None:
    ball = ellipsoid((0, 0, 0), np.ones(3), (0, 0, 0), Material.FOLIAGE, 24, 32)
    outward = ball.corners / np.linalg.norm(ball.corners, axis=-1, keepdims=True)
    assert (np.abs((ball.normals * outward).sum(-1)) > 0.99).all()


def test_smoothing_keeps_creases() -> None:
    cube = box(1, 1, 1, (0, 0, 0), Material.PAINT)
    np.testing.assert_allclose(cube.smoothed(40).normals, cube.normals, atol=1e-6)


@pytest.mark.parametrize("name", STYLES)
def test_cars_have_exactly_the_size_of_their_box(name: str) -> None:
    low, high = car(STYLES[name], 4.0, 1.7, 1.6, np.random.default_rng(1)).bounds()
    np.testing.assert_allclose(high - low, [4.0, 1.7, 1.6], atol=0.02)
    np.testing.assert_allclose((high + low)[:2], 0, atol=0.02)
    assert low[2] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("held_out", [False, True])
def test_every_vehicle_fits_its_box(held_out: bool) -> None:
    rng = np.random.default_rng(2)
    for _ in range(60):
        actor = draw_vehicle(rng, held_out)
        low, high = actor.mesh(0.0).bounds()
        assert (np.abs(np.r_[low[:2], high[:2]]) <= np.r_[actor.size[:2], actor.size[:2]] / 2 + 0.03).all()
        assert -0.01 <= low[2] <= 0.05
        assert high[2] == pytest.approx(actor.size[2], abs=0.03)


def test_people_fit_their_box_in_every_phase() -> None:
    rng = np.random.default_rng(3)
    for actor in [draw_walker(rng, True), draw_walker(rng, False), draw_cyclist(rng)]:
        for phase in np.linspace(0, 2 * np.pi, 7):
            low, high = actor.mesh(float(phase)).bounds()
            assert (high - low <= np.array(actor.size) + 1e-3).all()


def test_a_walkers_feet_alternate() -> None:
    figure = Figure.draw(np.random.default_rng(4))
    ahead = [walker(figure, phase).bounds()[1][0] for phase in (0.0, np.pi / 2)]
    assert ahead[1] > ahead[0] + 0.05
    there, back = walker(figure, np.pi / 2), walker(figure, 3 * np.pi / 2)
    assert (there.corners != back.corners).any()


def test_the_shadow_of_a_post_is_as_long_as_the_sun_is_low() -> None:
    post = box(0.2, 0.2, 2.0, (0, 0, 0), Material.METAL)
    sun = np.array([-1.0, 0.0, 1.0]) / np.sqrt(2)
    shadow = HeightMap.draw(post.corners, sun, (-5, 5), (-2, 2), 0.05)
    row = int((0 - shadow.corner[1]) / shadow.cell)
    x = shadow.corner[0] + np.flatnonzero(np.isfinite(shadow.height[row])) * shadow.cell
    # At 45 degrees a post of 2 m throws a shadow of 2 m, away from the sun.
    assert x.min() == pytest.approx(-0.1, abs=0.06)
    assert x.max() == pytest.approx(2.1, abs=0.06)


def test_streets_are_continuous_and_as_steep_as_drawn() -> None:
    for kind in ("residential", "country", "parkway"):
        street = draw_street(kind, np.random.default_rng(5))
        s = np.arange(street.axis.start, street.axis.end, 0.5)
        x, y, z, heading = street.axis.at(s, 0.0)
        np.testing.assert_allclose(np.hypot(np.diff(x), np.diff(y)), 0.5, rtol=0.01)
        np.testing.assert_allclose(np.diff(y), 0.5 * np.sin((heading[1:] + heading[:-1]) / 2), atol=0.01)
        assert np.abs(np.diff(z)).max() < 0.5 * 0.1
        # The kerb is a step up, the carriageway falls to its edge.
        edge = street.left.kerb_line
        ground = street.ground(np.full(2, street.axis.start + 1), np.array([edge - 1e-3, edge + 1e-3]))
        assert ground[1] - ground[0] == pytest.approx(street.left.kerb, abs=0.01)


def test_every_material_is_in_the_tables() -> None:
    assert LOOK.shape == (len(Material), 4)
    assert LASER.shape == (len(Material), 3)
    assert ((LASER[:, 2] >= 0) & (LASER[:, 2] < 1)).all()
