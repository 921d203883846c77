from __future__ import annotations

import numpy as np

from mono3d_kd_core.drawing import BevView, draw_bev
from mono3d_kd_core.drawing.palette import SERIES
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse

VIEW = BevView(x=(0, 50), y=(-20, 20), scale=10)


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rows and columns in which two pictures differ."""
    return np.argwhere((a != b).any(-1))


def test_forward_is_up_and_left_is_left() -> None:
    empty = draw_bev(None, {}, VIEW)
    assert empty.shape == (500, 400, 3)
    points = np.array([[30.05, 10.05, 0], [60, 0, 0], [-1, 0, 0]])
    ((row, column),) = difference(draw_bev(points, {}, VIEW), empty)
    assert (row, column) == (199, 99)


def test_a_box_covers_its_footprint_in_the_colour_of_its_source() -> None:
    box = Boxes3D([[25, -5, 0]], [[4, 2, 1.5]], [0], ["Car"])
    without = draw_bev(None, {"teacher": Boxes3D.empty(), "student": Boxes3D.empty()}, VIEW)
    picture = draw_bev(None, {"teacher": Boxes3D.empty(), "student": box}, VIEW)
    changed = difference(picture, without)
    changed = changed[changed[:, 1] > 200]  # the legend counts boxes at the left
    # x from 23 m to 27 m and the heading's mark; y from -4 m to -6 m.
    assert abs(changed[:, 0].max() - (50 - 23) * 10) <= 3  # the front is drawn bold
    assert abs(changed[:, 1].min() - (20 + 4) * 10) <= 3  # the front is drawn bold
    assert abs(changed[:, 1].max() - (20 + 6) * 10) <= 3  # the front is drawn bold
    np.testing.assert_array_equal(picture[((50 - 27) * 10), round((20 + 4.5) * 10)], SERIES[1])


def test_the_view_opens_as_wide_as_the_camera_sees() -> None:
    camera = CameraModel.pinhole(201, 101, 100, 100, 100, 50)  # 45 degrees to either side
    picture = draw_bev(None, {}, VIEW, camera=camera, T_frame_camera=inverse(T_CAMERA_BODY))
    changed = difference(picture, draw_bev(None, {}, VIEW))
    forward, left = (500 - changed[:, 0] - 0.5) / 10, (200 - changed[:, 1] - 0.5) / 10
    np.testing.assert_allclose(np.abs(left), forward, atol=0.3)
    assert left.max() > 15
    assert left.min() < -15
