"""Labels against pixels and points: what is written is what can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.geometry.rigid import apply, inverse
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.simulation.drive import SimulatedScenes
from mono3d_kd_core.simulation.labels import silhouette
from mono3d_kd_core.simulation.meshes.materials import Material
from mono3d_kd_core.simulation.meshes.shapes import box
from mono3d_kd_core.simulation.renderer import Shot
from mono3d_kd_core.simulation.rig import KITTI, LidarSection


@pytest.fixture(scope="module")
def shots() -> list[Shot]:
    """A few scenes; the LiDAR has no noise, so that every point lies on its surface."""
    rig = KITTI.resized(621, 188)
    scenes = SimulatedScenes(4, 5, rig)
    return [scenes.shot(i) for i in range(5)]


def test_2d_boxes_are_tight_around_the_pixels_of_what_nothing_hides(shots: list[Shot]) -> None:
    checked = 0
    for shot in shots:
        t = shot.truth
        for i in np.flatnonzero((t.visible == 1) & (t.truncated == 0) & t.cared_for):
            v, u = np.nonzero(shot.instance == i + 1)
            around = np.array([u.min(), v.min(), u.max(), v.max()])
            # A pixel belongs to the object when its middle does, so the mask may end up to a pixel inside; thin tips more.
            assert (around[:2] >= t.bbox[i, :2] - 1e-3).all()
            assert (around[2:] <= t.bbox[i, 2:] + 1e-3).all()
            assert np.abs(around - t.bbox[i]).max() < 2.5
            checked += 1
    assert checked >= 8


def test_the_box_of_the_corners_holds_the_box_of_the_pixels(shots: list[Shot]) -> None:
    for shot in shots:
        t = shot.truth
        kept = np.flatnonzero(t.cared_for & (t.truncated < 0.3))
        corners = KittiLabels.from_boxes(t.boxes[kept], shot.frame.rig.camera, scored=False).bbox
        assert (corners[:, :2] <= t.bbox[kept, :2] + 2.0).all()
        assert (corners[:, 2:] >= t.bbox[kept, 2:] - 2.0).all()


def test_points_on_an_object_lie_in_its_box(shots: list[Shot]) -> None:
    checked = 0
    for shot in shots:
        assert shot.frame.points is not None
        body = apply(shot.frame.rig.T_body_lidar, shot.frame.points[:, :3])
        for i in range(len(shot.truth.boxes)):
            mine = body[shot.owner == i] - shot.truth.boxes.centre[i]
            c, s = np.cos(shot.truth.boxes.yaw[i]), np.sin(shot.truth.boxes.yaw[i])
            local = np.column_stack([c * mine[:, 0] + s * mine[:, 1], c * mine[:, 1] - s * mine[:, 0], mine[:, 2]])
            outside = np.abs(local) - shot.truth.boxes.size[i] / 2
            # Range noise of 2 cm, and the tilt of the road, which upright boxes leave out.
            assert (outside.max(1) < 0.25).all()
            assert len(mine) < 10 or np.mean(outside.max(1) < 0.08) > 0.9
            checked += len(mine)
    assert checked > 3000


def test_points_per_box_are_the_points_that_belong_to_it(shots: list[Shot]) -> None:
    for shot in shots:
        counted = np.bincount(shot.owner[shot.owner >= 0], minlength=len(shot.truth.boxes))
        np.testing.assert_array_equal(counted, shot.truth.points)


def test_depth_and_points_tell_the_same_distances(shots: list[Shot]) -> None:
    shot = shots[0]
    assert shot.frame.points is not None
    optical = apply(shot.frame.rig.T_camera_lidar, shot.frame.points[:, :3])
    uv, seen = shot.frame.rig.camera.project(optical)
    u, v = uv[seen].round().astype(int).T
    error = np.abs(shot.depth[v, u] - optical[seen, 2]) / optical[seen, 2]
    # Parallax between the sensors hides some, and at edges a pixel is not a point.
    assert np.median(error) < 0.01
    assert np.mean(error < 0.05) > 0.9


def test_occlusion_follows_the_visible_share(shots: list[Shot]) -> None:
    for shot in shots:
        t = shot.truth
        assert ((t.visible >= 0) & (t.visible <= 1)).all()
        assert (t.occluded[t.visible > 0.9] == 0).all()
        assert (t.occluded[t.visible < 0.3] == 2).all()
        labels = t.labels()
        assert len(labels) == len(t.boxes)
        assert labels.is_object.sum() == t.cared_for.sum()


def test_labels_carry_the_boxes_through_kitti_columns(shots: list[Shot]) -> None:
    t = shots[1].truth
    again = t.labels().boxes()
    kept = t.boxes[np.flatnonzero(t.cared_for)]
    np.testing.assert_allclose(again.centre, kept.centre, atol=1e-9)
    np.testing.assert_allclose(again.size, kept.size, atol=1e-9)


def test_truncation_of_a_box_half_out_of_the_image() -> None:
    camera = KITTI.sensors().rig.camera
    fx, cx = camera.intrinsics[0, 0], camera.intrinsics[0, 2]
    cube = box(0.02, 2, 2, (0, 0, 0), Material.PAINT).corners
    # A board of 2 m by 2 m at 10 m, its middle on the left edge of the image.
    optical = np.stack([-cube[..., 1] - cx / fx * 10, -cube[..., 2] + 1, cube[..., 0] + 10], -1)
    u0, v0, u1, v1 = silhouette(optical, camera) or (0, 0, 0, 0)
    assert u0 == pytest.approx(-fx / 10, rel=0.01)
    assert u1 == pytest.approx(fx / 10, rel=0.01)
    assert v1 - v0 == pytest.approx(2 * fx / 10, rel=0.01)


def test_a_camera_without_lidar_has_no_points() -> None:
    rig = KITTI.resized(160, 48).model_copy(update={"lidar": None})
    shot = SimulatedScenes(1, 1, rig).shot(0)
    assert shot.frame.points is None
    assert (shot.truth.points == 0).all()


def test_a_rolling_sweep_gives_each_point_its_time() -> None:
    rolling = LidarSection(frame="velodyne", sweep="rolling")
    rig = KITTI.resized(160, 48).model_copy(update={"lidar": rolling})
    shot = SimulatedScenes(2, 1, rig).shot(0)
    assert shot.frame.points is not None
    azimuth = np.arctan2(shot.frame.points[:, 1], shot.frame.points[:, 0])
    expected = (np.pi - azimuth) / (2 * np.pi) * 0.1 - 0.05
    assert np.abs(shot.seconds - expected).max() < 1e-3
    assert inverse(shot.T_world_base).shape == (4, 4)
