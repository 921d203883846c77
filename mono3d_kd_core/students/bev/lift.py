"""From an image's features and depth distribution to voxels or a map, without ever building the frustum between them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.bev.lift_index import LiftIndex, LiftName, lift_index
from mono3d_kd_core.students.bev.lift_product import height_table, lifted
from mono3d_kd_core.students.bev.view import View
from mono3d_kd_core.teachers.voxels import VoxelGrid

REMEMBERED = 16
"""Calibrations whose index is kept; each takes some 20 MB at KITTI's size."""


class Lift(nn.Module):
    """Lifts features (B,C,h,w) by depth probabilities (B,D,h,w) into voxels: (B, C*Z, Y, X), the height next to C.

    "splat" sums what falls into a voxel, "sample" interpolates at its centre; see `lift_index`. There is nothing to learn.
    The index of a calibration is made at its first image and kept. Probabilities below `threshold` count as none.
    """

    def __init__(self, name: LiftName, grid: VoxelGrid, bins: DepthBins, threshold: float = 0.0) -> None:
        super().__init__()
        self.name, self.grid, self.bins, self.threshold = name, grid, bins, threshold
        self._known: OrderedDict[bytes, LiftIndex] = OrderedDict()

    def forward(
        self, features: Tensor, depth: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix]
    ) -> Tensor:
        """Lift a batch; poses are T_camera_bev (4,4), from the grid's frame into each camera."""
        return self._lifted(features, depth, cameras, poses, None)

    def collapsed(
        self, features: Tensor, depth: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix], weight: Tensor
    ) -> Tensor:
        """Return (B,N,Y,X): the voxels of `forward` through a 1x1 convolution of `weight` (N,C*Z,1,1), without the voxels.

        Both are linear, so each pixel's feature goes through the matrices of the heights that its ray crosses, and the
        products, far fewer than voxels, are summed straight into the map.
        """
        return self._lifted(features, depth, cameras, poses, weight)

    def _lifted(
        self, features: Tensor, depth: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix],
        weight: Tensor | None,
    ) -> Tensor:  # fmt: skip
        shape = (features.shape[-2], features.shape[-1])
        nx, ny, nz = self.grid.shape
        # Sums of thousands of products lose too much in half precision.
        with torch.autocast(features.device.type, enabled=False):
            # (N, Z*C, 1, 1) -> (Z, C, N)
            matrices = None if weight is None else weight.float().view(len(weight), nz, -1).permute(1, 2, 0)
            results = []
            for one, distribution, camera, pose in zip(features, depth, cameras, poses, strict=True):
                index = self.index(View(camera, pose, shape), features.device, matrices is not None)
                # Column by column, as the index counts pixels.
                table = one.float().permute(2, 1, 0).flatten(0, 1)
                probability = distribution.float().permute(2, 1, 0).flatten(0, 1)
                if self.threshold:
                    probability = functional.threshold(probability, self.threshold, 0.0)
                if matrices is not None and index.bands is not None:
                    table = height_table(table, matrices, index.bands)
                results.append(lifted(table, probability, index).view(ny, nx, -1))
        # Channels stay last in memory, as they came: turning them round would take longer than the lift.
        return torch.stack(results).permute(0, 3, 1, 2)

    def index(self, view: View, device: torch.device, collapsed: bool = False) -> LiftIndex:
        """Return the index of a calibration, from memory where it is known."""
        key = _key(view, device, collapsed)
        if key not in self._known:
            self._known[key] = lift_index(self.name, view, self.grid, self.bins, collapsed).to(device)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


def _key(view: View, device: torch.device, collapsed: bool) -> bytes:
    camera = view.camera
    numbers = (camera.K, camera.D, camera.R, camera.P, view.T_camera_bev)
    about = f"{camera.width} {camera.height} {camera.distortion} {camera.rectified} {view.shape} {device} {collapsed}"
    return about.encode() + b"".join(array.tobytes() for array in numbers)
