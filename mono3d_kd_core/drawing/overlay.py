"""3D boxes and LiDAR points on the camera's image."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.drawing.palette import Colour, Image, class_colour, depth_colours, put_text
from mono3d_kd_core.geometry.box_projection import EDGES, project_boxes, project_edges, project_segments
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply

_SUBPIXEL_BITS = 3
_FRONT = 0, 4, 8, 9  # the edges of EDGES that bound the front face


def draw_boxes(
    image: Image,
    boxes: Boxes3D,
    camera: CameraModel,
    *,
    colour: Colour | None = None,
    texts: Sequence[str] | None = None,
) -> Image:
    """Return the image (H,W,3) with the wireframes of boxes of the frame "camera", the farthest first.

    The front face is drawn bold, and a line on the ground leads out of it. `colour` replaces those of the classes;
    `texts` replaces "class score" (an empty text writes nothing). What reaches behind the camera is cut off there.
    """
    picture = image.copy()
    if not len(boxes):
        return picture
    thickness = max(1, round(image.shape[0] / 400))
    samples = 24 if camera.bends else 2
    rectangles, _ = project_boxes(boxes, camera)
    edges = project_edges(boxes, camera, samples)
    headings = project_segments(apply(T_CAMERA_BODY, _heading_marks(boxes))[:, None], camera, samples)
    for i in np.argsort(-boxes.centre[:, 0]):
        if np.isnan(rectangles[i, 0]):
            continue
        ink = colour or class_colour(str(boxes.label[i]))
        for k in range(len(EDGES)):
            _polyline(picture, edges[i, k], ink, thickness + (k in _FRONT))
        _polyline(picture, headings[i, 0], ink, thickness)
        text = f"{boxes.label[i]} {boxes.score[i]:.2f}" if texts is None else texts[i]
        if text:
            put_text(
                picture, text, rectangles[i, 0], rectangles[i, 1] - 4, ink, scale=0.4 * max(1, image.shape[0] / 500)
            )
    return picture


def draw_points(
    image: Image, uv: NDArray[np.floating], depth: NDArray[np.floating], *, max_depth: float = 60.0, radius: int = 1
) -> Image:
    """Return the image (H,W,3) with points at pixels (N,2) coloured by their depths (N,), the nearest on top.

    radius 0 is one pixel, 1 a plus of five, and so on.
    """
    picture = image.copy()
    height, width = image.shape[:2]
    order = np.argsort(-np.asarray(depth))
    column, row = np.rint(np.asarray(uv)[order]).astype(np.intp).T
    colours = depth_colours(np.asarray(depth)[order], max_depth)
    steps = range(-radius, radius + 1)
    for dx, dy in ((dx, dy) for dx in steps for dy in steps if abs(dx) + abs(dy) <= radius):
        x, y = column + dx, row + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        picture[y[inside], x[inside]] = colours[inside]
    return picture


def _heading_marks(boxes: Boxes3D) -> Matrix:
    """Return segments (N,2,3) on the ground, from the middle of the front forwards."""
    bottom = boxes.corners()[:, :4]
    front, middle = bottom[:, :2].mean(1), bottom.mean(1)
    return np.stack([front, front + 0.35 * (front - middle)], 1)


def _polyline(picture: Image, uv: Matrix, colour: Colour, thickness: int) -> None:
    """Draw the parts of a line through pixels (K,2) that are not NaN, with smooth edges."""
    # OpenCV's coordinates are 32-bit numbers of eighths of a pixel, and what is so far off is not seen.
    fixed = np.clip(uv * 2**_SUBPIXEL_BITS, -1e8, 1e8)
    gaps = np.flatnonzero(np.isnan(fixed).any(-1))
    for part in np.split(fixed, gaps):
        run = part[np.isfinite(part).all(-1)]
        if len(run) > 1:
            cv2.polylines(
                picture, [np.rint(run).astype(np.int32)], False, colour, thickness, cv2.LINE_AA, _SUBPIXEL_BITS
            )
