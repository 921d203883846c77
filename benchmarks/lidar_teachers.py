"""LiDAR teachers: voxelisation, the sparse 3D backbone, whole networks; beside spconv where it is installed.

python -m benchmarks.lidar_teachers SWEEP.bin [--threads N]: a sweep in KITTI's format. Times are the best of some runs, wall
and processor; compare those of one run only. spconv runs on one thread: on more its results on the CPU are wrong.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.teachers import spconv_backend
from mono3d_kd_core.teachers.centerpoint import CenterPillars, CenterPillarsConfig, CenterPoint, CenterPointConfig
from mono3d_kd_core.teachers.lidar import LidarTeacher
from mono3d_kd_core.teachers.pointpillars import PointPillars, PointPillarsConfig
from mono3d_kd_core.teachers.second import Second, SecondConfig
from mono3d_kd_core.teachers.sparse import SparseConvolution
from mono3d_kd_core.teachers.sparse_backbone import SparseBackbone, occupied
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.voxels import voxelise

POINTS, VOXELS = 120_000, 16_000


def best(function: Callable[[], Any], repeats: int) -> str:
    """Time a function: the best of some runs, after one that compiles."""
    function()
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        times.append((1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)))
    return f"{min(t[0] for t in times):7.1f} ms wall, {min(t[1] for t in times):7.1f} ms of processor time"


def by_spconv(backbone: SparseBackbone, x: SparseTensor) -> SparseTensor:
    """Run the backbone with every sparse convolution done by spconv."""

    def run(layer: nn.Module, x: SparseTensor) -> SparseTensor:
        if isinstance(layer, SparseConvolution):
            return SparseTensor(*spconv_backend.convolve(layer, x), x.batch, x.rules)
        if isinstance(layer, nn.Sequential | SparseBackbone):
            for child in layer.children():
                x = run(child, x)
            return x
        return x.with_features(layer(x.features))

    return run(backbone, x)


def backbone(points: np.ndarray, repeats: int) -> None:
    """SECOND's 3D backbone on 16k voxels, ours and spconv's."""
    config = SecondConfig()
    network = Second(config).eval().backbone_3d
    voxels = voxelise(points, config.grid, config.max_points, VOXELS)
    cells = np.column_stack([np.zeros(len(voxels.counts), np.int32), voxels.coordinates])
    order = np.lexsort(cells.T[::-1])
    columns, rows, levels = config.grid.shape
    features, coordinates = torch.from_numpy(voxels.means()[order]), torch.from_numpy(cells[order])

    def fresh() -> SparseTensor:
        return occupied(features, coordinates, (levels, rows, columns), 1)

    print(f"sparse backbone of SECOND, {len(order)} voxels, ours:   {best(lambda: network(fresh()), repeats)}")
    if importlib.util.find_spec("spconv") is None:
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    print(f"the same by spconv, one thread:             {best(lambda: by_spconv(network, fresh()), repeats)}")
    ours, theirs = network(fresh()).dense(), by_spconv(network, fresh()).dense()
    print(f"largest difference, of the largest value: {float((ours - theirs).abs().max() / theirs.abs().max()):.1e}")
    torch.set_num_threads(threads)


def voxelisation(points: np.ndarray, repeats: int) -> None:
    """Voxels of SECOND from 120k points, ours and spconv's."""
    config = SecondConfig()
    print(f"voxels of {len(points)} points, ours:   {best(lambda: voxelise(points, config.grid, 5, 40000), repeats)}")
    if importlib.util.find_spec("spconv") is not None:
        from spconv.pytorch.utils import PointToVoxel

        generator = PointToVoxel(list(config.voxel), [*config.low, *config.high], 4, 40000, 5)
        cloud: Tensor = torch.from_numpy(points)
        print(f"the same by spconv's PointToVoxel: {best(lambda: generator(cloud), repeats)}")


def boxes(teacher: LidarTeacher[Any], points: np.ndarray) -> list[Boxes3D]:
    """What `observe` does with the points that the camera sees."""
    return teacher.decode(teacher.answer(teacher.ground([teacher.voxels(points)])))


def networks(points: np.ndarray, repeats: int) -> None:
    """Whole networks in their KITTI shape, from points to boxes."""
    teachers = {
        "PointPillars": PointPillars(PointPillarsConfig()),
        "SECOND": Second(SecondConfig()),
        "SECOND of CMKD": Second(SecondConfig.cmkd()),
        "CenterPoint": CenterPoint(CenterPointConfig()),
        "CenterPoint, pillars": CenterPillars(CenterPillarsConfig()),
    }
    for name, teacher in teachers.items():
        teacher.eval()
        print(f"{name:21s}: {best(lambda teacher=teacher: boxes(teacher, points), repeats)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sweep", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("voxelisation", "backbone", "networks"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sweep = np.fromfile(arguments.sweep, np.float32).reshape(-1, 4)
    whole = sweep[np.arange(POINTS) % len(sweep)]
    ahead = sweep[sweep[:, 0] > np.abs(sweep[:, 1])]
    with torch.inference_mode():
        for name, part, points in (
            ("voxelisation", voxelisation, whole), ("backbone", backbone, whole), ("networks", networks, ahead),
        ):  # fmt: skip
            if arguments.only in (None, name):
                part(points, arguments.repeats)


if __name__ == "__main__":
    main()
