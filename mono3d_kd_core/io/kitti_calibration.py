"""KITTI's calibration files (object development kit, Geiger et al., CVPR 2012)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix, transform
from mono3d_kd_core.io.files import read_text, write_atomically

SHAPES = {
    "P0": (3, 4), "P1": (3, 4), "P2": (3, 4), "P3": (3, 4),
    "R0_rect": (3, 3), "Tr_velo_to_cam": (3, 4), "Tr_imu_to_velo": (3, 4),
}  # fmt: skip
REQUIRED = ("P2", "R0_rect", "Tr_velo_to_cam")
ALIASES = {"R_rect": "R0_rect", "Tr_velo_cam": "Tr_velo_to_cam", "Tr_imu_velo": "Tr_imu_to_velo"}
"""The tracking benchmark's names for the same matrices."""


def read_matrices(path: Path) -> dict[str, Matrix]:
    """Return the numbers (n,) of each line `name: n numbers`; lines whose values are no numbers (dates) are left out."""
    found: dict[str, Matrix] = {}
    for line in read_text(path).splitlines():
        name, _, values = line.partition(":" if ":" in line else " ")
        try:
            found[name.strip()] = np.array([float(value) for value in values.split()])
        except ValueError:
            continue
    return found


def matrix(found: dict[str, Matrix], name: str, shape: tuple[int, ...], path: Path) -> Matrix:
    """Take one matrix out of what was read. Raises CalibrationError naming the file, the matrix and its size."""
    expected = int(np.prod(shape))
    if name not in found:
        raise CalibrationError(f"{path}: {name} is missing or holds something else than numbers")
    if len(found[name]) != expected:
        raise CalibrationError(f"{path}: {name} has {len(found[name])} numbers, expected {expected}")
    if not np.isfinite(found[name]).all():
        raise CalibrationError(f"{path}: {name} holds a value that is not finite")
    return found[name].reshape(shape)


def _no_imu() -> Matrix:
    return np.eye(4)[:3]


@dataclass(frozen=True)
class KittiCalibration:
    """One `calib/<id>.txt`: projections P0..P3 (3,4), R0_rect (3,3), Tr_velo_to_cam and Tr_imu_to_velo (3,4).

    A LiDAR point x is at R0_rect (Tr_velo_to_cam x) in the rectified frame of camera 0, in which labels are given, and
    P2 projects from there into the left colour image.
    """

    P0: Matrix
    P1: Matrix
    P2: Matrix
    P3: Matrix
    R0_rect: Matrix
    Tr_velo_to_cam: Matrix
    Tr_imu_to_velo: Matrix = field(default_factory=_no_imu)

    @classmethod
    def read(cls, path: Path) -> KittiCalibration:
        """Read a calibration file of the object or tracking benchmark. Raises CalibrationError or DataError naming it."""
        found = {ALIASES.get(name, name): values for name, values in read_matrices(path).items()}
        known = {name: matrix(found, name, SHAPES[name], path) for name in SHAPES if name in found or name in REQUIRED}
        for name in ("P0", "P1", "P3"):
            known.setdefault(name, known["P2"])
        return cls(**known)

    def write(self, path: Path) -> None:
        """Write the file atomically, with all digits that a float64 has."""
        lines = (f"{name}: " + " ".join(f"{v:.16e}" for v in getattr(self, name).ravel()) for name in SHAPES)
        write_atomically(path, ("\n".join(lines) + "\n").encode())

    def rig(self, image_width: int, image_height: int) -> Rig:
        """Return the rig of the left colour camera; its optical frame is the rectified frame of camera 0."""
        T_camera_lidar = transform(self.R0_rect, np.zeros(3)) @ np.vstack([self.Tr_velo_to_cam, [0, 0, 0, 1]])
        return Rig(CameraModel.from_projection(image_width, image_height, self.P2), T_camera_lidar)

    @classmethod
    def from_rig(cls, rig: Rig) -> KittiCalibration:
        """Build the calibration of a rig whose image is free of distortion (CalibrationError otherwise).

        There is one camera: P0 is P2 without its offset, P1 repeats P0 and P3 repeats P2.
        """
        camera = rig.camera
        if not camera.rectified and camera.D.any():
            raise CalibrationError(
                f"a KITTI calibration cannot hold the distortion {camera.distortion} of {rig.camera_frame}: "
                "rectify the image first"
            )
        P2 = camera.P if camera.rectified else np.column_stack([camera.K, np.zeros(3)])
        P0 = np.column_stack([P2[:, :3], np.zeros(3)])
        R0 = camera.R if camera.rectified else np.eye(3)
        return cls(P0, P0, P2, P2, R0, rig.T_camera_lidar[:3])
