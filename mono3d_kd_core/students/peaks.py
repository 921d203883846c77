"""Students whose network ends in a list of things seen, before any camera comes in: the keypoint and the query student."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.backbones import Backbone, BackboneName
from mono3d_kd_core.students.base import Student, StudentOutput
from mono3d_kd_core.students.keypoint_decode import BoxDecoder, Detections2D, ScoreCalibration

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
MEAN_SIZE = {
    "Car": (3.526, 1.629, 1.526), "Pedestrian": (0.844, 0.661, 1.763), "Cyclist": (1.763, 0.597, 1.737)
}  # fmt: skip
"""Mean length, width, height in metres of KITTI's classes (Ma et al., CVPR 2021)."""


class PeakConfig(BaseModel):
    """What all such students have; kept in the bundle's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...] = Field(default=("Car", "Pedestrian", "Cyclist"), min_length=1)
    mean_size: dict[str, tuple[float, float, float]] = Field(default_factory=dict)
    """Mean length, width, height in metres of classes other than KITTI's three."""
    backbone: BackboneName = "resnet18"
    width: float = Field(default=1.0, gt=0, le=2)
    """Multiplies the backbone's channels."""
    input_height: int = Field(default=384, gt=0, multiple_of=32)
    input_width: int = Field(default=1280, gt=0, multiple_of=32)
    reference_focal: float = Field(default=720.0, gt=0)
    """Focal length in pixels at which the network speaks of depth; training sets it to its cameras' median."""
    depth_range: tuple[float, float] = (2.0, 65.0)
    """Metres; objects nearer or farther are not learned."""
    depth_tolerance: float = Field(default=2.0, gt=0)
    """Metres; the score is the probability that the object is there and its depth is right to within this."""
    calibration: ScoreCalibration = ScoreCalibration()

    alike: ClassVar[tuple[str, ...]] = ("classes", "backbone", "width", "input_height", "input_width")
    """Settings in which two networks of one shape, such as a student and its like that sees depth, agree."""

    @model_validator(mode="after")
    def _every_class_has_a_size(self) -> PeakConfig:
        for name in self.classes:
            if name not in self.sizes:
                raise ValueError(f"class {name} needs its mean length, width, height under mean_size")
        return self

    @property
    def sizes(self) -> dict[str, tuple[float, float, float]]:
        """Mean sizes by class name."""
        return MEAN_SIZE | self.mean_size


class PeakTensors(NamedTuple):
    """The network's last tensors, before any camera comes in; what an exported model returns. All (B,K,...)."""

    score: Tensor
    label: Tensor
    cell: Tensor
    """Column and row at stride 4 (2), float."""
    depth: Tensor
    log_std: Tensor
    offset3d: Tensor
    size: Tensor
    heading: Tensor


class PeakStudent(Student):
    """A student that is trained, exported and placed into space in the same way, whatever its network."""

    config_type: ClassVar[type[PeakConfig]]
    architecture: ClassVar[str]
    config: PeakConfig
    backbone: Backbone

    @abstractmethod
    def peaks(self, output: Any) -> PeakTensors:
        """Return what the network sees, of its output for a batch."""

    @torch.inference_mode()
    def decode(self, output: StudentOutput, cameras: Sequence[CameraModel]) -> list[Boxes3D]:
        """Return each image's boxes, all that the network sees, whatever their score."""
        columns = [column.float().cpu().numpy() for column in self.peaks(output)]
        return [self.place([column[i] for column in columns], camera) for i, camera in enumerate(cameras)]

    def place(self, columns: Sequence[NDArray[np.generic]], camera: CameraModel) -> Boxes3D:
        """Turn one image's `PeakTensors`, as arrays (K,...), into boxes in the frame "camera"."""
        score, label, *others = (np.asarray(column, np.float64) for column in columns)
        return self.decoder(Detections2D(score, label.astype(np.int64), *others), camera)

    @property
    def decoder(self) -> BoxDecoder:
        """Places what is seen into space, by the settings."""
        c = self.config
        return BoxDecoder(c.classes, c.reference_focal, c.depth_tolerance, c.calibration)
