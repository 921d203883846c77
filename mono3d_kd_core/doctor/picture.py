"""One picture in which calibration and time can be judged at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.doctor.edges import depth_edges
from mono3d_kd_core.drawing import beside, contact_sheet, draw_bev, draw_points
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.depth import project_points
from mono3d_kd_core.geometry.rigid import inverse

UPRIGHT, LEVEL = (255, 210, 40), (60, 220, 255)


def diagnosis(frames: Sequence[SensorFrame]) -> NDArray[np.uint8]:
    """Show LiDAR points on the images of some frames, the edges of both sensors, and the middle frame from above.

    On the right of each row the image is dark and its edges light; on them must lie the LiDAR's upright edges (yellow) and
    level ones (blue). Frames without points are shown as they are.
    """
    tiles, titles = [], []
    for frame in frames:
        tiles += [_points_on_image(frame), _edges_on_edges(frame)]
        titles += [f"{frame.id}: LiDAR points, red is near", f"{frame.id}: edges of the LiDAR on those of the image"]
    sheet = contact_sheet(tiles, columns=2, width=900, titles=titles)
    middle = frames[len(frames) // 2]
    if middle.points is None:
        return sheet
    rig = middle.rig
    above = draw_bev(middle.points, {}, camera=rig.camera, T_frame_camera=inverse(rig.T_camera_lidar))
    return beside(sheet, above)


def _points_on_image(frame: SensorFrame) -> NDArray[np.uint8]:
    if frame.points is None:
        return frame.image
    uv, depth, _ = project_points(frame.points, frame.rig.camera, frame.rig.T_camera_lidar)
    return draw_points(frame.image, uv, depth, radius=max(0, round(frame.image.shape[1] / 1000)))


def _edges_on_edges(frame: SensorFrame) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(frame.image, cv2.COLOR_RGB2GRAY)
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.2).astype(np.float32)
    size = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    light = 0.25 * grey + 200 * np.minimum(size / max(float(np.percentile(size, 98)), 1e-6), 1)
    picture = np.repeat(np.clip(light, 0, 255).astype(np.uint8)[..., None], 3, 2)
    if frame.points is None:
        return picture
    for edges, colour in zip(depth_edges(frame.points), (UPRIGHT, LEVEL)):
        _dots(picture, edges.position, frame.rig, colour)
    return picture


def _dots(picture: NDArray[np.uint8], positions: NDArray[np.float64], rig: Rig, colour: tuple[int, int, int]) -> None:
    uv, _, _ = project_points(positions, rig.camera, rig.T_camera_lidar)
    radius = max(1, round(picture.shape[1] / 800))
    for column, row in np.rint(uv).astype(int).tolist():
        cv2.circle(picture, (column, row), radius, colour, cv2.FILLED, cv2.LINE_AA)
