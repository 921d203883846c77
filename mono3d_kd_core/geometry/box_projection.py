"""What of a 3D box a camera sees: its clipped edges, its 2D box, and how much of it the image cuts off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply

EDGES: NDArray[np.intp] = np.array(
    [[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6], [6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]], np.intp
)
"""Pairs of corners (in the order of `boxes.CORNER_SIGNS`) that an edge joins: bottom, top, then the uprights."""

FACES: NDArray[np.intp] = np.array(
    [[0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7], [0, 1, 2, 3], [4, 5, 6, 7]], np.intp
)
"""Corners around each face: front, right, rear, left, bottom, top."""

NEAR = 0.1
"""Metres before the camera at which what reaches behind it is cut off."""


def clip_segments(segments: Matrix, camera: CameraModel, near: float = NEAR) -> Matrix:
    """Cut line segments (..., 2, 3) of the optical frame at the plane `near` metres before the camera.

    Segments that lie behind the plane altogether become NaN.
    """
    forward = camera.forward
    depth = (segments - camera.optical_centre) @ forward - near
    start, end = segments[..., :1, :], segments[..., 1:, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = start + (depth[..., :1] / (depth[..., :1] - depth[..., 1:]))[..., None] * (end - start)
    clipped = np.where((depth > 0)[..., None], segments, crossing)
    clipped[(depth <= 0).all(-1)] = np.nan
    return np.asarray(clipped)


def project_segments(segments: Matrix, camera: CameraModel, samples: int = 2) -> Matrix:
    """Return pixels (..., samples, 2) along segments (..., 2, 3) of the optical frame, cut at the near plane.

    Distortion bends lines: take as many samples as the lens needs. Pixels may lie outside the image; NaN is unseen.
    """
    clipped = clip_segments(segments, camera)
    steps = np.linspace(0, 1, samples)[:, None]
    points = clipped[..., :1, :] * (1 - steps) + clipped[..., 1:, :] * steps
    uv, _ = camera.project(points.reshape(-1, 3))
    return uv.reshape(*points.shape[:-1], 2)


def project_edges(boxes: Boxes3D, camera: CameraModel, samples: int = 2) -> Matrix:
    """Return pixels (N,12,samples,2) along the edges of boxes in the frame "camera", as `project_segments` does."""
    if boxes.frame != "camera":
        raise ValueError(f'a camera sees boxes of the frame "camera", these are in "{boxes.frame}"')
    return project_segments(apply(T_CAMERA_BODY, boxes.corners())[:, EDGES], camera, samples)


def project_boxes(boxes: Boxes3D, camera: CameraModel) -> tuple[Matrix, Matrix]:
    """Return the 2D boxes (N,4) left, top, right, bottom in pixels, and the truncation (N,) in [0, 1].

    The 2D box holds the projection of the 3D box (frame "camera"), clipped to the image; truncation is the share of its
    area that the image cuts off. A box with no part in the image has a 2D box of NaN and truncation 1.
    """
    count = len(boxes)
    if camera.bends:
        # Bent edges bulge, and where the near plane or the end of the field cuts a face, no edge tells how far it reaches.
        edges, faces = project_edges(boxes, camera, samples=33), _project_faces(boxes, camera)
        uv = np.concatenate([edges.reshape(count, 12 * 33, 2), faces], 1)
    else:
        uv = project_edges(boxes, camera).reshape(count, 24, 2)
    unseen = np.isnan(uv)
    low, high = np.where(unseen, np.inf, uv).min(1), np.where(unseen, -np.inf, uv).max(1)
    border = np.array([camera.width - 1, camera.height - 1], np.float64)
    clipped_low, clipped_high = np.clip(low, 0, border), np.clip(high, 0, border)
    visible = ((low < border) & (high > 0) & (clipped_high > clipped_low)).all(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.prod(clipped_high - clipped_low, -1) / np.prod(high - low, -1)
    rectangles = np.where(visible[:, None], np.hstack([clipped_low, clipped_high]), np.nan)
    return rectangles, np.where(visible, 1 - share, 1.0)


def _project_faces(boxes: Boxes3D, camera: CameraModel, steps: int = 25) -> Matrix:
    """Return pixels (N,M,2) on a grid over the six faces; NaN is unseen or nearer than the near plane."""
    grid = np.linspace(0, 1, steps)
    a, b = (axis.reshape(-1, 1) for axis in np.meshgrid(grid, grid))
    corners = apply(T_CAMERA_BODY, boxes.corners())
    sides = corners[:, FACES]
    p, q, r = sides[..., 0, :], sides[..., 1, :], sides[..., 3, :]
    points = (p[..., None, :] + a * (q - p)[..., None, :] + b * (r - p)[..., None, :]).reshape(-1, 3)
    uv, _ = camera.project(points)
    uv[(points - camera.optical_centre) @ camera.forward < NEAR] = np.nan
    return uv.reshape(len(boxes), len(FACES) * steps * steps, 2)
