"""Lifting: against loops over every voxel, and against CaDDN's operator written the plain way, with a whole frustum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, rotation_z, transform
from mono3d_kd_core.students.bev.lift import Lift
from mono3d_kd_core.students.bev.lift_index import LiftName, lift_index
from mono3d_kd_core.students.bev.lift_product import lifted, plain_lifted
from mono3d_kd_core.students.bev.view import View
from mono3d_kd_core.teachers.voxels import VoxelGrid

CAMERA = CameraModel.from_projection(
    160, 48, np.array([[90.0, 0, 78, 4.5], [0, 92.0, 22, 0.02], [0, 0, 1, 0.003]])
)  # fmt: skip
POSE = T_CAMERA_BODY @ transform(rotation_z(0.05), [-0.27, 0.06, -0.08])
GRID = VoxelGrid((2.0, -6.4, -3.0), (14.8, 6.4, 1.0), (0.4, 0.4, 0.8))
BINS = DepthBins(24, 2.0, 16.0)
ROWS, COLUMNS = 6, 20


def random_input(seed: int = 0, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(1, channels, ROWS, COLUMNS, generator=generator)
    logits = torch.randn(1, BINS.count + 1, ROWS, COLUMNS, generator=generator)
    return features, logits.softmax(1)[:, :-1]


def caddn(features: torch.Tensor, depth: torch.Tensor, camera: CameraModel) -> torch.Tensor:
    """Reading et al. (CVPR 2021), section 3.2, as its authors run it: outer product, then `grid_sample`."""
    nx, ny, nz = GRID.shape
    axes = [
        low + (torch.arange(n, dtype=torch.float64) + 0.5) * s for low, n, s in zip(GRID.low, GRID.shape, GRID.size)
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    homogeneous = torch.stack([x, y, z, torch.ones_like(x)], -1) @ torch.from_numpy(POSE).T
    image = homogeneous @ torch.from_numpy(camera.P).T
    uv = image[..., :2] / image[..., 2:]
    step = 2 * (BINS.far - BINS.near) / (BINS.count * (1 + BINS.count))
    index = -0.5 + 0.5 * torch.sqrt(1 + 8 * (image[..., 2] - camera.P[2, 3] - BINS.near) / step)
    shape = torch.tensor([camera.width, camera.height, BINS.count])
    grid = torch.cat([uv, index[..., None]], -1) / (shape - 1) * 2 - 1
    grid[~torch.isfinite(grid)] = -2
    frustum = features[:, :, None] * depth[:, None]
    lifted = functional.grid_sample(frustum, grid[None].to(frustum.dtype), align_corners=False)
    return lifted.permute(0, 2, 1, 3, 4).reshape(1, nz * features.shape[1], ny, nx)


def test_sample_is_caddn_s_operator() -> None:
    features, depth = (tensor.double() for tensor in random_input())
    expected = caddn(features, depth, CAMERA)
    lifted = Lift("sample", GRID, BINS)(features, depth, [CAMERA], [POSE])
    assert (expected != 0).float().mean() > 0.3
    torch.testing.assert_close(lifted.double(), expected, rtol=0, atol=1e-5)


def test_sample_has_caddn_s_gradients() -> None:
    inputs = random_input(1)
    weight = torch.randn(caddn(*inputs, CAMERA).shape, generator=torch.Generator().manual_seed(2))
    gradients = []
    for operator in (lambda f, d: caddn(f, d, CAMERA), lambda f, d: Lift("sample", GRID, BINS)(f, d, [CAMERA], [POSE])):
        features, depth = (tensor.clone().requires_grad_() for tensor in inputs)
        (operator(features, depth) * weight).sum().backward()
        gradients.append((features.grad, depth.grad))
    for found, expected in zip(gradients[1], gradients[0]):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def brute_force_splat(features: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Every bin of every pixel into its voxel; where a voxel got none, what its centre's cell holds."""
    nx, ny, nz = GRID.shape
    entries: dict[tuple[int, int, int], list[tuple[int, int, int]]] = {}
    for k in range(BINS.count):
        d = BINS.depth(np.array((k + 0.5) * (BINS.count - 1) / BINS.count)) + CAMERA.offset[2]
        for row in range(ROWS):
            for column in range(COLUMNS):
                uv = [[(column + 0.5) * (CAMERA.width - 1) / COLUMNS, (row + 0.5) * (CAMERA.height - 1) / ROWS]]
                point = apply(inverse(POSE), CAMERA.unproject(np.array(uv), np.array([d])))[0]
                cell = np.floor((point - GRID.low) / GRID.size).astype(int)
                if (cell >= 0).all() and (cell < GRID.shape).all():
                    entries.setdefault(tuple(cell.tolist()), []).append((k, row, column))
    result = np.zeros((ny, nx, nz, features.shape[0]))
    for x, y, z in np.ndindex(nx, ny, nz):
        found = entries.get((x, y, z), [])
        if not found:
            centre = np.array(GRID.low) + (np.array([x, y, z]) + 0.5) * GRID.size
            in_camera = apply(POSE, centre)
            u, v = CAMERA.project(in_camera)[0][0]
            column, row = u * COLUMNS / (CAMERA.width - 1) - 0.5, v * ROWS / (CAMERA.height - 1) - 0.5
            k = float(BINS.index(in_camera[2])) * BINS.count / (BINS.count - 1) - 0.5
            near = np.array([k, row, column])
            if (near >= -0.5).all() and (near < np.array([BINS.count, ROWS, COLUMNS]) - 0.5).all():  # false for a NaN
                found = [tuple(np.rint(near).astype(int).tolist())]
        pixels = {(row, column) for _, row, column in found}
        for k, row, column in found:
            result[y, x, z] += depth[k, row, column] * features[:, row, column] / len(pixels)
    return result.transpose(2, 3, 0, 1).reshape(-1, ny, nx)


