"""Where the cells of a feature map and the voxels of a grid see each other.

Feature cell i of n along an image side of W pixels has its middle at pixel (i + 1/2)(W - 1)/n, and depth bin k of D at the
continuous index (k + 1/2)(D - 1)/D: the alignment of CaDDN's normalised coordinates (Reading et al., CVPR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix, apply, inverse
from mono3d_kd_core.teachers.voxels import VoxelGrid

Integers = NDArray[np.int64]


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
        """Return the points (D,w*h,3), in the bird's-eye frame, at the middle of every depth bin of every cell."""
        rows, columns = self.shape
        u = (np.arange(columns) + 0.5) * (self.camera.width - 1) / columns
        v = (np.arange(rows) + 0.5) * (self.camera.height - 1) / rows
        rays = self.camera.rays(np.stack(np.meshgrid(u, v, indexing="ij"), -1).reshape(-1, 2))
        T_bev_camera = inverse(self.T_camera_bev)
        depth = bins.depth((np.arange(bins.count) + 0.5) * (bins.count - 1) / bins.count)
        # As in `cells`: depths are of the frame of the extrinsics, the rays' own start at the optical centre.
        along = depth + self.camera.offset[2]
        origin = apply(T_bev_camera, self.camera.optical_centre)
        return np.asarray(origin + along[:, None, None] * (rays @ T_bev_camera[:3, :3].T))


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
