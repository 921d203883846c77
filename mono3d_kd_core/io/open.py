"""Opens whatever holds a drive."""

from __future__ import annotations

from pathlib import Path

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_file import is_bag
from mono3d_kd_core.io.drive_file import DriveFile, is_drive_file
from mono3d_kd_core.io.kitti import KittiObjectSource, is_kitti_object
from mono3d_kd_core.io.kitti_raw import KittiRawSource, is_kitti_raw
from mono3d_kd_core.io.rig import RigFile

__all__ = ["describe", "is_bag", "open_source"]

KINDS = """known are
  a bag: a ROS 1 .bag, a rosbag2 folder, an .mcap or .db3 file
  a KITTI raw drive: a folder with image_02/data/, such as 2011_09_26/2011_09_26_drive_0052_sync
  a KITTI object folder: image_2/, calib/ and perhaps velodyne/ (also target stores and simulated sets)
  a drive file: YAML with drive: one of these, and perhaps rig: and labels:"""


def open_source(path: Path, rig: RigFile | Path | None = None) -> FrameSource:
    """Open a bag, a KITTI raw drive, a KITTI object folder (a target store and a simulated set are one too), or what a drive
    file names.

    `rig` is for bags, and goes before that of a drive file. Raises DataError saying what was found and what is known.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if is_drive_file(path):
        file = DriveFile.load(path)
        return open_source(file.drive, rig or file.rig)
    if is_bag(path):
        return BagSource(path, rig)
    if rig is not None:
        raise DataError(f"{path}: a rig file describes the topics of a bag, and this is none")
    if is_kitti_raw(path):
        return KittiRawSource(path)
    if is_kitti_object(path):
        return KittiObjectSource(path)
    if path.is_file():
        raise DataError(f"{path}: this file is no drive; {KINDS}")
    drives = [str(child) for child in sorted(path.iterdir()) if child.is_dir() and (is_kitti_raw(child) or is_bag(child))]
    if len(drives) == 1:
        return open_source(Path(drives[0]))
    if drives:
        raise DataError(f"{path} holds several drives; choose one: {', '.join(drives)}")
    inside = ", ".join(sorted(child.name for child in path.iterdir())[:8]) or "nothing"
    raise DataError(f"{path}: there is no drive in it, but {inside}; {KINDS}")


def describe(source: FrameSource) -> str:
    """Say in words what a source is."""
    kinds = {BagSource: "bag", KittiRawSource: "KITTI raw drive", KittiObjectSource: "KITTI object folder"}
    return f"{kinds.get(type(source), 'source')} of {len(source)} frames"
