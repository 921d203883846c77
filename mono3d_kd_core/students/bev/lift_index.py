"""Which pixel and which depth bin feed which voxel: worked out once for a calibration, as the rows of a sparse matrix.

Feature cell i of n along an image side of W pixels has its middle at pixel (i + 1/2)(W - 1)/n, and depth bin k of D at the
continuous index (k + 1/2)(D - 1)/D: the alignment of CaDDN's normalised coordinates (Reading et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix, apply, inverse
from mono3d_kd_core.teachers.voxels import VoxelGrid

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class LiftIndex:
    """A sparse map from pixels and their depth distributions to V voxels, in the order y, x, z.

    Entry e adds pixel[e]'s feature to its voxel, times the sum over t of weight[e,t] times the probability tap[e,t] (an
    index into the flattened (D,h,w) distribution). Entries of voxel v are offset[v] to offset[v+1]; voxel[e] says the same.
    The transposed matrix has the same entries in the order `by_pixel`, those of pixel p from pixel_offset[p] on.
    """

    pixel: Tensor
    tap: Tensor
    weight: Tensor
    offset: Tensor
    voxel: Tensor
    by_pixel: Tensor
    pixel_offset: Tensor

    def to(self, device: torch.device) -> LiftIndex:
        """Return the index on a device."""
        return LiftIndex(*(part.to(device) for part in vars(self).values()))


@dataclass(frozen=True)
class View:
    """What a lift's geometry depends on: the camera of the network's input, where the bird's-eye frame is from it
    (T_camera_bev, 4x4), and the (height, width) of the feature map."""

    camera: CameraModel
    T_camera_bev: Matrix
    shape: tuple[int, int]

    def cells(self, grid_points: Matrix, bins: DepthBins) -> Matrix:
        """Return continuous cells (N,3), column, row and bin, of points (N,3) of the bird's-eye frame; NaN if unseen."""
        in_camera = apply(self.T_camera_bev, grid_points)
        uv, _ = self.camera.project(in_camera)
        rows, columns = self.shape
        column = uv[:, 0] * columns / (self.camera.width - 1) - 0.5
        row = uv[:, 1] * rows / (self.camera.height - 1) - 0.5
        # CaDDN measures depth in the frame of the extrinsics, without the millimetres of a stereo camera's offset.
        depth = in_camera @ self.camera.forward
        return np.column_stack([column, row, bins.index(depth) * bins.count / (bins.count - 1) - 0.5])

    def frustum(self, bins: DepthBins) -> Matrix:
        """Return the points (D,h*w,3), in the bird's-eye frame, at the middle of every depth bin of every cell."""
        rows, columns = self.shape
        u = (np.arange(columns) + 0.5) * (self.camera.width - 1) / columns
        v = (np.arange(rows) + 0.5) * (self.camera.height - 1) / rows
        rays = self.camera.rays(np.stack(np.meshgrid(u, v), -1).reshape(-1, 2))
        T_bev_camera = inverse(self.T_camera_bev)
        depth = bins.depth((np.arange(bins.count) + 0.5) * (bins.count - 1) / bins.count)
        # As in `cells`: depths are of the frame of the extrinsics, the rays' own start at the optical centre.
        along = depth + self.camera.offset[2]
        origin = apply(T_bev_camera, self.camera.optical_centre)
        return np.asarray(origin + along[:, None, None] * (rays @ T_bev_camera[:3, :3].T))


def splat_index(view: View, grid: VoxelGrid, bins: DepthBins) -> LiftIndex:
    """Each voxel sums the frustum's points inside it (Philion & Fidler, ECCV 2020), averaged over the pixels that see it.

    So a voxel holds the probability that a ray ends in it, times the feature, whatever its distance. A voxel in which no
    point of the frustum lies, far away, takes the one in whose cell its centre is.
    """
    points = view.frustum(bins)
    voxel = grid_cells(points.reshape(-1, 3), grid)
    inside = np.flatnonzero(voxel >= 0)
    pixels = view.shape[0] * view.shape[1]
    bin_, pixel = np.divmod(inside, pixels)
    voxel = voxel[inside]
    order = np.lexsort((pixel, voxel))
    voxel, pixel, bin_ = voxel[order], pixel[order], bin_[order]
    first = np.ones(len(voxel), np.bool_)
    first[1:] = (voxel[1:] != voxel[:-1]) | (pixel[1:] != pixel[:-1])
    total = int(np.prod(grid.shape))
    pixels_seen = np.bincount(voxel, weights=first, minlength=total)
    weight = 1 / pixels_seen[voxel]

    empty = np.flatnonzero(pixels_seen == 0)
    cell = view.cells(voxel_centres(grid)[empty], bins)
    limit = np.array([view.shape[1], view.shape[0], bins.count])
    with np.errstate(invalid="ignore"):
        seen = ((cell >= -0.5) & (cell < limit - 0.5)).all(1)
    column, row, depth = np.rint(cell[seen]).astype(np.int64).clip(0, limit - 1).T
    return _assemble(
        np.concatenate([voxel, empty[seen]]),
        np.concatenate([pixel, row * view.shape[1] + column]),
        np.concatenate([bin_, depth])[:, None],
        np.concatenate([weight, np.ones(len(column))])[:, None],
        pixels, total,
    )  # fmt: skip


