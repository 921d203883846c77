"""The rig file: which topics of a bag are the camera and the LiDAR, and how they belong together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.camera_info import from_camera_info
from mono3d_kd_core.geometry.rigid import Matrix, from_pose, is_rotation, to_pose
from mono3d_kd_core.io.settings import read_yaml, validated, write_settings
from mono3d_kd_core.io.topic_guess import INFO_TYPE, best_image, best_points, is_rectified, namespace

Three = Annotated[list[float], Field(min_length=3, max_length=3)]
Four = Annotated[list[float], Field(min_length=4, max_length=4)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Topics(_Section):
    """Names of topics. Without camera_info the camera must be given in the rig file; without points there is no LiDAR."""

    image: str
    camera_info: str | None = None
    points: str | None = None


class Frames(_Section):
    """tf frames, where the messages' headers do not name the right ones."""

    camera: str | None = None
    lidar: str | None = None


class Sync(_Section):
    """Seconds: what a camera's stamp shows more than a LiDAR's of the same moment, and how far a pair may be apart."""

    offset: float = 0.0
    tolerance: Annotated[float, Field(ge=0)] = 0.05


class Calibration(_Section):
    """Intrinsics in the terms of sensor_msgs/CameraInfo, row-major, for a bag that has none (or wrong ones)."""

    width: PositiveInt
    height: PositiveInt
    K: list[float]
    distortion_model: str = "plumb_bob"
    D: list[float] = []
    R: list[float] = []
    P: list[float] = []


class Pose(_Section):
    """A transform as a position in metres and a quaternion x y z w."""

    xyz: Three
    quaternion: Four


class RigFile(_Section):
    """What a rig file holds; see docs/data.md for an example.

    `rectified` says which image the topic carries: then CameraInfo's P and R hold, else K and D. `camera` (values, or the
    name of a file that camera_calibration wrote) and `T_camera_lidar` (4x4, or xyz and quaternion; maps LiDAR points into
    the camera's optical frame) take the place of CameraInfo and tf.
    """

    topics: Topics
    rectified: bool
    frames: Frames = Frames()
    sync: Sync = Sync()
    camera: Calibration | None = None
    T_camera_lidar: Pose | None = None

    @classmethod
    def load(cls, path: Path) -> RigFile:
        """Read and check a rig file. Raises CalibrationError naming the file, the key and the nearest valid one."""
        path = Path(path)
        content = read_yaml(path)
        if isinstance(content, dict):
            if isinstance(content.get("camera"), str):
                content["camera"] = _camera_yaml(path.parent / content["camera"])
            if isinstance(content.get("T_camera_lidar"), list):
                content["T_camera_lidar"] = _pose(content["T_camera_lidar"], path)
        rig = validated(cls, content, str(path))
        try:
            rig.camera_model()
            rig.extrinsics()
        except CalibrationError as error:
            raise CalibrationError(f"{path}: {error}") from None
        return rig

    def save(self, path: Path) -> None:
        """Write the rig file."""
        write_settings(Path(path), self, "Rig file of mono3d-kd: topics, sync in seconds, and what the bag does not say.")

    def camera_model(self) -> CameraModel | None:
        """Return the camera that the rig file itself gives, if any."""
        c = self.camera
        if c is None:
            return None
        P = c.P or (np.column_stack([np.reshape(c.K, (3, 3)), np.zeros(3)]) if self.rectified and len(c.K) == 9 else ())
        return from_camera_info(
            c.width, c.height, c.distortion_model, c.D, c.K, c.R, P, rectified=self.rectified, name="camera"
        )

    def extrinsics(self) -> Matrix | None:
        """Return the (4,4) T_camera_lidar that the rig file itself gives, if any."""
        given = self.T_camera_lidar
        return None if given is None else from_pose(given.xyz, given.quaternion)

    @classmethod
    def guess(cls, topics: Mapping[str, str], name: str = "the bag") -> RigFile:
        """Choose the topics of the front camera and the LiDAR by their types (name -> type) and names.

        A colour image beats a grey one, a rectified image a raw one, front and left beat other directions, and a camera
        with a CameraInfo beside it one without. Raises DataError listing the candidates when two are as good.
        """
        infos = {namespace(topic): topic for topic, type_ in topics.items() if type_ == INFO_TYPE}
        image = best_image(topics, infos, name)
        points = best_points(topics, name)
        chosen = Topics(image=image, camera_info=infos.get(namespace(image)), points=points)
        return cls(topics=chosen, rectified=is_rectified(image))


def _pose(rows: list[Any], path: Path) -> dict[str, list[float]]:
    """Turn the 4x4 numbers of a transform into a position and a quaternion."""
    try:
        T = np.array(rows, np.float64)
    except (TypeError, ValueError):
        T = np.empty(0)
    if T.shape != (4, 4) or not is_rotation(T[:3, :3]) or not np.array_equal(T[3], [0, 0, 0, 1]):
        raise CalibrationError(
            f"{path}: T_camera_lidar: expected 4 rows of 4 numbers, a rotation and a translation over 0 0 0 1"
        )
    xyz, quaternion = to_pose(T)
    return {"xyz": xyz.tolist(), "quaternion": quaternion.tolist()}


def _camera_yaml(path: Path) -> dict[str, Any]:
    """Read the file that ROS' camera_calibration writes."""
    content = read_yaml(path)
    try:
        values = {"width": content["image_width"], "height": content["image_height"], "K": content["camera_matrix"]["data"]}
        values["distortion_model"] = content.get("distortion_model", "plumb_bob")
        optional = {"D": "distortion_coefficients", "R": "rectification_matrix", "P": "projection_matrix"}
        return values | {ours: content[theirs]["data"] for ours, theirs in optional.items() if theirs in content}
    except (KeyError, TypeError, AttributeError) as error:
        raise CalibrationError(f"{path}: this is no calibration as ROS' camera_calibration writes it: {error}") from error
