"""What a depth map tells of an object in its 2D box: surfaces of known boxes, cast ray by ray."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mono3d_kd_core.distillation.boxes2d import Boxes2D
from mono3d_kd_core.distillation.pseudo import pseudo_objects
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, wrap_angle

CAMERA = CameraModel.pinhole(320, 96, 200, 200, 160, 40)
SIZES = {"Car": (3.9, 1.6, 1.5), "Pedestrian": (0.8, 0.6, 1.8)}


def surface(box: Boxes3D, road: float = -1.6) -> NDArray[np.float32]:
    """Depth of one box over a road before a wall at 50 m, by intersecting each pixel's ray with the slabs of the box."""
    v, u = np.mgrid[: CAMERA.height, : CAMERA.width]
    rays = apply(inverse(T_CAMERA_BODY), CAMERA.rays(np.column_stack([u.ravel(), v.ravel()])))
    c, s = np.cos(box.yaw[0]), np.sin(box.yaw[0])
    turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
    start, direction = -turn @ box.centre[0], rays @ turn.T
    with np.errstate(divide="ignore"):
        ends = np.stack([(sign * box.size[0] / 2 - start) / direction for sign in (-1, 1)])
        ground = np.where(rays[:, 2] < 0, road / rays[:, 2], np.inf)
    enter, leave = ends.min(0).max(1), ends.max(0).min(1)
    hit = np.where((enter < leave) & (enter > 0), enter, np.inf)
    return np.minimum.reduce([hit, ground, np.full(len(hit), 50.0)]).reshape(v.shape).astype(np.float32)


def told(box: Boxes3D) -> tuple[float, float]:
    box2d, _ = project_boxes(box, CAMERA)
    seen = Boxes2D(box.label, box2d, np.zeros((1, 4), bool), np.empty((0, 4)))
    pseudo = pseudo_objects(seen, surface(box), CAMERA, SIZES)
    return float(pseudo.depth[0]), float(pseudo.alpha[0])


def test_a_cars_centre_and_axis() -> None:
    axes = 0
    for yaw in (0.0, 0.5, 1.2, np.pi / 2, 2.2, -0.3):
        for side in (-4.0, 0.0, 3.0):
            car = Boxes3D([[15.0, side, -0.85]], [SIZES["Car"]], [yaw], ["Car"], frame="camera")
            depth, alpha = told(car)
            assert depth == pytest.approx(15, abs=0.7), (yaw, side)
            _, _, _, expected = car.to_kitti_camera()
            if np.isfinite(alpha):
                axes += 1
                assert abs(wrap_angle(2 * (alpha - expected))) / 2 < 0.35, (yaw, side)
    assert axes >= 16  # of a car seen from straight ahead there may be too little to tell


def test_a_walkers_centre_is_half_a_body_behind_the_surface() -> None:
    walker = Boxes3D([[10.0, 1.0, -0.7]], [SIZES["Pedestrian"]], [0.4], ["Pedestrian"], frame="camera")
    depth, alpha = told(walker)
    assert depth == pytest.approx(10, abs=0.2)
    assert np.isnan(alpha)


def test_what_hides_an_object_is_not_taken_for_it() -> None:
    walker = Boxes3D([[30.0, 0.0, -0.7]], [SIZES["Pedestrian"]], [0.0], ["Pedestrian"], frame="camera")
    box2d, _ = project_boxes(walker, CAMERA)
    seen = Boxes2D(walker.label, box2d, np.zeros((1, 4), bool), np.empty((0, 4)))
    hidden = np.full((96, 320), 18, np.float32)  # a walker of that height in the picture is not at 18 m
    assert np.isnan(pseudo_objects(seen, hidden, CAMERA, SIZES).depth).all()
    # Where the image cuts off the feet, height tells nothing.
    cut = Boxes2D(seen.label, seen.box, np.array([[False, False, False, True]]), seen.ignore)
    assert pseudo_objects(cut, hidden, CAMERA, SIZES).depth[0] == pytest.approx(18 + 0.35, abs=0.05)


def test_without_depth_nothing_is_said() -> None:
    seen = Boxes2D(np.array(["Car"]), np.array([[100.0, 30, 150, 60]]), np.zeros((1, 4), bool), np.empty((0, 4)))
    pseudo = pseudo_objects(seen, np.zeros((96, 320), np.float32), CAMERA, SIZES)
    assert np.isnan(pseudo.depth).all()
    assert np.isnan(pseudo.alpha).all()
