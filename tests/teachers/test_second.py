"""SECOND in both published shapes: parameters, resolutions, the network against dense convolutions, cropping."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.teachers.base import Want
from mono3d_kd_core.teachers.second import Second, SecondConfig
from mono3d_kd_core.teachers.sparse_backbone import SparseBackbone, height_to_channels, occupied
from mono3d_kd_core.teachers.sparse_layers import ResidualBlock, SparseSequential
from tests.teachers.clouds import car_cloud, frame

SMALL = SecondConfig(
    low=(0.0, -6.4, -3.0), high=(12.8, 6.4, 1.0), voxel=(0.2, 0.2, 0.1), widths=(4, 6, 8, 8), out_width=8,
    layers=(1, 1), filters=(8, 16), up_filters=(8, 8), camera_view=False,
)  # fmt: skip
SMALL_RESIDUAL = SMALL.model_copy(update={"residual": True})


def settle(network: nn.Module) -> None:
    """Give every normalisation statistics of its own, so that a mistake in one shows."""
    generator = torch.Generator().manual_seed(0)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.running_mean.copy_(torch.randn(layer.num_features, generator=generator) * 0.1)
            layer.running_var.copy_(torch.rand(layer.num_features, generator=generator) + 0.5)
            layer.bias.data.copy_(torch.randn(layer.num_features, generator=generator) * 0.1)


def shared_parameters() -> int:
    """The 2D backbone and head that both shapes have, after their first convolution."""
    level1, level2 = 5 * 9 * 128 * 128 + 6 * 2 * 128, 9 * 128 * 256 + 5 * 9 * 256 * 256 + 6 * 2 * 256
    up = 128 * 256 + 2 * 256 + 256 * 256 * 4 + 2 * 256
    return level1 + level2 + up + (512 + 1) * (18 + 42 + 12)


def test_openpcdet_shape() -> None:
    # tools/cfgs/kitti_models/second.yaml and VoxelBackBone8x of OpenPCDet: the "5.3 M" of its model zoo.
    network = Second(SecondConfig())
    pairs = [(4, 16), (16, 16), (16, 32), (32, 32), (32, 32), (32, 64), *[(64, 64)] * 5]
    sparse = sum(27 * a * b + 2 * b for a, b in pairs) + 3 * 64 * 128 + 2 * 128
    assert sum(p.numel() for p in network.parameters()) == sparse + 9 * 256 * 128 + shared_parameters() == 5_325_576
    assert network.anchors.shape == (200 * 176 * 6, 7)


def test_cmkd_shape() -> None:
    # second_teacher.yaml and VoxelResBackBone8x_c64 of CMKD: BEV 128 channels at 0.32 m, 188 x 140 on the student's range.
    network = Second(SecondConfig.cmkd())
    strided = [(16, 32), (32, 64), (64, 64)]
    blocks = sum(4 * (27 * w * w + 3 * w) for w in (16, 32, 64, 64))
    sparse = 27 * 4 * 16 + 32 + sum(27 * a * b + 2 * b for a, b in strided) + blocks + 3 * 64 * 64 + 2 * 64
    assert sum(p.numel() for p in network.parameters()) == sparse + 9 * 128 * 128 + shared_parameters() == 5_685_544
    student = network.eval().cropped((2.0, 46.8), (-30.08, 30.08))
    with torch.no_grad():
        bev = student.bev([student.voxels(car_cloud())])
    assert bev.shape == (1, 128, 188, 140)
    assert student.anchors.shape == (188 * 140 * 6, 7)


@pytest.mark.parametrize("residual", [False, True])
def test_the_3d_backbone_equals_dense_convolutions_masked_to_its_voxels(residual: bool) -> None:
    torch.manual_seed(0)
    backbone = SparseBackbone(3, (4, 5, 6, 7), 8, residual).eval()
    settle(backbone)
    shape = (32, 32, 24)
    cells = np.argwhere(np.random.default_rng(0).random((2, *shape)) < 0.02).astype(np.int32)
    x = occupied(torch.randn(len(cells), 3), torch.from_numpy(cells), shape, 2)
    with torch.no_grad():
        found = backbone(x).dense()
        mask = x.with_features(torch.ones(len(cells), 1)).dense()
        dense = x.dense()
        for stage in backbone.children():
            dense, mask = _dense(stage, dense, mask)
    assert found.shape == dense.shape
    torch.testing.assert_close(found, dense * mask, rtol=1e-4, atol=1e-5)


def _dense(layer: nn.Module, x: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same layer on a full grid; `mask` says where a voxel exists, and nothing else may count."""
    if isinstance(layer, SparseSequential):
        for child in layer:
            x, mask = _dense(child, x, mask)
        return x, mask
    if isinstance(layer, ResidualBlock):
        hidden, _ = _dense(layer.conv1, x, mask)
        hidden = _dense(layer.bn1, hidden, mask)[0].relu() * mask
        hidden, _ = _dense(layer.conv2, hidden, mask)
        return (_dense(layer.bn2, hidden, mask)[0] + x).relu() * mask, mask
    if isinstance(layer, nn.BatchNorm1d):
        stats = layer.running_mean, layer.running_var, layer.weight, layer.bias
        return F.batch_norm(x, *stats, eps=layer.eps) * mask, mask
    if isinstance(layer, nn.ReLU):
        return x.relu() * mask, mask
    weight = layer.weight.permute(0, 4, 1, 2, 3)
    stride = getattr(layer, "stride", (1, 1, 1))
    padding = getattr(layer, "padding", tuple(size // 2 for size in layer.kernel))
    if hasattr(layer, "stride"):
        mask = (F.conv3d(mask, torch.ones(1, 1, *layer.kernel), None, stride, padding) > 0).float()
    return F.conv3d(x, weight, layer.bias, stride, padding) * mask, mask


def test_height_becomes_channels_as_in_the_reference() -> None:
    cells = torch.tensor([[0, 0, 1, 2], [0, 1, 1, 2], [1, 1, 0, 3]], dtype=torch.int32)
    x = occupied(torch.randn(3, 5), cells, (1, 3, 4), 2)
    torch.testing.assert_close(height_to_channels(x), x.dense().reshape(2, 10, 3, 4))


@pytest.mark.parametrize("config", [SMALL, SMALL_RESIDUAL])
def test_observe_returns_what_is_wanted_and_only_that(config: SecondConfig) -> None:
    torch.manual_seed(0)
    network = Second(config).eval()
    plain = network.observe(frame(car_cloud()))
    assert plain.bev is None
    assert plain.responses is None
    rich = network.observe(frame(car_cloud()), Want.BEV_FEATURES | Want.RESPONSES)
    assert rich.bev is not None
    assert rich.responses is not None
    assert rich.bev.features.shape == (16, 8, 8)
    assert rich.bev.x_range == (0.0, 12.8)
    assert rich.responses.logits.shape == (8 * 8 * 6, 3)


def test_a_batch_is_its_clouds_one_by_one() -> None:
    torch.manual_seed(0)
    network = Second(SMALL).eval()
    settle(network)
    clouds = [network.voxels(car_cloud(seed)) for seed in (0, 1)]
    with torch.no_grad():
        together, bev = network(clouds)
        for i, cloud in enumerate(clouds):
            alone, own = network([cloud])
            torch.testing.assert_close(bev[i], own[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(together.codes[i], alone.codes[0], rtol=1e-4, atol=1e-5)


def test_a_crop_sees_the_same_features_away_from_its_border() -> None:
    torch.manual_seed(0)
    network = Second(SMALL).eval()
    settle(network)
    crop = network.cropped((3.2, 12.8), (-6.4, 6.4))
    assert crop.fingerprint != network.fingerprint
    with torch.no_grad():
        whole, part = (n.bev([n.voxels(car_cloud())]) for n in (network, crop))
    # The 3D backbone sees less than 5 m to each side.
    torch.testing.assert_close(part[..., 4:], whole[..., 6:], rtol=1e-4, atol=1e-5)


def test_learns_one_cloud() -> None:
    torch.manual_seed(0)
    network = Second(SMALL.model_copy(update={"residual": True, "classification": "quality_focal"})).train()
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.momentum = 0.3  # statistics that settle within the few steps of this test
    car = Boxes3D(np.array([[10.0, 1, -1]]), np.array([[3.9, 1.6, 1.5]]), np.zeros(1), np.array(["Car"]))
    voxels = network.voxels(car_cloud())
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(60):
        loss = torch.stack(list(network.losses(network([voxels])[0], [car]).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network.eval().observe(frame(car_cloud())).boxes
    assert found.label[0] == "Car"
    np.testing.assert_allclose(found.centre[0], [10, 1, -1], atol=0.4)


def test_a_crop_that_does_not_hold_whole_cells_is_refused() -> None:
    with pytest.raises(ModelError, match=r"along x holds 15 voxels; it must be a multiple of 16"):
        Second(SMALL).cropped((0.0, 3.0), (-6.4, 6.4))


@pytest.mark.parametrize("points", [np.empty((0, 4)), np.full((5, 4), np.nan), np.tile([500, 0, 0, 0.5], (5, 1))])
def test_nothing_in_range_is_a_plain_answer(points: np.ndarray) -> None:
    output = Second(SMALL_RESIDUAL).eval().observe(frame(points), Want.BEV_FEATURES)
    assert len(output.boxes) == 0
    assert output.bev is not None
    assert not output.bev.features.any()


def test_a_volume_too_flat_for_the_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="10 voxels of height are too few"):
        SecondConfig(low=(0.0, -6.4, -1.0), high=(12.8, 6.4, 0.0), voxel=(0.2, 0.2, 0.1))


def test_a_frame_without_lidar_is_refused_by_name() -> None:
    empty: SensorFrame = frame(None)
    with pytest.raises(DataError, match="000000"):
        Second(SMALL).eval().observe(empty)


def test_intensities_on_another_scale_are_refused_and_unknown_ones_are_zero() -> None:
    network = Second(SMALL).eval()
    cloud = car_cloud()
    with pytest.raises(DataError, match=r"intensity reaches .* from 0 to 1"):
        network.observe(frame(cloud * [1, 1, 1, 255]))
    unknown, zero = cloud.copy(), cloud.copy()
    unknown[:, 3], zero[:, 3] = np.nan, 0
    found, expected = (network.observe(frame(points), Want.BEV_FEATURES).bev for points in (unknown, zero))
    assert found is not None
    assert expected is not None
    np.testing.assert_array_equal(found.features, expected.features)


def test_half_a_million_points_are_cut_to_the_voxels_allowed() -> None:
    random = np.random.default_rng(0)
    cloud = random.uniform([-80, -80, -3, 0], [80, 80, 1, 1], (500_000, 4)).astype(np.float32)
    network = Second(SMALL.model_copy(update={"max_voxels": 1000})).eval()
    assert len(network.voxels(cloud).counts) == 1000
    assert network.observe(frame(cloud)).boxes.frame == "lidar"
