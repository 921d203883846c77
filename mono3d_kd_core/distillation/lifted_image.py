"""Pixels lifted onto the ground by the depth that a network expects of them, as in BEVDepth and HVDistill."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.bev.lift import Lift
from mono3d_kd_core.students.layers import conv_bn_relu
from mono3d_kd_core.students.resnet import BasicBlock
from mono3d_kd_core.teachers.voxels import VoxelGrid

ATROUS = (6, 12, 18)


@dataclass(frozen=True)
class Lifted:
    """bev (B,C,rows,columns), rows along y, columns along x; depth (B,D,h,w), the probability of each bin."""

    bev: Tensor
    depth: Tensor


class LiftedImage(nn.Module):
    """Features (B,C,h,w) -> what they are (context) and how far (depth), both told by the camera -> the ground.

    Li et al., "BEVDepth", AAAI 2023: gates of squeeze and excitation open by intrinsics and pose.
    """

    def __init__(self, channels: int, width: int, grid: VoxelGrid, bins: DepthBins) -> None:
        """Lift features of `channels` into the same number, by layers of `width`; the grid is one voxel high."""
        super().__init__()
        self.bridge = nn.Sequential(conv_bn_relu(channels, 2 * channels), conv_bn_relu(2 * channels, width))
        self.context_gate, self.depth_gate = CameraGate(width), CameraGate(width)
        self.context = nn.Conv2d(width, channels, 1)
        self.depth = nn.Sequential(
            *(BasicBlock(width, width, 1) for _ in range(3)),
            AtrousPyramid(width),
            conv_bn_relu(width, width),
            nn.Conv2d(width, bins.count, 1),
        )
        self.lift = Lift("splat", grid, bins)

    def forward(self, features: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix]) -> Lifted:
        """Lift a batch; poses are T_camera_bev (4,4), from the grid's frame into each camera."""
        told = torch.stack([camera_numbers(c, pose) for c, pose in zip(cameras, poses, strict=True)]).to(
            features.device
        )
        x = self.bridge(features)
        context = self.context(self.context_gate(x, told))
        depth = self.depth(self.depth_gate(x, told)).float().softmax(1)
        return Lifted(self.lift(context, depth, cameras, poses), depth)


def camera_numbers(camera: CameraModel, pose: Matrix) -> Tensor:
    """Return intrinsics as shares of the picture's size, and the pose's three rows: (16,)."""
    K = camera.intrinsics
    shares = [K[0, 0] / camera.width, K[1, 1] / camera.height, K[0, 2] / camera.width, K[1, 2] / camera.height]
    return torch.from_numpy(np.concatenate([shares, pose[:3].ravel()])).float()


class CameraGate(nn.Module):
    """Weighs channels (B,C,h,w) by what is known of the camera (B,16)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.describe = nn.Sequential(nn.Linear(16, width), nn.ReLU(inplace=True), nn.Linear(width, width))
        self.gate = nn.Sequential(nn.Linear(width, width), nn.ReLU(inplace=True), nn.Linear(width, width), nn.Sigmoid())

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        """Weigh the channels."""
        gate: Tensor = self.gate(self.describe(told))
        return x * gate[:, :, None, None]


class AtrousPyramid(nn.Module):
    """A 1x1 and three dilated 3x3 convolutions and the picture's mean, mixed (Chen et al. 2017)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.plain = conv_bn_relu(width, width, 1)
        self.dilated = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, width, 3, 1, rate, rate, bias=False), nn.BatchNorm2d(width), nn.ReLU())
            for rate in ATROUS
        )
        self.mean = nn.Sequential(nn.Conv2d(width, width, 1), nn.ReLU(inplace=True))
        self.mix = nn.Sequential(conv_bn_relu((len(ATROUS) + 2) * width, width, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B,C,h,w) to the same shape."""
        mean = self.mean(functional.adaptive_avg_pool2d(x, 1)).expand(-1, -1, *x.shape[-2:])
        mixed: Tensor = self.mix(torch.cat([self.plain(x), *(branch(x) for branch in self.dilated), mean], 1))
        return mixed
