"""The point student: each point's vector is that of its voxel at four resolutions, whatever was cut away."""

from __future__ import annotations

import numpy as np
import torch

from mono3d_kd_core.distillation.point_student import PointStudent
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from tests.distillation.pairs import VOLUME


def cloud(seed: int, count: int = 800) -> np.ndarray:
    """Points in the whole volume, up to its top and edges, and some outside."""
    random = np.random.default_rng(seed)
    return random.uniform([-1, -7, -3.5, 0], [13.5, 7, 1.5, 1], (count, 4)).astype(np.float32)


def test_points_and_cells_are_told_apart_and_where_they_lie() -> None:
    torch.manual_seed(0)
    student = PointStudent(VOLUME, 8).eval()
    clouds = [cloud(0), cloud(1)]
    with torch.no_grad():
        seen = student(clouds)
    low, high, size = np.array(VOLUME.low), np.array(VOLUME.high), np.array(VOLUME.voxel)
    for number, points in enumerate(clouds):
        inside = ((points[:, :3] >= low) & (points[:, :3] < high)).all(1)
        assert seen.index[seen.sample == number].tolist() == np.flatnonzero(inside).tolist()
        # Columns of the ground run along x, rows along y; a cell is eight voxels wide.
        cells = np.floor((points[inside, :2] - low[:2]) / (8 * size[:2])).astype(int)
        mine = seen.cells[seen.cells[:, 0] == number][:, 1:].tolist()
        assert mine == sorted([row, column] for column, row in {tuple(cell) for cell in cells.tolist()})
    torch.testing.assert_close(seen.points.norm(dim=1), torch.ones(len(seen.points)))
    torch.testing.assert_close(seen.ground.norm(dim=1), torch.ones(len(seen.ground)))


def test_points_of_one_voxel_share_a_vector_that_its_four_levels_make() -> None:
    torch.manual_seed(0)
    student = PointStudent(VOLUME, 8).eval()
    found: dict[str, SparseTensor] = {}
    for name in ("conv1", "conv2", "conv3", "conv4"):
        stage = student.backbone_3d.get_submodule(name)
        stage.register_forward_hook(lambda _module, _input, output, name=name: found.__setitem__(name, output))
    points = cloud(3)
    with torch.no_grad():
        seen = student([points])
    for row, index in list(enumerate(seen.index.tolist()))[::37]:
        cell = np.floor((points[index, :3] - np.array(VOLUME.low, np.float32)) / np.array(VOLUME.voxel, np.float32))
        parts = []
        for halvings, name in enumerate(("conv1", "conv2", "conv3", "conv4")):
            level = found[name]
            x, y, z = (int(c) >> halvings for c in cell)
            z = min(z, level.shape[0] - 1)
            same = (level.coordinates == torch.tensor([0, z, y, x])).all(1)
            assert same.sum() == 1
            parts.append(level.features[same][0])
        expected = student.point_head(torch.cat(parts))
        torch.testing.assert_close(seen.points[row], expected / expected.norm(), rtol=1e-4, atol=1e-5)


def test_points_beyond_the_last_voxel_have_no_vector() -> None:
    few = VOLUME.model_copy(update={"max_voxels": 5})
    student = PointStudent(few, 8).eval()
    points = cloud(0)
    with torch.no_grad():
        seen = student([points, points])
    for number in (0, 1):
        index = seen.index[seen.sample == number].numpy()
        voxels = np.floor((points[index, :3] - few.low) / few.voxel).astype(int)
        assert len({tuple(voxel) for voxel in voxels.tolist()}) == 5
