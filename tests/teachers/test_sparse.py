"""Sparse convolution against dense conv3d: values and gradients, any number of threads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mono3d_kd_core.teachers import spconv_backend
from mono3d_kd_core.teachers.sparse import InverseConv3d, SparseConv3d, SubmanifoldConv3d
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor

SHAPE = (9, 14, 12)


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def random_voxels(n: int = 300, channels: int = 5, batch: int = 2, seed: int = 0) -> SparseTensor:
    rng = np.random.default_rng(seed)
    flat = rng.choice(batch * int(np.prod(SHAPE)), n, replace=False)
    coordinates = np.column_stack(np.unravel_index(flat, (batch, *SHAPE))).astype(np.int32)
    features = torch.from_numpy(rng.normal(size=(n, channels)).astype(np.float32)).requires_grad_()
    return SparseTensor(features, torch.from_numpy(coordinates), SHAPE, batch)


def ground_voxels(channels: int = 5) -> SparseTensor:
    """A LiDAR-like scene: a thin floor, a wall and a lone voxel."""
    grid = np.zeros((1, *SHAPE), bool)
    grid[0, 1] = np.random.default_rng(0).random(SHAPE[1:]) < 0.8
    grid[0, :, 3] = True
    grid[0, 8, 13, 11] = True
    coordinates = torch.from_numpy(np.argwhere(grid).astype(np.int32))
    return SparseTensor(torch.randn(len(coordinates), channels, requires_grad=True), coordinates, SHAPE, 1)


def dense_weight(layer: SubmanifoldConv3d | SparseConv3d | InverseConv3d) -> torch.Tensor:
    return layer.weight.permute(0, 4, 1, 2, 3)


def compare(sparse: SparseTensor, dense: torch.Tensor, x: SparseTensor, parameters: list[torch.Tensor]) -> None:
    """Features and gradients of a random linear loss agree at the output voxels."""
    b, z, y, col = sparse.coordinates.long().unbind(1)
    expected = dense[b, :, z, y, col]
    torch.testing.assert_close(sparse.features, expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(expected)
    inputs = [x.features, *parameters]
    found = torch.autograd.grad((sparse.features * weight).sum(), inputs, retain_graph=True)
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    for a, c in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, c, rtol=1e-5, atol=1e-5 * float(c.abs().max()))


@pytest.mark.parametrize("make", [random_voxels, ground_voxels])
@pytest.mark.parametrize("kernel", [3, (3, 1, 1), (1, 3, 5)])
def test_submanifold_equals_dense_at_its_voxels(threads: int, make, kernel) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = make()
    layer = SubmanifoldConv3d(5, 7, kernel, "s", bias=True)
    out = layer(x)
    assert torch.equal(out.coordinates, x.coordinates)
    padding = [size // 2 for size in layer.kernel]
    compare(out, F.conv3d(x.dense(), dense_weight(layer), layer.bias, padding=padding), x, list(layer.parameters()))


@pytest.mark.parametrize("make", [random_voxels, ground_voxels])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 2, 1), (3, 2, (0, 1, 1)), ((3, 1, 1), (2, 1, 1), 0), (2, 2, 0), (3, 1, 1)]
)
def test_strided_equals_dense_and_has_every_touched_voxel(threads: int, make, kernel, stride, padding) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    x = make()
    layer = SparseConv3d(5, 7, kernel, stride, padding, "d")
    out = layer(x)
    settings = {"stride": layer.stride, "padding": layer.padding}
    dense = F.conv3d(x.dense(), dense_weight(layer), **settings)
    assert out.shape == tuple(dense.shape[2:])
    occupied = x.with_features(torch.ones(len(x.features), 1)).dense()
    touched = F.conv3d(occupied, torch.ones(1, 1, *layer.kernel), **settings)[:, 0] > 0.5
    assert torch.equal(out.coordinates.long(), torch.nonzero(touched))
    compare(out, dense, x, list(layer.parameters()))


def test_inverse_equals_transposed_dense_at_the_first_voxels(threads: int) -> None:
    torch.manual_seed(0)
    x = random_voxels()
    down, up = SparseConv3d(5, 6, 3, 2, 1, "d"), InverseConv3d(6, 4, 3, "d")
    low = down(x)
    back = up(low)
    assert torch.equal(back.coordinates, x.coordinates)
    weight = up.weight.permute(4, 0, 1, 2, 3)
    room = [n - ((m - 1) * 2 - 2 + 3) for n, m in zip(SHAPE, low.shape, strict=True)]
    dense = F.conv_transpose3d(low.dense(), weight, stride=2, padding=1, output_padding=room)
    compare(back, dense, x, [*down.parameters(), *up.parameters()])


def test_layers_of_one_key_share_their_rules_and_an_inverse_needs_its_partner() -> None:
    x = random_voxels()
    first, second = SubmanifoldConv3d(5, 5, 3, "s"), SubmanifoldConv3d(5, 5, 3, "s")
    out = second(first(x))
    assert list(out.rules) == ["s"]
    with pytest.raises(ValueError, match="absent"):
        InverseConv3d(5, 5, 3, "absent")(x)
    with pytest.raises(ValueError, match="odd"):
        SubmanifoldConv3d(5, 5, 2, "even")(x)


def test_no_voxels_give_no_voxels() -> None:
    x = SparseTensor(torch.empty(0, 5), torch.empty(0, 4, dtype=torch.int32), SHAPE, 1)
    out = SparseConv3d(5, 3, 3, 2, 1, "d")(SubmanifoldConv3d(5, 5, 3, "s")(x))
    assert out.features.shape == (0, 3)
    assert out.dense().shape == (1, 3, 5, 7, 6)


def test_the_same_bits_on_any_number_of_threads() -> None:
    torch.manual_seed(0)
    x = random_voxels(1500, 32)
    layer = SubmanifoldConv3d(32, 32, 3, "s")
    before = torch.get_num_threads()
    results = []
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        results.append(layer(SparseTensor(x.features, x.coordinates, SHAPE, 2)).features)
    torch.set_num_threads(before)
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_spconv_on_one_thread_agrees_layer_by_layer() -> None:
    pytest.importorskip("spconv", reason="spconv is not installed")
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    layers = (
        SubmanifoldConv3d(5, 7, 3, "s", bias=True), SparseConv3d(7, 6, 3, 2, (0, 1, 1), "d"), InverseConv3d(6, 4, 3, "d"),
    )  # fmt: skip
    ours = theirs = random_voxels()
    with torch.no_grad():
        for layer in layers:
            ours = layer(ours)
            theirs = SparseTensor(*spconv_backend.convolve(layer, theirs), theirs.batch, theirs.rules)
            assert ours.shape == theirs.shape
            torch.testing.assert_close(ours.dense(), theirs.dense(), rtol=1e-4, atol=1e-5)
    torch.set_num_threads(before)
