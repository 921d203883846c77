"""LiDAR points on the image, and the sparse depth maps that they make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix, apply


def project_points(
    points: NDArray[np.floating], camera: CameraModel, T_camera_lidar: Matrix
) -> tuple[Matrix, Matrix, NDArray[np.intp]]:
    """Project the points (N,3+) of a sweep, in the LiDAR's frame, that the image shows.

    Returns their pixels (M,2), their depths (M,) in metres along the view (as `CameraModel.unproject` takes them) and
    their indices (M,) among `points`. Points that others hide are among them; `depth_map` drops those.
    """
    in_camera = apply(T_camera_lidar, points[:, :3])
    depth = (in_camera - camera.optical_centre) @ camera.forward
    # Most of a full turn lies behind: what is left makes the projection several times faster.
    ahead = np.flatnonzero(depth > 0)
    uv, valid = camera.project(in_camera[ahead])
    return uv[valid], depth[ahead[valid]], ahead[valid]


def points_in_view(points: NDArray[np.floating], camera: CameraModel, T_camera_lidar: Matrix) -> NDArray[np.bool_]:
    """Tell which points (N,3+) of the LiDAR's frame fall into the image."""
    mask = np.zeros(len(points), np.bool_)
    mask[project_points(points, camera, T_camera_lidar)[2]] = True
    return mask


def depth_map(points: NDArray[np.floating], camera: CameraModel, T_camera_lidar: Matrix) -> NDArray[np.float32]:
    """Return the depth (H,W) in metres of the nearest point in each pixel; 0 where there is none."""
    uv, depth, _ = project_points(points, camera, T_camera_lidar)
    column, row = np.rint(uv).astype(np.intp).T
    nearest = np.full(camera.height * camera.width, np.inf, np.float32)
    np.minimum.at(nearest, row * camera.width + column, depth.astype(np.float32))
    nearest[np.isinf(nearest)] = 0
    return nearest.reshape(camera.height, camera.width)
