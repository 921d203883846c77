from __future__ import annotations

import numpy as np

from mono3d_kd_core.drawing import class_colour, depth_colours, draw_boxes, draw_points
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply

CAMERA = CameraModel.pinhole(320, 240, 250, 250, 160, 120)
BLACK = np.zeros((240, 320, 3), np.uint8)


def car(forward: float, left: float, yaw: float = 0.0) -> Boxes3D:
    return Boxes3D([[forward, left, 0]], [[4, 2, 1.5]], [yaw], ["Car"], frame="camera")


def inked(picture: np.ndarray) -> np.ndarray:
    """Pixels u v that were drawn on black."""
    return np.argwhere(picture.any(-1))[:, ::-1]


def test_every_corner_of_a_box_is_drawn_where_it_projects() -> None:
    box = car(12, 1, 0.5)
    picture = draw_boxes(BLACK, box, CAMERA, colour=(0, 255, 0), texts=[""])
    corners, _ = CAMERA.project(apply(T_CAMERA_BODY, box.corners()[0]))
    ink = inked(picture)
    distance = np.linalg.norm(ink[None] - corners[:, None], axis=-1)
    assert (distance.min(1) < 1.5).all()
    assert not picture[..., [0, 2]].any()


def test_the_front_is_bolder_than_the_rear() -> None:
    # Turned towards the camera and looked at from the side: front and rear uprights lie far apart.
    box = car(12, 0, np.pi / 2)
    picture = draw_boxes(BLACK, box, CAMERA, texts=[""])
    ink = inked(picture)
    row = ink[ink[:, 1] == 120][:, 0]  # the uprights on the horizon
    assert (row < 160).sum() > (row > 160).sum()


def test_the_given_picture_stays_as_it_was() -> None:
    picture = BLACK.copy()
    drawn = draw_boxes(picture, car(12, 1), CAMERA)
    assert not picture.any()
    assert drawn.any()


def test_what_lies_behind_is_not_drawn() -> None:
    assert not draw_boxes(BLACK, car(-12, 1), CAMERA).any()


def test_a_box_beside_the_camera_is_drawn_on_its_side_only() -> None:
    ink = inked(draw_boxes(BLACK, car(1, 2.5), CAMERA, texts=[""]))
    assert len(ink) > 20
    assert ink[:, 0].max() < 160


def test_a_text_names_class_and_score() -> None:
    without = draw_boxes(BLACK, car(12, 0), CAMERA, texts=[""])
    above = inked(draw_boxes(BLACK, car(12, 0), CAMERA))[:, 1].min()
    assert above < inked(without)[:, 1].min() - 5


def test_a_fisheye_bends_the_edges() -> None:
    fisheye = CameraModel(320, 240, CAMERA.K, "equidistant", np.zeros(4))
    board = Boxes3D([[3, 0, 1.2]], [[0.02, 6, 0.02]], [0], ["Misc"], frame="camera")
    ink = inked(draw_boxes(BLACK, board, fisheye, texts=[""]))
    middle, border = ink[np.abs(ink[:, 0] - 160) < 3, 1].mean(), ink[ink[:, 0] < 30, 1].mean()
    assert border - middle > 5


def test_near_points_cover_far_ones() -> None:
    uv = np.array([[10.2, 20.4], [9.8, 19.7], [9.9, 20.0]])
    depth = np.array([30.0, 4.0, 50.0])
    picture = draw_points(BLACK, uv, depth, radius=0)
    np.testing.assert_array_equal(picture[20, 10], depth_colours(depth)[1])
    assert len(inked(picture)) == 1


def test_points_at_the_border_are_cut() -> None:
    picture = draw_points(BLACK, np.array([[0.0, 0.0], [319, 239]]), np.array([5.0, 5.0]), radius=1)
    assert {tuple(pixel) for pixel in inked(picture)} == {(0, 0), (1, 0), (0, 1), (319, 239), (318, 239), (319, 238)}


def test_nearness_is_warm_and_distance_cold() -> None:
    near, far = depth_colours(np.array([3.0, 55.0])).astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]


def test_classes_keep_their_colours() -> None:
    assert class_colour("car") == class_colour("Car") != class_colour("Pedestrian")
    assert class_colour("spaceship") == class_colour("spaceship") != class_colour("submarine")
