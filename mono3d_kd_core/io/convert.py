"""From one way of storing a drive to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_writer import BagWriter
from mono3d_kd_core.io.kitti import KittiObjectSource, KittiWriter
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.io.kitti_raw import KittiRawWriter
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.io.rig import RigFile

Kind = Literal["bag", "kitti", "kitti-raw"]
Progress = Callable[[int, int], None]
"""Hears how many frames of how many are done."""


def _silent(done: int, total: int) -> None:
    pass


def convert_source(
    source: Path, destination: Path, rig: RigFile | Path | None = None, to: Kind | None = None, jpeg: bool = False,
    progress: Progress = _silent,
) -> Path:  # fmt: skip
    """Convert a drive to a bag, a KITTI object folder or a KITTI raw drive, and return the destination.

    By default a bag becomes a KITTI object folder and everything else a bag. A KITTI object folder is written frame by
    frame and goes on where it was stopped; bags appear when they are complete. Raises DataError or CalibrationError.
    """
    opened = open_source(source, rig)
    return convert(opened, destination, to or default_kind(opened), jpeg, progress)


def default_kind(source: FrameSource) -> Kind:
    """Return what a source is converted to when nobody says: bags to KITTI, everything else to a bag."""
    return "kitti" if isinstance(source, BagSource) else "bag"


def convert(
    source: FrameSource, destination: Path, to: Kind, jpeg: bool = False, progress: Progress = _silent
) -> Path:
    """Convert an open source; see `convert_source`."""
    destination = Path(destination)
    if to == "bag":
        _to_bag(source, destination, jpeg, progress)
    elif to == "kitti":
        _to_kitti(source, destination, jpeg, progress)
    else:
        _to_kitti_raw(source, destination, jpeg, progress)
    return destination


def _to_bag(source: FrameSource, destination: Path, jpeg: bool, progress: Progress) -> None:
    # KITTI's object frames come from many drives: each has its own calibration.
    moving = isinstance(source, KittiObjectSource) and _calibration_changes(source)
    with BagWriter(destination) as bag:
        for number, frame in enumerate(source, 1):
            bag.write_frame(frame, jpeg, moving)
            progress(number, len(source))


def _calibration_changes(source: KittiObjectSource) -> bool:
    first = source.calibration(0).rig(1, 1).T_camera_lidar
    return any(
        not np.array_equal(source.calibration(index).rig(1, 1).T_camera_lidar, first) for index in range(1, len(source))
    )


def _to_kitti(source: FrameSource, destination: Path, jpeg: bool, progress: Progress) -> None:
    writer = KittiWriter(destination, jpeg)
    missing = [index for index, id_ in enumerate(source.ids) if not writer.has(id_)]
    # A stopped conversion goes on frame by frame; a fresh one reads its source in one pass.
    frames = source if len(missing) == len(source) else (source[index] for index in missing)
    done = len(source) - len(missing)
    for number, frame in enumerate(frames, done + 1):
        writer.write(undistorted(frame), _labels(source, frame))
        progress(number, len(source))


def _labels(source: FrameSource, frame: SensorFrame) -> KittiLabels | None:
    if not isinstance(source, KittiObjectSource) or not (source.folder / "label_2" / f"{frame.id}.txt").exists():
        return None
    return source.labels(list(source.ids).index(frame.id))


def _to_kitti_raw(source: FrameSource, destination: Path, jpeg: bool, progress: Progress) -> None:
    if jpeg:
        raise DataError("KITTI raw drives hold PNG pictures: leave out --jpeg, or convert to kitti")
    if (destination / "image_02").exists():
        raise DataError(f"{destination} exists already; remove it, or choose another name")
    with KittiRawWriter(destination) as writer:
        for number, frame in enumerate(source, 1):
            writer.write(undistorted(frame))
            progress(number, len(source))


def undistorted(frame: SensorFrame) -> SensorFrame:
    """Return the frame with its image rectified, as KITTI's layout needs it; unchanged where the lens bends nothing."""
    camera = frame.rig.camera
    if camera.rectified or not camera.bends:
        return frame
    import cv2

    image = cv2.remap(frame.image, *camera.undistort_maps(), cv2.INTER_LINEAR)
    rectified: CameraModel = camera.rectify()
    return replace(frame, image=np.asarray(image, np.uint8), rig=replace(frame.rig, camera=rectified))
