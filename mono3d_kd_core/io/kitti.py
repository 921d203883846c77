"""Folders laid out as KITTI's object benchmark: read as a source of frames, and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.io.files import (
    PICTURE_SUFFIXES,
    read_bytes,
    read_image,
    read_text,
    write_atomically,
    write_depth,
    write_image,
)
from mono3d_kd_core.io.kitti_calibration import KittiCalibration
from mono3d_kd_core.io.kitti_labels import KittiLabels

__all__ = [
    "KittiCalibration", "KittiLabels", "KittiObjectSource", "KittiWriter", "is_kitti_object", "numbered_files",
    "object_folder", "read_points",
]  # fmt: skip

CLOUDS = ("velodyne", "velodyne_reduced")
FRAME_INTERVAL = 100_000_000
"""Nanoseconds between the stamps made up for frames that have none: KITTI's 10 Hz."""


def read_points(path: Path) -> NDArray[np.float32]:
    """Read a `.bin` of float32 x y z intensity as (N,4), in the LiDAR frame."""
    data = read_bytes(path)
    if len(data) % 16:
        raise DataError(f"{path}: {len(data)} bytes are no whole number of points of 4 float32 (truncated?)")
    return np.frombuffer(data, "<f4").reshape(-1, 4).astype(np.float32)


def numbered_files(folder: Path, suffixes: Sequence[str]) -> dict[int, Path]:
    """Return the files of a folder whose names are numbers, by number and in its order; the first suffix wins."""
    found: dict[int, Path] = {}
    for suffix in reversed(suffixes):
        found |= {int(path.stem): path for path in folder.glob(f"*{suffix}") if path.stem.isdecimal()}
    return dict(sorted(found.items()))


def object_folder(root: Path) -> Path | None:
    """Return the folder that holds image_2: `root` itself or its `training`; None when neither does."""
    return next((folder for folder in (root, root / "training") if (folder / "image_2").is_dir()), None)


def is_kitti_object(root: Path) -> bool:
    """Tell whether a folder is laid out as the object benchmark."""
    return object_folder(root) is not None


class KittiObjectSource:
    """Frames of a folder with image_2/, calib/ and, as far as there is LiDAR, velodyne/ (or velodyne_reduced/).

    `root` is that folder or the data set's root with training/ in it. `ids` selects frames; `split` names a file of ids, or
    a list of the data set such as "val" in ImageSets/. A frame without LiDAR has points None. Stamps are those of stamp/,
    which `KittiWriter` writes; KITTI's own frames have none and get 10 Hz by their number.
    """

    def __init__(self, root: Path, split: str | Path | None = None, ids: Sequence[str] | None = None) -> None:
        folder = object_folder(Path(root))
        if folder is None:
            raise DataError(f"{root}: no KITTI object folder: neither image_2/ nor training/image_2/ is in it")
        self.name = str(root)
        self.folder = folder
        images = numbered_files(folder / "image_2", PICTURE_SUFFIXES)
        self._images = {path.stem: path for path in images.values()}
        if not self._images:
            raise DataError(f"{folder / 'image_2'}: there is no picture with a number for its name")
        chosen = _read_split(Path(root), split) if split is not None else ids
        missing = [id_ for id_ in chosen or () if id_ not in self._images]
        if missing:
            raise DataError(f"{folder / 'image_2'}: {len(missing)} of the chosen frames are missing, such as {missing[0]}")
        self._ids = list(self._images if chosen is None else chosen)

    @property
    def ids(self) -> Sequence[str]:
        """The frame ids, in the order of their numbers or of the split."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> SensorFrame:
        return replace(self.picture(index), points=self._points(self._ids[index]))

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points, which are not read."""
        id_ = self._ids[index]
        image = read_image(self._images[id_])
        height, width = image.shape[:2]
        rig = self.calibration(index).rig(width, height)
        return SensorFrame(id_, self._stamp(id_), image, None, rig)

    def __iter__(self) -> Iterator[SensorFrame]:
        return (self[index] for index in range(len(self)))

    def calibration(self, index: int) -> KittiCalibration:
        """Read the calibration file of a frame."""
        return KittiCalibration.read(self.folder / "calib" / f"{self._ids[index]}.txt")

    def labels(self, index: int) -> KittiLabels:
        """Read the label file of a frame. Raises DataError where there is none."""
        return KittiLabels.read(self.folder / "label_2" / f"{self._ids[index]}.txt")

    def _points(self, id_: str) -> NDArray[np.float32] | None:
        paths = (self.folder / cloud / f"{id_}.bin" for cloud in CLOUDS)
        return next((read_points(path) for path in paths if path.exists()), None)

    def _stamp(self, id_: str) -> int:
        path = self.folder / "stamp" / f"{id_}.txt"
        return int(read_text(path)) if path.exists() else (int(id_) + 1) * FRAME_INTERVAL


def _read_split(root: Path, split: str | Path) -> list[str]:
    places = [Path(split), *(base / "ImageSets" / f"{split}.txt" for base in (root, root.parent))]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise DataError(f"{root}: no split {split}: looked for {', '.join(map(str, places))}")
    return read_text(path).split()


class KittiWriter:
    """Writes frames as a KITTI object folder: image_2/ velodyne/ depth_2/ label_2/ stamp/ calib/, each file atomically.

    The calibration comes last, so a frame is complete when its calibration exists, and a killed run can go on. stamp/ holds
    the nanoseconds that KITTI's layout has no place for. Pictures are PNG, or JPEG (smaller, not exact).
    """

    def __init__(self, root: Path, jpeg: bool = False) -> None:
        self.root = Path(root)
        self._suffix = ".jpg" if jpeg else ".png"

    def has(self, id_: str) -> bool:
        """Tell whether a frame was written completely."""
        return self._path("calib", id_, ".txt").exists()

    def write(
        self, frame: SensorFrame, labels: KittiLabels | None = None, depth: NDArray[np.floating] | None = None
    ) -> None:
        """Write a frame; `depth` is (H,W) metres along z of the camera, 0 where unknown.

        Raises CalibrationError when the image is distorted (KITTI's calibration cannot say so), DataError when a file
        cannot be written.
        """
        calibration = KittiCalibration.from_rig(frame.rig)
        write_image(self._path("image_2", frame.id, self._suffix), frame.image)
        if frame.points is not None:
            write_atomically(self._path("velodyne", frame.id, ".bin"), np.asarray(frame.points, "<f4").tobytes())
        if depth is not None:
            write_depth(self._path("depth_2", frame.id, ".png"), depth)
        if labels is not None:
            labels.write(self._path("label_2", frame.id, ".txt"))
        write_atomically(self._path("stamp", frame.id, ".txt"), f"{frame.stamp}\n".encode())
        calibration.write(self._path("calib", frame.id, ".txt"))

    def _path(self, kind: str, id_: str, suffix: str) -> Path:
        return self.root / kind / f"{id_}{suffix}"
