"""KITTI raw drives, synchronised and rectified (Geiger et al., IJRR 2013): read as a source of frames, and written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np

from mono3d_kd_core.errors import CalibrationError, DataError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.rigid import Matrix, transform
from mono3d_kd_core.io.files import PICTURE_SUFFIXES, read_image, read_text, write_atomically, write_image
from mono3d_kd_core.io.kitti import FRAME_INTERVAL, numbered_files, read_points
from mono3d_kd_core.io.kitti_calibration import KittiCalibration, matrix, read_matrices

CAMERAS = ("image_02", "image_03")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = "2011_09_26"
"""The day that stamps fall on when neither the drive nor the folder around it is named by one: that of KITTI's first."""


def is_kitti_raw(drive: Path) -> bool:
    """Tell whether a folder is laid out as a raw drive."""
    return any((drive / camera / "data").is_dir() for camera in CAMERAS)


class KittiRawSource:
    """Frames of one synchronised drive, such as 2011_09_26/2011_09_26_drive_0052_sync.

    The calibration files of the day lie in the folder around it, as KITTI delivers them (or in the drive itself). The
    frame "camera" is the rectified frame of camera 0, as in the object benchmark; `camera` is image_02 or image_03.
    Frames keep the numbers of their pictures; points are those of the same number, None where there are none. Stamps are
    those of timestamps.txt, read as UTC; without the file they start at midnight of the drive's day, at 10 Hz.
    """

    def __init__(self, drive: Path, camera: str = "image_02") -> None:
        self.name = str(drive)
        self.drive = Path(drive)
        self._camera = camera
        self._images = numbered_files(self.drive / camera / "data", PICTURE_SUFFIXES)
        self._clouds = numbered_files(self.drive / "velodyne_points" / "data", (".bin",))
        if not self._images:
            raise DataError(f"{self.drive / camera / 'data'}: no picture with a number for its name is here")
        self._numbers = list(self._images)

    @property
    def ids(self) -> Sequence[str]:
        """The frame ids: the numbers of the pictures, six digits."""
        return [f"{number:06d}" for number in self._numbers]

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> SensorFrame:
        cloud = self._clouds.get(self._numbers[index])
        return replace(self.picture(index), points=None if cloud is None else read_points(cloud))

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points, which are not read."""
        number = self._numbers[index]
        image = read_image(self._images[number])
        height, width = image.shape[:2]
        if (width, height) != self._size:
            raise CalibrationError(
                f"{self._images[number]}: the picture is {width}x{height}, but the day's rectified pictures are "
                f"{self._size[0]}x{self._size[1]}: only synchronised drives (_sync), which are rectified, can be read"
            )
        return SensorFrame(f"{number:06d}", self._stamp(number), image, None, self.calibration.rig(width, height))

    def __iter__(self) -> Iterator[SensorFrame]:
        return (self[index] for index in range(len(self)))

    @cached_property
    def calibration(self) -> KittiCalibration:
        """What the object benchmark's calib file of these frames would say, with P2 that of the chosen camera."""
        path = self._day_file("calib_cam_to_cam.txt")
        cameras, velodyne = read_matrices(path), self._velo_to_cam()
        P = {i: matrix(cameras, f"P_rect_0{i}", (3, 4), path) for i in range(4) if f"P_rect_0{i}" in cameras}
        P2 = matrix(cameras, f"P_rect_{self._camera[-2:]}", (3, 4), path)
        R0 = matrix(cameras, "R_rect_00", (3, 3), path)
        return KittiCalibration(P.get(0, P2), P.get(1, P2), P2, P.get(3, P2), R0, velodyne[:3])

    @cached_property
    def _size(self) -> tuple[int, int]:
        path = self._day_file("calib_cam_to_cam.txt")
        width, height = matrix(read_matrices(path), f"S_rect_{self._camera[-2:]}", (2,), path)
        return int(width), int(height)

    def _velo_to_cam(self) -> Matrix:
        path = self._day_file("calib_velo_to_cam.txt")
        found = read_matrices(path)
        return transform(matrix(found, "R", (3, 3), path), matrix(found, "T", (3,), path))

    def _day_file(self, name: str) -> Path:
        places = [self.drive.absolute().parent / name, self.drive / name]
        path = next((place for place in places if place.is_file()), None)
        if path is None:
            raise CalibrationError(f"{self.drive}: {name} is missing; it belongs into {places[0].parent}")
        return path

    @cached_property
    def _timestamps(self) -> list[int] | None:
        path = self.drive / self._camera / "timestamps.txt"
        if not path.exists():
            return None
        lines = read_text(path).splitlines()
        if self._numbers[-1] >= len(lines):
            raise DataError(f"{path}: {len(lines)} lines, but there is a picture with the number {self._numbers[-1]}")
        return [_nanoseconds(line, f"{path}:{number}") for number, line in enumerate(lines, 1)]

    def _stamp(self, number: int) -> int:
        if self._timestamps is not None:
            return self._timestamps[number]
        day = re.search(r"\d{4}_\d\d_\d\d", f"{self.drive.absolute().parent.name}/{self.drive.name}")
        return _nanoseconds(f"{day.group() if day else DAY} 00:00:00".replace("_", "-"), self.name) + number * FRAME_INTERVAL