def test_splat_sums_what_falls_into_a_voxel() -> None:
    features, depth = random_input(3)
    expected = brute_force_splat(features[0].numpy(), depth[0].numpy())
    lifted = Lift("splat", GRID, BINS)(features, depth, [CAMERA], [POSE])[0].numpy()
    assert (expected != 0).mean() > 0.3
    np.testing.assert_allclose(lifted, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["splat", "sample"])
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    lift = Lift(name, GRID, BINS)  # type: ignore[arg-type]
    features, depth = (tensor.requires_grad_() for tensor in random_input(4, channels=2))
    weight = torch.randn(lift(features, depth, [CAMERA], [POSE]).shape, generator=torch.Generator().manual_seed(5))
    (lift(features, depth, [CAMERA], [POSE]) * weight).sum().backward()
    with torch.no_grad():
        for tensor, other in ((features, depth), (depth, features)):
            change = torch.randn(tensor.shape, generator=torch.Generator().manual_seed(6))
            # The lift is linear in each input, so one step of any length gives the exact derivative.
            moved = (change, other) if tensor is features else (other, change)
            expected = (lift(*moved, [CAMERA], [POSE]) * weight).sum()
            assert tensor.grad is not None
            torch.testing.assert_close((tensor.grad * change).sum(), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["splat", "sample"])
def test_a_mirrored_camera_sees_the_mirrored_world(name: str) -> None:
    lift = Lift(name, GRID, BINS)  # type: ignore[arg-type]
    features, depth = random_input(7)
    straight = lift(features, depth, [CAMERA], [POSE])
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    pose = np.diag([-1.0, 1.0, 1.0, 1.0]) @ POSE @ mirror
    mirrored = lift(features.flip(-1), depth.flip(-1), [CAMERA.flipped()], [pose])
    # A pixel on the border between two voxels may fall to either side.
    assert ((mirrored.flip(-2) - straight).abs() > 1e-4).float().mean() < 2e-3


def test_each_image_of_a_batch_is_lifted_by_its_own_camera() -> None:
    lift = Lift("splat", GRID, BINS)
    features, depth = (torch.cat(pair) for pair in zip(random_input(8), random_input(9)))
    other = CAMERA.resized(140, 40)
    together = lift(features, depth, [CAMERA, other], [POSE, POSE])
    torch.testing.assert_close(together[1:], lift(features[1:], depth[1:], [other], [POSE]))
    assert not torch.allclose(together[1:], lift(features[1:], depth[1:], [CAMERA], [POSE]))


