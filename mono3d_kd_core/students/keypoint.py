"""The keypoint student: one centre cell per object, and everything about the object read there (MonoDLE family).

After Ma et al., "Delving into Localization Errors for Monocular 3D Object Detection", CVPR 2021, with two changes: depth is
learned at a reference focal length, so that any resolution and intrinsics work, and the score stays a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.heads.heatmap import Peaks, find_peaks
from mono3d_kd_core.heads.keypoint import KeypointHead, Regressions
from mono3d_kd_core.students.backbones import BackboneName, build_backbone
from mono3d_kd_core.students.base import Annotation, Student, StudentOutput
from mono3d_kd_core.students.keypoint_decode import BoxDecoder, Detections2D, ScoreCalibration
from mono3d_kd_core.students.keypoint_losses import depth_of, keypoint_losses
from mono3d_kd_core.students.keypoint_targets import KeypointTargets, encode
from mono3d_kd_core.students.necks import NeckName, build_neck

IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_STD = (58.395, 57.12, 57.375)
MEAN_SIZE = {
    "Car": (3.526, 1.629, 1.526), "Pedestrian": (0.844, 0.661, 1.763), "Cyclist": (1.763, 0.597, 1.737)
}  # fmt: skip
"""Mean length, width, height in metres of KITTI's classes (Ma et al., CVPR 2021)."""


class KeypointConfig(BaseModel):
    """What makes a keypoint student; kept in the bundle's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    classes: tuple[str, ...] = Field(default=("Car", "Pedestrian", "Cyclist"), min_length=1)
    mean_size: dict[str, tuple[float, float, float]] = Field(default_factory=dict)
    """Mean length, width, height in metres of classes other than KITTI's three."""
    backbone: BackboneName = "resnet18"
    width: float = Field(default=1.0, gt=0, le=2)
    """Multiplies the backbone's channels."""
    neck: NeckName = "fpn"
    neck_channels: int = Field(default=64, gt=0)
    """Width of the FPN; DLA-up keeps the backbone's width at stride 4."""
    head_channels: int = Field(default=256, gt=0)
    input_height: int = Field(default=384, gt=0, multiple_of=32)
    input_width: int = Field(default=1280, gt=0, multiple_of=32)
    reference_focal: float = Field(default=720.0, gt=0)
    """Focal length in pixels at which the network speaks of depth; training sets it to its cameras' median."""
    depth_range: tuple[float, float] = (2.0, 65.0)
    """Metres; objects nearer or farther are not learned."""
    peaks: int = Field(default=50, gt=0)
    """At most so many detections an image."""
    depth_tolerance: float = Field(default=2.0, gt=0)
    """Metres; the score is the probability that the object is there and its depth is right to within this."""
    calibration: ScoreCalibration = ScoreCalibration()

    @model_validator(mode="after")
    def _every_class_has_a_size(self) -> KeypointConfig:
        for name in self.classes:
            if name not in self.sizes:
                raise ValueError(f"class {name} needs its mean length, width, height under mean_size")
        return self

    @property
    def sizes(self) -> dict[str, tuple[float, float, float]]:
        """Mean sizes by class name."""
        return MEAN_SIZE | self.mean_size


@dataclass(frozen=True)
class KeypointOutput(StudentOutput):
    """A batch as the keypoint student sees it.

    neck (B,C,H/4,W/4) feeds all heads; heatmap (B,classes,H/4,W/4) logits; dense holds the regressions at every cell where
    they were asked for (distillation), else None: then they are evaluated at the cells that are read.
    """

    neck: Tensor
    heatmap: Tensor
    dense: Regressions | None = None


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


class KeypointStudent(Student):
    """Backbone, neck and heads; see `KeypointConfig`."""

    config_type = KeypointConfig
    architecture = "keypoint"

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__()
        self.config = config
        self.classes = config.classes
        self.input_size = (config.input_height, config.input_width)
        self.backbone = build_backbone(config.backbone, config.width)
        self.neck = build_neck(config.neck, self.backbone.channels, config.neck_channels)
        self.head = KeypointHead(self.neck.channels, config.head_channels, len(config.classes))
        self.mean: Tensor
        self.std: Tensor
        self.mean_size: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)
        sizes = torch.tensor([config.sizes[name] for name in config.classes])
        self.register_buffer("mean_size", sizes, persistent=False)

    def forward(
        self, images: Tensor, cameras: Sequence[CameraModel] = (), poses: Sequence[Matrix] = (), dense: bool = False
    ) -> KeypointOutput:
        """Run the network on (B,3,H,W) images; the cameras matter to `decode` only. `dense` adds all regressions."""
        features = self.backbone((images.float() - self.mean) / self.std)
        neck = self.neck(features)
        regressions = self.head.dense(neck) if dense else None
        return KeypointOutput(features, neck, self.head.heatmap_logits(neck), regressions)

    def peaks(self, output: KeypointOutput) -> PeakTensors:
        """Read the heatmap's peaks and the regressions there."""
        peaks: Peaks = find_peaks(output.heatmap.float(), self.config.peaks)
        r = self.head.at_cells(output.neck, peaks.cell)
        columns = output.heatmap.shape[-1]
        cell = torch.stack([peaks.cell % columns, peaks.cell // columns], -1).to(r.depth.dtype)
        return PeakTensors(
            peaks.score, peaks.label, cell, depth_of(r.depth[..., 0]), r.depth[..., 1], r.offset3d,
            r.size3d + self.mean_size[peaks.label], r.heading,
        )  # fmt: skip

    @torch.inference_mode()
    def decode(self, output: StudentOutput, cameras: Sequence[CameraModel]) -> list[Boxes3D]:
        """Return each image's boxes, at most `config.peaks`, all scores."""
        assert isinstance(output, KeypointOutput)
        columns = [column.float().cpu().numpy() for column in self.peaks(output)]
        return [self.place([column[i] for column in columns], camera) for i, camera in enumerate(cameras)]

    def place(self, columns: Sequence[NDArray[np.generic]], camera: CameraModel) -> Boxes3D:
        """Turn one image's `PeakTensors`, as arrays (K,...), into boxes in the frame "camera"."""
        score, label, *others = (np.asarray(column, np.float64) for column in columns)
        return self.decoder(Detections2D(score, label.astype(np.int64), *others), camera)

    @property
    def decoder(self) -> BoxDecoder:
        """Places peaks into space, by the settings."""
        c = self.config
        return BoxDecoder(c.classes, c.reference_focal, c.depth_tolerance, c.calibration)

    def losses(
        self, output: StudentOutput, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]
    ) -> dict[str, Tensor]:
        """Return the seven terms of `keypoint_losses`."""
        assert isinstance(output, KeypointOutput)
        targets = self.targets(annotations, cameras).to(output.heatmap.device)
        regressions = self.head.at_cells(output.neck, targets.cell)
        return keypoint_losses(output.heatmap, regressions, targets, self.mean_size)

    def targets(self, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]) -> KeypointTargets:
        """Return what the heads should say about a batch."""
        index = {name: i for i, name in enumerate(self.classes)}
        return encode(annotations, cameras, index, self.config.reference_focal, self.config.depth_range)
