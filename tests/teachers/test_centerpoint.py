"""CenterPoint over voxels and pillars: published shapes, targets and decoding as inverses, the loss by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import rows_3d
from mono3d_kd_core.heads.center import CenterResponses
from mono3d_kd_core.heads.center_loss import center_loss, center_targets, spread
from mono3d_kd_core.teachers.base import Want
from mono3d_kd_core.teachers.centerpoint import CenterPillars, CenterPillarsConfig, CenterPoint, CenterPointConfig
from tests.teachers.clouds import car_cloud, frame

SMALL = CenterPointConfig(
    low=(0.0, -6.4, -3.0), high=(12.8, 6.4, 1.0), voxel=(0.2, 0.2, 0.1), widths=(4, 6, 8, 8), out_width=8,
    layers=(1,), filters=(8,), up_filters=(8,), head_width=8, camera_view=False,
)  # fmt: skip
SMALL_PILLARS = CenterPillarsConfig(
    low=(0.0, -6.4, -3.0), high=(12.8, 6.4, 1.0), pillar=0.4, width=8, layers=(1, 1), strides=(1, 2), filters=(8, 8),
    up_strides=(1, 2), up_filters=(8, 8), head_width=8, camera_view=False,
)  # fmt: skip
BOXES = Boxes3D(
    np.array([[10.0, 1.0, -0.9], [3.3, -4.1, -0.8]]), np.array([[3.9, 1.6, 1.5], [0.8, 0.6, 1.7]]),
    np.array([2.5, -1.0]), np.array(["Car", "Pedestrian"]),
)  # fmt: skip


def head_parameters(channels: int, classes: int) -> int:
    """Shared convolution, then for each of five outputs a convolution, its normalisation and a last convolution."""
    unit = 9 * 64 * 64 + 64 + 2 * 64
    return 9 * channels * 64 + 3 * 64 + sum(unit + 9 * 64 * outputs + outputs for outputs in (2, 1, 3, 2, classes))


def test_shape_over_voxels() -> None:
    # centerpoint_teacher.yaml of CMKD: VoxelResBackBone8x, one level of 5 + 1 convolutions, answers at 0.2 m.
    network = CenterPoint(CenterPointConfig())
    strided = [(16, 32), (32, 64), (64, 128)]
    blocks = sum(4 * (27 * w * w + 3 * w) for w in (16, 32, 64, 128))
    sparse = 27 * 4 * 16 + 32 + sum(27 * a * b + 2 * b for a, b in strided) + blocks + 3 * 128 * 128 + 2 * 128
    flat = 9 * 256 * 128 + 5 * 9 * 128 * 128 + 6 * 2 * 128 + 128 * 256 * 4 + 2 * 256
    total = sparse + flat + head_parameters(256, 3)
    assert sum(p.numel() for p in network.parameters()) == total == 4_199_467
    assert network.config.response_shape == (400, 352)
    assert network.config.nms_before == 500


def test_shape_over_pillars() -> None:
    # centerpoint_pillar_1x.yaml of OpenPCDet: PointPillars' layers at strides 1, 2, 2, answers at every pillar.
    network = CenterPillars(CenterPillarsConfig())
    flat = 10 * 64 + 2 * 64
    for before, width, depth in ((64, 64, 4), (64, 128, 6), (128, 256, 6)):
        flat += 9 * before * width + (depth - 1) * 9 * width * width + depth * 2 * width
    for width, up in ((64, 1), (128, 2), (256, 4)):
        flat += width * 128 * up * up + 2 * 128
    assert sum(p.numel() for p in network.parameters()) == flat + head_parameters(384, 3)
    assert network.config.response_shape == (240, 220)


@pytest.mark.parametrize("network", [CenterPoint(SMALL), CenterPillars(SMALL_PILLARS)])
def test_observe_returns_what_is_wanted_and_only_that(network: CenterPoint | CenterPillars) -> None:
    plain = network.eval().observe(frame(car_cloud()))
    assert plain.bev is None
    assert plain.responses is None
    rich = network.observe(frame(car_cloud()), Want.BEV_FEATURES | Want.RESPONSES)
    rows, columns = network.config.response_shape
    assert rich.bev is not None
    assert rich.responses is not None
    assert rich.responses.logits.shape == (rows * columns, 3)
    assert rich.responses.codes.shape == (rows * columns, 1, 8)
    np.testing.assert_allclose(rich.responses.position[0], [0, -6.4, 0])
    np.testing.assert_allclose(rich.responses.position[columns + 1], [network.config.cell, -6.4 + network.config.cell, 0])


def perfect_answers(network: CenterPoint) -> CenterResponses:
    """The responses that the targets of BOXES ask for."""
    config, shape = network.config, network.config.response_shape
    targets = center_targets(rows_3d(BOXES), np.array([0, 1]), 3, config.low, config.cell, shape)
    logits = torch.logit(torch.from_numpy(targets.heatmap)[None], 1e-4)
    codes = torch.zeros(1, 8, *shape)
    codes.flatten(2)[0][:, targets.cell] = torch.from_numpy(targets.code.T)
    return CenterResponses(logits, codes)


def test_targets_decode_to_the_boxes_they_were_drawn_from() -> None:
    network = CenterPoint(SMALL).eval()
    (found,) = network.decode(perfect_answers(network))
    best = found[found.score > 0.99]
    order = np.argsort(best.label)
    assert best.label[order].tolist() == ["Car", "Pedestrian"]
    np.testing.assert_allclose(rows_3d(best[order]), rows_3d(BOXES), atol=1e-5)


def test_the_loss_of_perfect_answers_is_next_to_nothing_and_each_code_counts_twice() -> None:
    network = CenterPoint(SMALL)
    answers = perfect_answers(network)
    terms = network.losses(answers, [BOXES])
    assert float(terms["box"]) == pytest.approx(0, abs=1e-6)
    wrong = CenterResponses(answers.logits, answers.codes + 0.25)
    assert float(network.losses(wrong, [BOXES])["box"]) == pytest.approx(2 * 8 * 0.25, rel=1e-5)
    blind = CenterResponses(torch.full_like(answers.logits, -4.0), answers.codes)
    assert float(network.losses(blind, [BOXES])["heatmap"]) > 10 * float(terms["heatmap"])


def test_no_objects_give_a_finite_loss() -> None:
    network = CenterPoint(SMALL)
    answers, _ = network([network.voxels(car_cloud())] * 2)
    terms = network.losses(answers, [Boxes3D.empty(), Boxes3D.empty()])
    assert float(terms["box"]) == 0
    assert torch.isfinite(terms["heatmap"])


def test_an_object_beside_the_map_is_left_out() -> None:
    row = np.array([[20.0, 0, -1, 4, 2, 1.5, 0]])
    targets = center_targets(row, np.array([0]), 1, (0.0, -6.4), 0.8, (16, 16))
    assert not targets.heatmap.any()
    assert len(targets.cell) == 0
    assert float(center_loss(CenterResponses(torch.zeros(1, 1, 16, 16), torch.ones(1, 8, 16, 16)), [targets])["box"]) == 0


def test_spread_is_the_published_one() -> None:
    # centernet_utils.gaussian_radius of OpenPCDet for a car of 3.9 x 1.6 m on cells of 0.2 m, by hand: 5.2 cells.
    length, width, o = 19.5, 8.0, 0.1
    total, area = length + width, length * width
    third = (-2 * o * total + math.sqrt((2 * o * total) ** 2 + 16 * o * (1 - o) * area)) / 2
    assert third == pytest.approx(5.23, abs=0.01)
    assert spread(length, width) == 5
    assert spread(1.0, 1.0) == 2


@pytest.mark.parametrize("points", [np.empty((0, 4)), np.full((5, 4), np.nan), np.tile([500, 0, 0, 0.5], (5, 1))])
def test_nothing_in_range_is_a_plain_answer(points: np.ndarray) -> None:
    network = CenterPoint(SMALL.model_copy(update={"score_threshold": 0.9})).eval()
    assert len(network.observe(frame(points)).boxes) == 0