def _nanoseconds(text: str, where: str) -> int:
    """Read `2011-09-26 13:02:25.964389445` as nanoseconds since 1970."""
    seconds, _, fraction = text.strip().partition(".")
    try:
        since = datetime.strptime(f"{seconds}+0000", "%Y-%m-%d %H:%M:%S%z") - EPOCH
        return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(f"{fraction:0<9}"[:9])
    except ValueError as error:
        raise DataError(f"{where}: {text.strip()!r} is no time such as 2011-09-26 13:02:25.964389445") from error


def _text(nanoseconds: int) -> str:
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    return f"{EPOCH + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S}.{fraction:09d}"


class KittiRawWriter:
    """Writes frames as a raw drive, the day's calibration into the folder around it; a context manager.

    Each file is written atomically, timestamps.txt and the calibration when the block ends. Frame ids become file numbers.
    """

    def __init__(self, drive: Path) -> None:
        self.drive = Path(drive)
        self._stamps: dict[int, int] = {}
        self._rig: Rig | None = None

    def __enter__(self) -> KittiRawWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._rig is not None:
            self._write_timestamps()
            self._write_calibration(self._rig)

    def write(self, frame: SensorFrame) -> None:
        """Write a frame. Raises CalibrationError when its rig is not that of the frames before: a day has one."""
        if self._rig is not None and not _same(self._rig, frame.rig):
            raise CalibrationError(f"frame {frame.id}: its calibration is another than before, but a raw drive has one")
        KittiCalibration.from_rig(frame.rig)  # refuses what the files cannot say
        self._rig = frame.rig
        number = int(frame.id)
        if frame.points is not None:
            path = self.drive / "velodyne_points" / "data" / f"{number:010d}.bin"
            write_atomically(path, np.asarray(frame.points, "<f4").tobytes())
        write_image(self.drive / "image_02" / "data" / f"{number:010d}.png", frame.image)
        self._stamps[number] = frame.stamp

    def _write_timestamps(self) -> None:
        # The line's number is the frame's: one that was not written repeats the time before it.
        stamp, lines = self._stamps[min(self._stamps)], []
        for number in range(max(self._stamps) + 1):
            stamp = self._stamps.get(number, stamp)
            lines.append(f"{_text(stamp)}\n")
        for sensor in ("image_02", "velodyne_points"):
            write_atomically(self.drive / sensor / "timestamps.txt", "".join(lines).encode())

    def _write_calibration(self, rig: Rig) -> None:
        calibration = KittiCalibration.from_rig(rig)
        size = np.array([rig.camera.width, rig.camera.height])
        cameras = {"S_rect_00": size, "R_rect_00": calibration.R0_rect, "P_rect_00": calibration.P0}
        cameras |= {"S_rect_02": size, "R_rect_02": calibration.R0_rect, "P_rect_02": calibration.P2}
        T = calibration.Tr_velo_to_cam
        day = self.drive.absolute().parent
        _write_matrices(day / "calib_cam_to_cam.txt", cameras)
        _write_matrices(day / "calib_velo_to_cam.txt", {"R": T[:, :3], "T": T[:, 3]})


def _write_matrices(path: Path, matrices: dict[str, Matrix]) -> None:
    lines = (f"{name}: " + " ".join(f"{v:.16e}" for v in np.ravel(values)) + "\n" for name, values in matrices.items())
    write_atomically(path, "".join(lines).encode())


def _same(a: Rig, b: Rig) -> bool:
    sizes = (a.camera.width, a.camera.height) == (b.camera.width, b.camera.height)
    return sizes and np.array_equal(a.camera.P, b.camera.P) and np.array_equal(a.T_camera_lidar, b.T_camera_lidar)
