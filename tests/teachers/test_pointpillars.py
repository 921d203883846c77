"""PointPillars: published shape, the pillar features against a dense reference, and boxes out of points."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.heads.anchor import encode
from mono3d_kd_core.heads.anchor_loss import anchor_loss, assign
from mono3d_kd_core.teachers.base import Want
from mono3d_kd_core.teachers.pillars import map_of
from mono3d_kd_core.teachers.pointpillars import PointPillars, PointPillarsConfig
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from tests.teachers.clouds import car_cloud, frame

SMALL = PointPillarsConfig(
    low=(0.0, -10.24, -3.0), high=(20.48, 10.24, 1.0), pillar=0.32, width=16, layers=(1, 1), strides=(2, 2),
    filters=(16, 32), up_strides=(1, 2), up_filters=(16, 16), max_points=8, camera_view=False,
)  # fmt: skip


def test_kitti_shape_has_the_published_number_of_parameters_and_outputs() -> None:
    # OpenPCDet's pointpillar.yaml: 4.8 M parameters, 496 x 432 pillars, head at stride 2.
    network = PointPillars(PointPillarsConfig())
    by_layer = 10 * 64 + 2 * 64  # the pillar network
    for before, width, depth in ((64, 64, 4), (64, 128, 6), (128, 256, 6)):
        by_layer += 9 * before * width + (depth - 1) * 9 * width * width + depth * 2 * width
    for width, up in ((64, 1), (128, 2), (256, 4)):
        by_layer += width * 128 * up * up + 2 * 128
    by_layer += (384 + 1) * (18 + 42 + 12)
    assert sum(p.numel() for p in network.parameters()) == by_layer == 4_834_888
    assert network.anchors.shape == (248 * 216 * 6, 7)


def test_pillar_features_equal_the_dense_formula() -> None:
    torch.manual_seed(0)
    network = PointPillars(SMALL)
    layer = network.vfe.pfn_layers[0]
    layer.norm.running_mean.normal_()
    layer.norm.bias.data.normal_()
    network.eval()
    voxels = network.voxels(car_cloud())
    points, counts = torch.from_numpy(voxels.points), torch.from_numpy(voxels.counts)
    rows = []
    for pillar, count, (_, y, x) in zip(points, counts.tolist(), voxels.coordinates.tolist(), strict=True):
        centre = torch.tensor([(x + 0.5) * 0.32, (y + 0.5) * 0.32 - 10.24, -1.0])
        mean = pillar[:count, :3].mean(0)
        full = torch.cat([pillar, pillar[:, :3] - mean, pillar[:, :3] - centre], 1)
        full[count:] = 0
        rows.append(F.relu(layer.norm(layer.linear(full))).amax(0))
    torch.testing.assert_close(network.vfe(voxels), torch.stack(rows), rtol=1e-4, atol=1e-4)


def test_pillar_features_learn_as_the_dense_formula_does() -> None:
    torch.manual_seed(0)
    network = PointPillars(SMALL).train()
    layer = network.vfe.pfn_layers[0]
    layer.norm.bias.data.normal_()
    exact = copy.deepcopy(layer).double()
    voxels = network.voxels(car_cloud())
    found = network.vfe(voxels)
    found.square().sum().backward()
    points, counts = torch.from_numpy(voxels.points).double(), torch.from_numpy(voxels.counts)
    mean = points[..., :3].sum(1, keepdim=True) / counts.view(-1, 1, 1)
    cells = torch.from_numpy(voxels.coordinates).flip(1)
    centre = (cells + 0.5) * torch.tensor([0.32, 0.32, 4.0]) + torch.tensor([0, -10.24, -3.0])
    full = torch.cat([points, points[..., :3] - mean, points[..., :3] - centre[:, None]], -1)
    full = full * (torch.arange(8) < counts[:, None])[..., None]
    dense = exact.norm(exact.linear(full).flatten(0, 1)).relu().view(*full.shape[:2], -1).amax(1)
    dense.square().sum().backward()
    torch.testing.assert_close(found.double(), dense, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.linear.weight.grad.double(), exact.linear.weight.grad, rtol=1e-3, atol=1e-2)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(layer.norm, name).double(), getattr(exact.norm, name), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(layer.norm.weight.grad.double(), exact.norm.weight.grad, rtol=1e-3, atol=1e-2)


def test_occupied_cells_answer_as_their_dense_map_and_pieces_as_the_whole() -> None:
    torch.manual_seed(0)
    network = PointPillars(SMALL)
    ground = network.ground([network.voxels(car_cloud()), network.voxels(car_cloud(seed=1))])
    assert isinstance(ground, SparseTensor)
    sparse, dense = network.backbone_2d(ground), network.backbone_2d(map_of(ground))
    torch.testing.assert_close(sparse, dense, rtol=1e-4, atol=1e-5)
    weight = network.backbone_2d.blocks[0][1].weight
    gradients = [torch.autograd.grad(result.square().sum(), weight, retain_graph=True)[0] for result in (sparse, dense)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-3)
    network.eval()
    whole = network.answer(ground)
    with torch.no_grad():
        pieces = network.answer(ground)
    for name in ("logits", "codes", "directions"):
        torch.testing.assert_close(getattr(pieces, name), getattr(whole, name), rtol=1e-5, atol=1e-6)


def test_dense_and_sparse_paths_agree() -> None:
    torch.manual_seed(0)
    network = PointPillars(SMALL).train()
    voxels = network.voxels(car_cloud())
    network.vfe.pfn_layers[0].norm.momentum = 1.0  # one step makes the running statistics those of this batch
    trained = network.vfe(voxels)
    norm = network.vfe.pfn_layers[0].norm
    n = voxels.points.shape[0] * voxels.points.shape[1]
    norm.running_var *= (n - 1) / n  # running statistics are unbiased, the batch's are not
    torch.testing.assert_close(network.eval().vfe(voxels), trained, rtol=1e-4, atol=1e-4)


def test_responses_written_for_a_car_decode_to_that_car() -> None:
    network = PointPillars(SMALL).eval()
    car = torch.tensor([10.0, 1.0, -1.0, 3.9, 1.6, 1.56, 2.5])
    best = int((network.anchors[:, :2] - car[:2]).norm(dim=1).argmin())
    responses, _ = network([network.voxels(car_cloud())])
    responses.logits.data.fill_(-9.0)
    responses.logits.data[0, best, 0] = 4.0
    responses.codes.data[0, best] = encode(car, network.anchors[best])
    responses.directions.data[0, best] = torch.tensor([5.0, 0.0])
    (boxes,) = network.decode(responses)
    assert boxes.label.tolist() == ["Car"]
    assert boxes.frame == "lidar"
    np.testing.assert_allclose(boxes.centre[0], car[:3], atol=1e-4)
    assert float(boxes.yaw[0]) == pytest.approx(2.5, abs=1e-4)


def test_learns_one_cloud() -> None:
    torch.manual_seed(0)
    network = PointPillars(SMALL).train()
    voxels = network.voxels(car_cloud())
    kinds = SMALL.kinds
    car = torch.tensor([[10.0, 1.0, -1.0, 3.9, 1.6, 1.5, 0.0]])
    target = assign(network.anchors.view(network.anchor_shape), kinds, car, torch.tensor([0]))
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            layer.momentum = 0.3  # statistics that settle within the few steps of this test
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(60):
        responses, _ = network([voxels])
        loss = sum(anchor_loss(responses, [target]).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = network.eval().observe(frame(car_cloud())).boxes
    assert found.label[0] == "Car"
    assert float(found.score[0]) > 0.5
    np.testing.assert_allclose(found.centre[0], [10, 1, -1], atol=0.3)


def test_observe_returns_what_is_wanted_and_only_that() -> None:
    network = PointPillars(SMALL).eval()
    plain = network.observe(frame(car_cloud()))
    assert plain.bev is None
    assert plain.responses is None
    rich = network.observe(frame(car_cloud()), Want.BEV_FEATURES | Want.RESPONSES)
    assert rich.bev is not None
    assert rich.responses is not None
    assert rich.bev.features.shape == (16, 64, 64)
    assert rich.responses.logits.shape == (32 * 32 * 6, 3)


def test_the_camera_view_leaves_out_what_the_image_does_not_show() -> None:
    torch.manual_seed(0)
    everything = PointPillars(SMALL).eval()
    in_view = PointPillars(SMALL.model_copy(update={"camera_view": True})).eval()
    in_view.load_state_dict(everything.state_dict())
    T_camera_lidar = T_CAMERA_BODY.copy()
    rig = Rig(CameraModel.pinhole(64, 32, 50, 50, 31.5, 15.5), T_camera_lidar)
    cloud = car_cloud()
    ahead = cloud[(abs(cloud[:, 1]) < 0.64 * cloud[:, 0]) & (abs(cloud[:, 2]) < 0.32 * cloud[:, 0])]
    seen = in_view.observe(SensorFrame("0", 1, np.zeros((32, 64, 3), np.uint8), cloud, rig), Want.RESPONSES)
    cut = everything.observe(SensorFrame("0", 1, np.zeros((32, 64, 3), np.uint8), ahead, rig), Want.RESPONSES)
    assert seen.responses is not None
    assert cut.responses is not None
    np.testing.assert_array_equal(seen.responses.logits, cut.responses.logits)
    assert 0 < len(ahead) < len(cloud)


@pytest.mark.parametrize("points", [np.empty((0, 4)), np.full((5, 4), np.nan), np.tile([500, 0, 0, 0.5], (5, 1))])
def test_nothing_in_range_is_no_box(points: np.ndarray) -> None:
    assert len(PointPillars(SMALL).eval().observe(frame(points)).boxes) == 0


def test_a_frame_without_lidar_is_refused_by_name() -> None:
    with pytest.raises(DataError, match="000000"):
        PointPillars(SMALL).eval().observe(frame(None))
