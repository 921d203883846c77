"""The sensors of the simulated car: a YAML file that says what they are and where they sit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.camera import CameraModel, Distortion
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse, transform
from mono3d_kd_core.io.settings import read_settings
from mono3d_kd_core.simulation.lidar.beams import MODELS, Beams, with_columns


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSection(_Section):
    """The camera: pixels, intrinsics fx, fy, cx, cy, lens."""

    frame: str
    width: int = Field(gt=0, le=8192)
    height: int = Field(gt=0, le=8192)
    intrinsics: tuple[float, float, float, float]
    distortion: Distortion = "none"
    coefficients: tuple[float, ...] = ()
    exposure_seconds: float = Field(default=0.004, ge=0, le=0.1)
    noise: float = Field(default=1.0, ge=0, le=20)
    jpeg_quality: int | None = Field(default=None, ge=10, le=100)


class LidarSection(_Section):
    """The LiDAR: model, columns a turn (default: the sensor's), and whether the car moves on while it turns."""

    frame: str
    model: Literal["hdl64", "hdl32", "vlp16", "os1-128"] = "hdl64"
    columns: int | None = Field(default=None, ge=90, le=8192)
    sweep: Literal["snapshot", "rolling"] = "snapshot"
    stamp_offset_seconds: float = Field(default=0.0, ge=-0.5, le=0.5)


class Mount(_Section):
    """Where the frame `child` sits in `parent`: metres, and roll, pitch, yaw in degrees. Optical frames say so."""

    parent: str
    child: str
    translation: tuple[float, float, float]
    rotation_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    optical: bool = False


class SimulatedRig(_Section):
    """A rig file: camera, LiDAR and the tree of frames below "base", which is on the road, x forward, z up."""

    camera: CameraSection
    lidar: LidarSection | None = None
    mounts: tuple[Mount, ...]

    @classmethod
    def read(cls, path: Path) -> SimulatedRig:
        """Read and check a rig file. Raises CalibrationError naming the file and what is wrong."""
        rig = read_settings(Path(path), cls)
        try:
            rig.sensors()
        except CalibrationError as error:
            raise CalibrationError(f"{path}: {error}") from error
        return rig

    def resized(self, width: int, height: int) -> SimulatedRig:
        """Return the rig with another resolution; the picture is cropped to the new shape in its middle, then scaled."""
        c = self.camera
        scale = max(width / c.width, height / c.height)
        fx, fy, cx, cy = c.intrinsics
        left, top = (c.width * scale - width) / 2, (c.height * scale - height) / 2
        intrinsics = (fx * scale, fy * scale, (cx + 0.5) * scale - 0.5 - left, (cy + 0.5) * scale - 0.5 - top)
        return self.model_copy(
            update={"camera": c.model_copy(update={"width": width, "height": height, "intrinsics": intrinsics})}
        )

    def sensors(self) -> Sensors:
        """Return the models of the sensors. Raises CalibrationError when frames are missing or the optics impossible."""
        c = self.camera
        fx, fy, cx, cy = c.intrinsics
        for axis, focal, size in (("horizontal", fx, c.width), ("vertical", fy, c.height)):
            if not focal > 0:
                raise CalibrationError(f"camera.intrinsics: the {axis} focal length is {focal:g}; it must be positive")
            field = 2 * np.degrees(np.arctan(size / 2 / focal))
            if c.distortion != "equidistant" and field > 160:
                raise CalibrationError(
                    f"camera: {size} pixels at a focal length of {focal:g} are a {axis} field of view of {field:.0f} "
                    "degrees, more than the 160 that a lens without equidistant distortion can have"
                )
        camera = CameraModel.pinhole(c.width, c.height, fx, fy, cx, cy)
        if c.distortion != "none":
            camera = CameraModel(c.width, c.height, camera.K, c.distortion, np.array(c.coefficients))
        T_base_camera = self._chain(c.frame)
        lidar = self.lidar
        T_base_lidar = self._chain(lidar.frame) if lidar else T_base_camera @ T_CAMERA_BODY
        rig = Rig(camera, inverse(T_base_camera) @ T_base_lidar, c.frame, lidar.frame if lidar else "lidar")
        beams = None
        if lidar:
            beams = MODELS[lidar.model]
            beams = with_columns(beams, lidar.columns) if lidar.columns else beams
        return Sensors(
            rig, T_base_camera, T_base_lidar, beams, lidar is not None and lidar.sweep == "rolling",
            lidar.stamp_offset_seconds if lidar else 0.0, c.exposure_seconds, c.noise, c.jpeg_quality,
        )  # fmt: skip

    def _chain(self, frame: str) -> Matrix:
        """Return T_base_frame along the mounts."""
        by_child = {m.child: m for m in self.mounts}
        T = np.eye(4)
        current, seen = frame, [frame]
        while current != "base":
            mount = by_child.get(current)
            if mount is None:
                known = ", ".join(sorted(by_child)) or "none"
                raise CalibrationError(
                    f'mounts: the frame "{current}" is not mounted on anything, so nothing leads from "{frame}" to "base"; '
                    f"mounted are {known}"
                )
            T = _mount_matrix(mount) @ T
            current = mount.parent
            if current in seen:
                raise CalibrationError(f"mounts: {' -> '.join([*seen, current])} goes round in a circle")
            seen.append(current)
        return T


def _mount_matrix(mount: Mount) -> Matrix:
    roll, pitch, yaw = np.radians(mount.rotation_degrees)
    cr, sr, cp, sp, cy, sy = np.cos(roll), np.sin(roll), np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1.0]]) @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rotation = rotation @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    T = transform(rotation, mount.translation)
    return T @ inverse(T_CAMERA_BODY) if mount.optical else T


@dataclass(frozen=True)
class Sensors:
    """The models of a rig: where they sit on the car (T_base_camera, T_base_lidar), the beams, and their timing."""

    rig: Rig
    T_base_camera: Matrix
    T_base_lidar: Matrix
    beams: Beams | None
    rolling: bool
    lidar_offset: float
    exposure_seconds: float
    noise: float
    jpeg_quality: int | None


KITTI = SimulatedRig(
    camera=CameraSection(frame="camera", width=1242, height=375, intrinsics=(721.5377, 721.5377, 609.5593, 172.854)),
    lidar=LidarSection(frame="velodyne"),
    mounts=(
        Mount(parent="base", child="velodyne", translation=(0.0, 0.0, 1.73)),
        Mount(parent="velodyne", child="camera", translation=(0.27, 0.06, -0.08), optical=True),
    ),
)
"""KITTI's left colour camera and LiDAR: 1.65 m and 1.73 m above the road."""
