"""Drives with labels, wherever either lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.io.drive_file import DriveFile, is_drive_file
from mono3d_kd_core.io.kitti import KittiLabels, object_folder


class LabelledDrive:
    """The frames of a drive that have a label file <frame id>.txt in a folder. Raises DataError when none has."""

    def __init__(self, frames: FrameSource, folder: Path) -> None:
        self.name, self.frames, self._folder = frames.name, frames, folder
        labelled = {file.stem for file in folder.glob("*.txt")}
        self._chosen = [index for index, id_ in enumerate(frames.ids) if id_ in labelled]
        if not self._chosen:
            raise DataError(
                f"{self.name}: none of its {len(frames)} frames has a label file in {folder}; they are named by frame id, "
                f"such as {frames.ids[0]}.txt"
            )
        self.ids: Sequence[str] = [frames.ids[index] for index in self._chosen]

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: int) -> SensorFrame:
        return self.frames[self._chosen[index]]

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points, which are not read."""
        return self.frames.picture(self._chosen[index])

    def labels(self, index: int) -> KittiLabels:
        """Read the label file of a frame."""
        return KittiLabels.read(self._folder / f"{self.ids[index]}.txt")


def label_folder(path: Path) -> Path | None:
    """Return where the label files of a drive lie: where its drive file says, else label_2/ of a KITTI object folder.

    None for a drive without: a bag, a KITTI raw drive.
    """
    if is_drive_file(path):
        file = DriveFile.load(path)
        return file.labels or label_folder(file.drive)
    folder = object_folder(path)
    return None if folder is None else folder / "label_2"
