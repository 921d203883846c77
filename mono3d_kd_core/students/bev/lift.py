"""From an image's features and depth distribution to voxels, without ever building the frustum between them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.bev.lift_index import LiftIndex, View, sample_index, splat_index
from mono3d_kd_core.teachers.voxels import VoxelGrid

LiftName = Literal["splat", "sample"]
REMEMBERED = 16
"""Calibrations whose index is kept; each takes some 10 MB at KITTI's size."""


class Lift(nn.Module):
    """Lifts features (B,C,h,w) by depth probabilities (B,D,h,w) into voxels: (B, C*Z, Y, X), the height next to C.

    "splat" sums what falls into a voxel, "sample" interpolates at its centre; see `lift_index`. There is nothing to learn.
    The index of a calibration is made at its first image and kept.
    """

    def __init__(self, name: LiftName, grid: VoxelGrid, bins: DepthBins) -> None:
        super().__init__()
        self.name, self.grid, self.bins = name, grid, bins
        self._known: OrderedDict[bytes, LiftIndex] = OrderedDict()

    def forward(
        self, features: Tensor, depth: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix]
    ) -> Tensor:
        """Lift a batch; poses are T_camera_bev (4,4), from the grid's frame into each camera."""
        shape = (features.shape[-2], features.shape[-1])
        # Sums of thousands of products lose too much in half precision.
        with torch.autocast(features.device.type, enabled=False):
            lifted = [
                self._lift_one(one, distribution, self.index(View(camera, pose, shape), features.device))
                for one, distribution, camera, pose in zip(features.float(), depth.float(), cameras, poses, strict=True)
            ]
        # Channels stay last in memory, as they came: turning them round would take longer than the lift.
        return torch.stack(lifted).permute(0, 3, 1, 2)

    def _lift_one(self, features: Tensor, depth: Tensor, index: LiftIndex) -> Tensor:
        table = features.flatten(1).t().contiguous()
        probability = depth.reshape(-1).index_select(0, index.tap.reshape(-1)).view_as(index.weight)
        weight = (probability * index.weight).sum(1)
        voxels: Tensor = _SparseProduct.apply(table, weight, index)  # type: ignore[no-untyped-call]
        nx, ny, nz = self.grid.shape
        return voxels.view(ny, nx, nz * table.shape[1])

    def index(self, view: View, device: torch.device) -> LiftIndex:
        """Return the index of a calibration, from memory where it is known."""
        key = _key(view, device)
        if key not in self._known:
            make = splat_index if self.name == "splat" else sample_index
            self._known[key] = make(view, self.grid, self.bins).to(device)
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


class _SparseProduct(torch.autograd.Function):
    """The sparse matrix of an index, with weights (E,), times a table (pixels,C): (voxels,C).

    PyTorch's own gradient of `embedding_bag` goes through the entries one by one; with the transposed index it is a product
    of the same kind as the way ahead.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, weight: Tensor, index: LiftIndex) -> Tensor:
        ctx.save_for_backward(table, weight)
        ctx.index = index
        return _bags(index.pixel, table, index.offset, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (table, weight), index, gradient = ctx.saved_tensors, ctx.index, gradients[0].contiguous()
        entries = index.by_pixel
        of_table = _bags(index.voxel[entries], gradient, index.pixel_offset, weight[entries])
        of_weight = torch.ops.aten._embedding_bag_per_sample_weights_backward(
            gradient, table, index.pixel, index.offset, index.voxel, 0
        )
        return of_table, of_weight, None


def _bags(rows: Tensor, table: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
    return functional.embedding_bag(
        rows, table, offset, mode="sum", per_sample_weights=weight, include_last_offset=True
    )


def _key(view: View, device: torch.device) -> bytes:
    camera = view.camera
    numbers = (camera.K, camera.D, camera.R, camera.P, view.T_camera_bev)
    about = f"{camera.width} {camera.height} {camera.distortion} {camera.rectified} {view.shape} {device}"
    return about.encode() + b"".join(array.tobytes() for array in numbers)
