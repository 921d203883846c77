"""Teachers that are a student with depth to look at: the keypoint student's, and how a batch is shown to any of them.

All take (B,4,H,W) float: RGB in [0, 255], then depth in metres, 0 where unknown. Depth is brought to the reference focal
length, in which the heads speak, so that a crop that enlarges the picture also brings its depth nearer.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.depth_input import DepthSource, depth_input
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointOutput, KeypointStudent
from mono3d_kd_core.students.keypoint_targets import network_focal
from mono3d_kd_core.students.layers import conv_bn_relu

DEPTH_MEAN, DEPTH_STD = 8.765, 11.275
"""Metres, of KITTI's completed depth maps (Chong et al., "MonoDistill", ICLR 2022)."""


class PrivilegedKeypoint(KeypointStudent):
    """A keypoint network that sees depth."""

    @abstractmethod
    def look(self, rgb: Tensor, depth: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Return the backbone's features and the neck of RGB (B,3,H,W) and normalised depth (B,1,H,W)."""

    def forward(
        self, images: Tensor, cameras: Sequence[CameraModel] = (), poses: Sequence[Matrix] = (), dense: bool = False
    ) -> KeypointOutput:
        """Run the network on (B,4,H,W) pictures with depth, taken by `cameras`."""
        depth = depth_at(images, cameras, self.config.reference_focal)
        features, neck = self.look(images[:, :3], (depth - DEPTH_MEAN) / DEPTH_STD)
        regressions = self.head.dense(neck) if dense else None
        return KeypointOutput(features, neck, self.head.heatmap_logits(neck), regressions)


class DepthKeypoint(PrivilegedKeypoint):
    """MonoSTL's and MonoDistill's teacher: the student's own architecture on nothing but the depth map, three times."""

    architecture = "keypoint_on_depth"

    def look(self, rgb: Tensor, depth: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Leave the colours aside."""
        features = self.backbone(depth.expand(-1, 3, -1, -1))
        return features, self.neck(features)


class DepthAidedKeypoint(PrivilegedKeypoint):
    """ADD's teacher: the student, and an encoder of depth that joins it at the neck."""

    architecture = "keypoint_with_depth"

    def __init__(self, config: KeypointConfig) -> None:
        super().__init__(config)
        width = self.neck.channels
        self.depth_encoder = nn.Sequential(conv_bn_relu(1, width, stride=2), conv_bn_relu(width, width, stride=2))
        self.fuse = nn.Conv2d(2 * width, width, 1)

    def look(self, rgb: Tensor, depth: Tensor) -> tuple[dict[int, Tensor], Tensor]:
        """Join what the colours and the depth say, at stride 4."""
        features = self.backbone((rgb - self.mean) / self.std)
        return features, self.fuse(torch.cat([self.neck(features), self.depth_encoder(depth)], 1))


def depth_at(images: Tensor, cameras: Sequence[CameraModel], reference_focal: float) -> Tensor:
    """Return the depth (B,1,H,W) in pictures (B,4,H,W) as the reference focal length, in pixels, would have it."""
    scale = [reference_focal / network_focal(camera) for camera in cameras]
    return images[:, 3:] * torch.tensor(scale, dtype=torch.float32, device=images.device).view(-1, 1, 1, 1)


Teacher = TypeVar("Teacher", bound=nn.Module)


def freeze(teacher: Teacher) -> Teacher:
    """Return the teacher as it is to stay: no gradients, batch statistics at rest."""
    return teacher.eval().requires_grad_(False)


def picture(image: NDArray[np.uint8], depth: NDArray[np.float32]) -> Tensor:
    """Join an RGB image (H,W,3) and its depth (H,W) to a (4,H,W) float picture."""
    return torch.from_numpy(np.dstack([image.astype(np.float32), depth])).permute(2, 0, 1)


def shown(taught: Sequence[Taught], source: DepthSource) -> tuple[list[int], list[Tensor]]:
    """Return which frames have labels and depth of `source`, and their pictures for a privileged teacher."""
    chosen, pictures = [], []
    for i, one in enumerate(taught):
        if one.annotation is None or one.image is None:
            continue
        depth = depth_input(one, source)
        if depth is not None:
            chosen.append(i)
            pictures.append(picture(one.image, depth))
    return chosen, pictures
