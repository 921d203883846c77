"""The scene from above: points, boxes by their source, range rings and the camera's field of view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.drawing.palette import SERIES, Colour, Image, put_text
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix

_GROUND: Colour = (16, 18, 24)
_RING: Colour = (70, 74, 86)
_TEXT: Colour = (190, 195, 205)
_SUBPIXEL_BITS = 3


@dataclass(frozen=True)
class BevView:
    """What part of a z-up frame is shown, in metres: x up to the top, y to the left; and pixels a metre."""

    x: tuple[float, float] = (-5.0, 65.0)
    y: tuple[float, float] = (-30.0, 30.0)
    scale: float = 10.0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the picture in pixels."""
        return round((self.x[1] - self.x[0]) * self.scale), round((self.y[1] - self.y[0]) * self.scale)

    def pixels(self, xy: NDArray[np.floating]) -> Matrix:
        """Return the pixels (...,2) of places (...,2) x, y."""
        return np.stack([(self.y[1] - xy[..., 1]) * self.scale, (self.x[1] - xy[..., 0]) * self.scale], -1) - 0.5


def draw_bev(
    points: NDArray[np.floating] | None,
    boxes_by_name: Mapping[str, Boxes3D],
    view: BevView | None = None,
    *,
    camera: CameraModel | None = None,
    T_frame_camera: Matrix | None = None,
) -> Image:
    """Draw points (N,3+) and boxes, all of one z-up frame, from above.

    Each name of boxes (teacher, student, labels) has a colour of its own and a line in the legend. With a camera and the
    transform of its optical frame into the frame shown, the borders of its view are drawn.
    """
    view = view or BevView()
    picture = np.full((*view.shape, 3), _GROUND, np.uint8)
    if points is not None:
        _draw_points(picture, points, view)
    _draw_rings(picture, view)
    if camera is not None and T_frame_camera is not None:
        _draw_view(picture, view, camera, T_frame_camera)
    for index, (name, boxes) in enumerate(boxes_by_name.items()):
        colour = SERIES[index % len(SERIES)]
        for box in range(len(boxes)):
            _draw_box(picture, boxes[[box]], view, colour)
        put_text(picture, f"{name}: {len(boxes)}", 8, 20 + 20 * index, colour, scale=0.5)
    return picture


def _draw_points(picture: Image, points: NDArray[np.floating], view: BevView) -> None:
    """Draw points, high ones brighter and over low ones."""
    points = points[np.argsort(points[:, 2])]
    column, row = np.floor(view.pixels(points[:, :2]) + 0.5).astype(np.intp).T
    inside = (column >= 0) & (column < picture.shape[1]) & (row >= 0) & (row < picture.shape[0])
    light = np.clip((points[inside, 2] + 2.5) / 4.5, 0, 1)[:, None]
    low, high = np.array([62, 74, 98]), np.array([205, 215, 230])
    picture[row[inside], column[inside]] = (low + light * (high - low)).astype(np.uint8)


def _draw_rings(picture: Image, view: BevView) -> None:
    """Draw a circle every ten metres around the origin, with its radius."""
    origin = view.pixels(np.zeros(2))
    farthest = max(np.hypot(x, y) for x in view.x for y in view.y)
    for radius in range(10, int(farthest) + 1, 10):
        cv2.circle(
            picture,
            _fixed(origin),
            round(radius * view.scale * 2**_SUBPIXEL_BITS),
            _RING,
            1,
            cv2.LINE_AA,
            _SUBPIXEL_BITS,
        )
        if radius < view.x[1]:
            column, row = view.pixels(np.array([radius, 0.0]))
            put_text(picture, f"{radius} m", column + 3, row - 3, _TEXT, scale=0.35)
    _circle(picture, origin, 3, _TEXT, cv2.FILLED)


def _draw_view(picture: Image, view: BevView, camera: CameraModel, T_frame_camera: Matrix) -> None:
    """Draw the rays of the left and right borders of the image, at the height of its middle."""
    middle = (camera.height - 1) / 2
    rays = camera.rays(np.array([[0.0, middle], [camera.width - 1.0, middle]])) @ T_frame_camera[:3, :3].T
    start = T_frame_camera[:3, :3] @ camera.optical_centre + T_frame_camera[:3, 3]
    for ray in rays:
        if np.isfinite(ray).all():
            end = start[:2] + 200 * ray[:2] / np.linalg.norm(ray[:2])
            _line(picture, view, start[:2], end, _TEXT, 1)


def _draw_box(picture: Image, box: Boxes3D, view: BevView, colour: Colour) -> None:
    corners = box.corners()[0, :4, :2]
    for a, b in ((1, 2), (2, 3), (3, 0)):
        _line(picture, view, corners[a], corners[b], colour, 1)
    _line(picture, view, corners[0], corners[1], colour, 2)
    front, middle = corners[:2].mean(0), corners.mean(0)
    _line(picture, view, middle, front + 0.35 * (front - middle), colour, 1)


def _line(picture: Image, view: BevView, start: Matrix, end: Matrix, colour: Colour, thickness: int) -> None:
    a, b = _fixed(view.pixels(start)), _fixed(view.pixels(end))
    cv2.line(picture, a, b, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _circle(picture: Image, centre: Matrix, radius: float, colour: Colour, thickness: int) -> None:
    scaled = round(radius * 2**_SUBPIXEL_BITS)
    cv2.circle(picture, _fixed(centre), scaled, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)


def _fixed(pixel: Matrix) -> tuple[int, int]:
    """Return a pixel in OpenCV's fixed-point numbers."""
    column, row = np.rint(pixel * 2**_SUBPIXEL_BITS).astype(int)
    return int(column), int(row)
