"""A contact sheet of a simulated set: what a person looks at first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.drawing.bev import BevView, draw_bev
from mono3d_kd_core.drawing.overlay import draw_boxes
from mono3d_kd_core.drawing.sheet import contact_sheet
from mono3d_kd_core.io.files import write_image
from mono3d_kd_core.io.kitti import KittiObjectSource


def write_sheet(root: Path, count: int = 12) -> Path:
    """Write contact_sheet.png into a folder of simulated frames: pictures, boxes on them, points from above."""
    source = KittiObjectSource(root)
    chosen = np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).astype(int))
    pictures: list[NDArray[np.uint8]] = []
    names: list[str] = []
    columns = 2
    for index in chosen:
        frame = source[index]
        boxes = source.labels(index).boxes()
        pictures += [frame.image, draw_boxes(frame.image, boxes, frame.rig.camera, texts=[""] * len(boxes))]
        names += [frame.id, f"{len(boxes)} labelled"]
        if frame.points is not None:
            columns = 3
            view = BevView((0.0, 60.0), (-60.0, 60.0), 5.0)
            pictures.append(draw_bev(frame.points, {"labels": frame.rig.boxes_in_lidar(boxes)}, view))
            names.append("")
    path = root / "contact_sheet.png"
    write_image(path, contact_sheet(pictures, columns, 640, names))
    return path