def sample_index(view: View, grid: VoxelGrid, bins: DepthBins) -> LiftIndex:
    """Each voxel reads the frustum at its centre by trilinear interpolation, zero outside: CaDDN's operator, exactly.

    The frustum is an outer product, so its eight neighbours are four pixels with two probabilities each.
    """
    cell = view.cells(voxel_centres(grid), bins)
    rows, columns = view.shape
    seen = np.flatnonzero(np.isfinite(cell).all(1) & (cell > -1).all(1) & (cell < [columns, rows, bins.count]).all(1))
    floor = np.floor(cell[seen])
    share = cell[seen] - floor
    column, row, depth = floor.astype(np.int64).T
    taps = depth[:, None] + np.arange(2)
    tap_weight = np.column_stack([1 - share[:, 2], share[:, 2]]) * ((taps >= 0) & (taps < bins.count))
    parts = []
    for down in (0, 1):
        for right in (0, 1):
            x, y = column + right, row + down
            weight = np.abs(1 - right - share[:, 0]) * np.abs(1 - down - share[:, 1])
            kept = np.flatnonzero((x >= 0) & (x < columns) & (y >= 0) & (y < rows) & (weight > 0))
            pixel = y[kept] * columns + x[kept]
            parts.append((seen[kept], pixel, taps[kept].clip(0, bins.count - 1), tap_weight[kept] * weight[kept, None]))
    voxel, pixel, tap, weight = (np.concatenate(column) for column in zip(*parts))
    return _assemble(voxel, pixel, tap, weight, rows * columns, int(np.prod(grid.shape)))


def grid_cells(points: Matrix, grid: VoxelGrid) -> Integers:
    """Return the voxel (N,), in the order y, x, z, of points (N,3); -1 outside the grid and for NaN."""
    nx, ny, nz = grid.shape
    with np.errstate(invalid="ignore"):
        cell = np.floor((points - grid.low) / grid.size)
        inside = np.asarray(((cell >= 0) & (cell < [nx, ny, nz])).all(1))
    x, y, z = np.where(inside[:, None], cell, 0).astype(np.int64).T
    return np.where(inside, (y * nx + x) * nz + z, -1)


def voxel_centres(grid: VoxelGrid) -> Matrix:
    """Return the centres (V,3) of all voxels in the order y, x, z."""
    x, y, z = (low + (np.arange(n) + 0.5) * size for low, n, size in zip(grid.low, grid.shape, grid.size))
    ys, xs, zs = np.meshgrid(y, x, z, indexing="ij")
    return np.stack([xs, ys, zs], -1).reshape(-1, 3)


def _assemble(voxel: Integers, pixel: Integers, bins: Integers, weight: Matrix, pixels: int, total: int) -> LiftIndex:
    order = np.argsort(voxel, kind="stable")
    voxel, pixel = voxel[order], pixel[order]
    return LiftIndex(
        torch.from_numpy(pixel),
        torch.from_numpy(bins[order] * pixels + pixel[:, None]),
        torch.from_numpy(weight[order].astype(np.float32)),
        torch.from_numpy(_starts(voxel, total)),
        torch.from_numpy(voxel),
        torch.from_numpy(np.argsort(pixel, kind="stable")),
        torch.from_numpy(_starts(pixel, pixels)),
    )


def _starts(group: Integers, total: int) -> Integers:
    """Return where each of `total` groups starts among entries sorted by group, and where the last ends."""
    offset = np.zeros(total + 1, np.int64)
    np.cumsum(np.bincount(group, minlength=total), out=offset[1:])
    return offset
