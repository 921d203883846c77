from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mono3d_kd_core.geometry.box_projection import NEAR, project_boxes, project_edges
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, rotation_z
from tests.geometry.cameras import K, any_camera

IDEAL = CameraModel.pinhole(640, 480, 500, 500, 320, 240)


def box(centre: list[float], size: list[float], yaw: float = 0.0) -> Boxes3D:
    return Boxes3D([centre], [size], [yaw], ["Car"], frame="camera")


def surface(boxes: Boxes3D, count: int = 40) -> np.ndarray:
    """Points on the faces of one box, in the optical frame."""
    steps = np.linspace(-0.5, 0.5, count)
    a, b = (axis.ravel() for axis in np.meshgrid(steps, steps))
    half = np.full_like(a, 0.5)
    faces = [np.roll(np.column_stack([sign * half, a, b]), axis, 1) for axis in range(3) for sign in (1, -1)]
    local = np.concatenate(faces) * boxes.size[0]
    return apply(T_CAMERA_BODY, local @ rotation_z(boxes.yaw[0]).T + boxes.centre[0])


def test_a_box_straight_ahead() -> None:
    # The near face, 2 m wide and 1 m high at 9 m, decides.
    rectangle, truncation = project_boxes(box([10, 0, 0], [2, 2, 1]), IDEAL)
    np.testing.assert_allclose(rectangle[0], [320 - 500 / 9, 240 - 250 / 9, 320 + 500 / 9, 240 + 250 / 9])
    assert truncation == pytest.approx([0])


def test_truncation_is_the_share_beyond_the_image() -> None:
    # A board of 2 x 1 m at 10 m whose middle lies on the left border: half of it is cut off.
    left_border = 320 / 500 * 10
    rectangle, truncation = project_boxes(box([10, left_border, 0], [1e-6, 2, 1]), IDEAL)
    np.testing.assert_allclose(rectangle[0], [0, 215, 50, 265], atol=1e-4)
    assert truncation == pytest.approx([0.5], abs=1e-6)


@pytest.mark.parametrize("centre", [[-10, 0, 0], [5, 30, 0], [0, 9, 0]])
def test_what_the_image_does_not_show_has_no_rectangle(centre: list[float]) -> None:
    rectangle, truncation = project_boxes(box(centre, [4, 2, 1.5]), IDEAL)
    assert np.isnan(rectangle).all()
    assert truncation.tolist() == [1]


def test_a_box_partly_behind_the_camera_stays_on_its_side() -> None:
    # Alongside, 3 m to the left, from 4 m ahead to 4 m behind: its front corners are at u = 320 - 500 * (2, 4) / 4.
    rectangle, truncation = project_boxes(box([0, 3, 0], [8, 2, 1.5]), IDEAL)
    assert rectangle[0] == pytest.approx([0, 0, 320 - 500 * 2 / 4, 479])
    assert 0.9 < truncation[0] <= 1


def test_standing_inside_a_box_fills_the_image() -> None:
    rectangle, truncation = project_boxes(box([0, 0, 0], [10, 10, 10]), IDEAL)
    np.testing.assert_allclose(rectangle[0], [0, 0, 639, 479])
    assert 0.99 < truncation[0] < 1


@given(any_camera(), st.floats(-2, 25), st.floats(-8, 8), st.floats(-np.pi, np.pi))
def test_the_rectangle_holds_every_visible_point_of_the_surface(
    camera: CameraModel, forward: float, left: float, yaw: float
) -> None:
    boxes = box([forward, left, 0.3], [4, 1.8, 1.5], yaw)
    # A bent view from inside a box is sampled more coarsely than this test demands.
    assume(not boxes.contains(camera.optical_centre[None, [2, 0, 1]] * [1, -1, -1], margin=0.3).any())
    points = surface(boxes)
    ahead = (points - camera.optical_centre) @ camera.forward >= NEAR
    uv, valid = camera.project(points)
    seen = np.clip(uv[valid & ahead], 0, [camera.width - 1, camera.height - 1])
    rectangle, truncation = project_boxes(boxes, camera)
    assert (truncation[0] >= 0) & (truncation[0] <= 1)
    if len(seen) > 2:
        low, high = rectangle[0, :2], rectangle[0, 2:]
        assert (seen.min(0) >= low - 1).all()  # a bent edge is drawn with 32 chords
        assert (seen.max(0) <= high + 1).all()
        if truncation[0] == 0 and camera.rectified:
            np.testing.assert_allclose(np.hstack([seen.min(0), seen.max(0)]), rectangle[0], atol=1e-6)


def test_bent_edges_reach_further_than_their_corners() -> None:
    barrel = CameraModel(640, 400, K, "plumb_bob", np.array([-0.3, 0, 0, 0]))
    wide = box([6, 0, 1.4], [0.1, 6, 0.2])
    corners, _ = barrel.project(apply(T_CAMERA_BODY, wide.corners()[0]))
    assert project_boxes(wide, barrel)[0][0, 1] < corners[:, 1].min() - 1


def test_edges_end_in_the_corners() -> None:
    ahead = box([10, 1, 0], [4, 2, 1.5], 0.4)
    corners, _ = IDEAL.project(apply(T_CAMERA_BODY, ahead.corners()[0]))
    edges = project_edges(ahead, IDEAL)[0]
    np.testing.assert_allclose(edges[0], corners[[0, 1]])
    np.testing.assert_allclose(edges[9], corners[[1, 5]])


def test_real_labels_have_the_rectangles_of_their_boxes(shared_data: Path) -> None:
    overlaps = []
    for file in sorted((shared_data / "kitti/object/training/label_2").glob("*.txt")):
        calibration = (shared_data / f"kitti/object/training/calib/{file.name}").read_text()
        P2 = next(row.split()[1:] for row in calibration.splitlines() if row.startswith("P2:"))
        camera = CameraModel.from_projection(1242, 375, np.array(P2, np.float64))
        for row in file.read_text().splitlines():
            label, truncated, *rest = row.split()
            numbers = np.array(rest, np.float64)
            if label != "Car" or float(truncated) > 0:
                continue
            boxes = Boxes3D.from_kitti_camera(numbers[9:12], numbers[6:9], numbers[12], [label])
            rectangle, expected = project_boxes(boxes, camera)[0][0], numbers[2:6]
            width, height = np.minimum(rectangle[2:], expected[2:]) - np.maximum(rectangle[:2], expected[:2])
            both = np.prod(rectangle[2:] - rectangle[:2]) + np.prod(expected[2:] - expected[:2])
            overlaps.append(width * height / (both - width * height))
    assert len(overlaps) > 20
    assert np.median(overlaps) > 0.9


def test_boxes_of_another_frame_are_not_projected() -> None:
    with pytest.raises(ValueError, match='these are in "lidar"'):
        project_boxes(Boxes3D.empty("lidar"), IDEAL)


def test_no_boxes_have_no_rectangles() -> None:
    rectangle, truncation = project_boxes(Boxes3D.empty("camera"), IDEAL)
    assert (rectangle.shape, truncation.shape) == ((0, 4), (0,))
