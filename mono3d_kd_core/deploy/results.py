"""Run a detector over a drive and write what it found: KITTI result files, pictures, a video."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.drawing import VideoWriter, draw_boxes
from mono3d_kd_core.frames import FrameSource
from mono3d_kd_core.io.depth_std import write_depth_std
from mono3d_kd_core.io.files import write_image
from mono3d_kd_core.io.kitti import KittiLabels

VIDEO = "video.mp4"


@dataclass(frozen=True)
class Summary:
    """frames and boxes counted, milliseconds of each detection (frames,), and warnings about the camera."""

    frames: int
    boxes: int
    milliseconds: NDArray[np.float64]
    warnings: tuple[str, ...]


def write_detections(
    detector: Detector, source: FrameSource, out: Path, pictures: bool = False, video: bool = False,
    done: Callable[[], None] = lambda: None,
) -> Summary:  # fmt: skip
    """Detect in every frame and write `out/<id>.txt`, KITTI rows of 16 columns with score, and `out/depth_std/`.

    `pictures` adds out/pictures/<id>.png, `video` out/video.mp4, with the boxes drawn; `done` hears of each frame. Boxes
    without a pixel in the image are left out, as KITTI does.
    """
    times, boxes_found = [], 0
    warnings: list[str] = []
    with ExitStack() as stack:
        film = stack.enter_context(VideoWriter(out / VIDEO)) if video else None
        for frame in source:
            camera = frame.rig.camera
            warnings += [line for line in detector.check_camera(camera) if line not in warnings]
            start = time.perf_counter()
            pose = None if frame.points is None else frame.rig.T_camera_lidar
            boxes = detector.detect(frame.image, camera, pose)
            times.append(1000 * (time.perf_counter() - start))
            boxes_found += len(boxes)
            rows = KittiLabels.from_boxes(boxes, camera, only_visible=False)
            visible = np.any(rows.bbox, axis=1)
            rows[visible].write(out / f"{frame.id}.txt")
            write_depth_std(out, frame.id, boxes.depth_std[visible])
            if pictures or film:
                picture = draw_boxes(frame.image, boxes, camera)
                if pictures:
                    write_image(out / "pictures" / f"{frame.id}.png", picture)
                if film:
                    film.write(picture)
            done()
    return Summary(len(times), boxes_found, np.array(times), tuple(warnings))
