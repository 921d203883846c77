"""The keypoint student: one centre cell per object, and everything about the object read there (MonoDLE family).

After Ma et al., "Delving into Localization Errors for Monocular 3D Object Detection", CVPR 2021, with two changes: depth is
learned at a reference focal length, so that any resolution and intrinsics work, and the score stays a probability.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.heads.heatmap import Peaks, find_peaks
from mono3d_kd_core.heads.keypoint import KeypointHead, Regressions
from mono3d_kd_core.students.backbones import build_backbone
from mono3d_kd_core.students.base import Annotation, StudentOutput
from mono3d_kd_core.students.keypoint_losses import depth_of, keypoint_losses
from mono3d_kd_core.students.keypoint_targets import KeypointTargets, encode
from mono3d_kd_core.students.necks import NeckName, build_neck
from mono3d_kd_core.students.peaks import IMAGENET_MEAN, IMAGENET_STD, PeakConfig, PeakStudent, PeakTensors


class KeypointConfig(PeakConfig):
    """What makes a keypoint student; kept in the bundle's card."""

    neck: NeckName = "fpn"
    neck_channels: int = Field(default=64, gt=0)
    """Width of the FPN; DLA-up keeps the backbone's width at stride 4."""
    head_channels: int = Field(default=256, gt=0)
    peaks: int = Field(default=50, gt=0)
    """At most so many detections an image."""

    alike: ClassVar[tuple[str, ...]] = (*PeakConfig.alike, "neck", "neck_channels")


@dataclass(frozen=True)
class KeypointOutput(StudentOutput):
    """A batch as the keypoint student sees it.

    neck (B,C,H/4,W/4) feeds all heads; heatmap (B,classes,H/4,W/4) logits; dense holds the regressions at every cell where
    they were asked for (distillation), else None: then they are evaluated at the cells that are read.
    """

    neck: Tensor
    heatmap: Tensor
    dense: Regressions | None = None

    def of(self, images: Sequence[int]) -> KeypointOutput:
        """Return what is said of some images of the batch, without dense regressions."""
        index = list(images)
        features = {stride: level[index] for stride, level in self.features.items()}
        return KeypointOutput(features, self.neck[index], self.heatmap[index])


class KeypointStudent(PeakStudent):
    """Backbone, neck and heads; see `KeypointConfig`."""

    config_type = KeypointConfig
    architecture = "keypoint"
    config: KeypointConfig

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
