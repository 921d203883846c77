"""A contact sheet of a simulated set: what a person looks at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.drawing.bev import BevView, draw_bev
from mono3d_kd_core.drawing.overlay import draw_boxes
from mono3d_kd_core.drawing.sheet import beside, contact_sheet
from mono3d_kd_core.io.files import write_image
from mono3d_kd_core.io.kitti import KittiObjectSource


def write_sheet(root: Path, count: int = 12) -> Path:
    """Write contact_sheet.png into a folder of simulated frames: pictures, boxes on them, points from above."""
    source = KittiObjectSource(root)
    chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
    tiles = [_tile(source, int(index)) for index in chosen]
    path = root / "contact_sheet.png"
    write_image(path, contact_sheet(tiles, 2, 960, [source.ids[int(index)] for index in chosen]))
    return path


def _tile(source: KittiObjectSource, index: int) -> NDArray[np.uint8]:
    """The picture, the labels on it below, and, where there is LiDAR, the points from above beside them."""
    frame, boxes = source[index], source.labels(index).boxes()
    both = np.concatenate([frame.image, draw_boxes(frame.image, boxes, frame.rig.camera, texts=[""] * len(boxes))])
    if frame.points is None:
        return both
    view = BevView((0.0, 56.0), (-28.0, 28.0), 8.0)
    return beside(both, draw_bev(frame.points, {"labels": frame.rig.boxes_in_lidar(boxes)}, view))