def collapsed_by_voxels(
    lift: Lift, features: torch.Tensor, depth: torch.Tensor, weight: torch.Tensor, pose: np.ndarray = POSE
) -> torch.Tensor:
    """The lift into voxels, then the 1x1 convolution over a column's heights and channels."""
    return functional.conv2d(lift(features, depth, [CAMERA], [pose]), weight)


@pytest.mark.parametrize("roll", [0.0, 0.2])
@pytest.mark.parametrize("name", ["splat", "sample"])
def test_collapsed_is_the_convolution_over_the_voxels(name: str, roll: float) -> None:
    lift = Lift(name, GRID, BINS)  # type: ignore[arg-type]
    # In the camera's frame z is ahead: this turns the picture about its middle.
    pose = transform(rotation_z(roll), [0, 0, 0]) @ POSE
    weight = torch.randn(6, 3 * GRID.shape[2], 1, 1, generator=torch.Generator().manual_seed(11))
    found = []
    for way in (
        lambda *t: collapsed_by_voxels(lift, *t, pose),
        lambda f, d, w: lift.collapsed(f, d, [CAMERA], [pose], w),
    ):
        tensors = [tensor.clone().requires_grad_() for tensor in (*random_input(10), weight)]
        out = way(*tensors)
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append([out.detach(), *(tensor.grad for tensor in tensors)])
    assert (found[0][0] != 0).float().mean() > 0.3
    for expected, other in zip(*found):
        torch.testing.assert_close(other, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("collapsed", [False, True])
@pytest.mark.parametrize("name", ["splat", "sample"])
def test_kernels_are_the_plain_product_and_its_gradients(name: LiftName, collapsed: bool) -> None:
    index = lift_index(name, View(CAMERA, POSE, (ROWS, COLUMNS)), GRID, BINS, collapsed)
    rows = COLUMNS * ROWS if index.bands is None else int(index.bands.pixel_start[-1])
    generator = torch.Generator().manual_seed(12)
    table = torch.randn(rows, 5, generator=generator)
    probability = torch.rand(ROWS * COLUMNS, BINS.count, generator=generator)
    weight = torch.randn(index.targets, 5, generator=generator)
    found = []
    for product in (plain_lifted, lifted):
        inputs = table.clone().requires_grad_(), probability.clone().requires_grad_()
        out = product(*inputs, index)
        (out * weight).sum().backward()
        found.append([out.detach(), *(tensor.grad for tensor in inputs)])
    for expected, other in zip(*found):
        torch.testing.assert_close(other, expected, rtol=1e-5, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    index = lift_index("splat", View(CAMERA, POSE, (ROWS, COLUMNS)), GRID, BINS)
    before = torch.get_num_threads()
    inputs = random_input(13)
    found = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            features, depth = (tensor.clone().requires_grad_() for tensor in inputs)
            table, probability = (tensor[0].permute(2, 1, 0).flatten(0, 1) for tensor in (features, depth))
            out = lifted(table, probability, index)
            out.backward(out.detach())
            found.append([out.detach(), features.grad, depth.grad])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*found))


def test_improbable_depths_count_as_none() -> None:
    features, depth = random_input(14)
    limit = float(depth.median())
    thinned = Lift("splat", GRID, BINS, threshold=limit)(features, depth, [CAMERA], [POSE])
    expected = Lift("splat", GRID, BINS)(features, depth * (depth > limit), [CAMERA], [POSE])
    torch.testing.assert_close(thinned, expected, rtol=0, atol=0)
    assert not torch.allclose(thinned, Lift("splat", GRID, BINS)(features, depth, [CAMERA], [POSE]))


@pytest.mark.parametrize("collapsed", [False, True])
@pytest.mark.parametrize("name", ["splat", "sample"])
def test_a_camera_that_looks_away_lifts_nothing(name: LiftName, collapsed: bool) -> None:
    behind = POSE @ transform(rotation_z(np.pi), [0, 0, 0])
    lift, (features, depth) = Lift(name, GRID, BINS), random_input(15)
    weight = torch.ones(2, 3 * GRID.shape[2], 1, 1)
    found = (
        lift.collapsed(features, depth, [CAMERA], [behind], weight)
        if collapsed
        else lift(features, depth, [CAMERA], [behind])
    )
    assert not found.any()
    assert found.shape[-2:] == (GRID.shape[1], GRID.shape[0])
