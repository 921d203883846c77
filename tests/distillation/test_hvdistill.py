"""HVDistill as a whole: what is paired with what, and whom each phase teaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mono3d_kd_core.distillation.hvdistill import HvDistill, HvWeights, Pair
from mono3d_kd_core.distillation.lifted_image import Lifted
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from tests.distillation.pairs import CAMERA, POSE, SMALL, VOLUME, pair, small_hvdistill

FIRST, BOTH, PLANE = HvWeights(ground=0), HvWeights(), HvWeights(ground=0, depth=0)
PAIRS = [pair(0), pair(1)]


@pytest.fixture(scope="module")
def network() -> HvDistill:
    torch.manual_seed(0)
    return small_hvdistill()


def gradients(network: HvDistill, weights: HvWeights) -> set[str]:
    """The parts that a phase's terms reach."""
    network.zero_grad()
    terms, _ = network.losses(PAIRS, weights)
    torch.stack(list(terms.values())).sum().backward()
    return {
        name for name, parameter in network.named_parameters() if parameter.grad is not None and parameter.grad.any()
    }


def beginnings(names: set[str], depth: int = 2) -> set[str]:
    return {".".join(name.split(".")[:depth]) for name in names}


def test_superpixels_pool_the_points_and_pixels_that_lie_in_them(network: HvDistill) -> None:
    network.eval()
    with torch.no_grad():
        contrast = network(PAIRS, PLANE).superpixels
        points = network.student([each.points for each in PAIRS])
        images = torch.from_numpy(np.stack([each.image for each in PAIRS])).permute(0, 3, 1, 2)
        coarse = network.image_head(network.image(images))
        unit = coarse / coarse.norm(dim=1, keepdim=True)
        fine = nn.functional.interpolate(unit, (32, 96), mode="bilinear", align_corners=True)
        fine = fine / fine.norm(dim=1, keepdim=True)
    keys, queries, places = [], [], []
    for sample, each in enumerate(PAIRS):
        mine = points.sample == sample
        xyz = each.points[points.index[mine].numpy(), :3] @ POSE[:3, :3].T + POSE[:3, 3]
        u = np.rint(CAMERA.K[0, 0] * xyz[:, 0] / xyz[:, 2] + CAMERA.K[0, 2]).astype(int)
        v = np.rint(CAMERA.K[1, 1] * xyz[:, 1] / xyz[:, 2] + CAMERA.K[1, 2]).astype(int)
        shown = (u >= 0) & (u < 96) & (v >= 0) & (v < 32)
        own = np.full(len(u), -1)
        own[shown] = each.superpixels[v[shown], u[shown]]
        for number in range(each.superpixels.max() + 1):
            if (own == number).any():
                places.append([sample, number])
                keys.append(points.points[mine][torch.from_numpy(own == number)].mean(0))
                queries.append(fine[sample][:, torch.from_numpy(each.superpixels == number)].mean(1))
    assert len(keys) > 10
    assert contrast.place.tolist() == places
    torch.testing.assert_close(contrast.keys, torch.stack(keys), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(contrast.queries, torch.stack(queries), rtol=1e-4, atol=1e-5)


class _Numbered(nn.Module):
    """A lift whose cells say their own row and column; column 3 was not seen by the camera."""

    def forward(self, features: Tensor, cameras: object, poses: object) -> Lifted:
        row, column = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        bev = torch.stack([row + 1, column + 1, *torch.zeros(6, 8, 8)]) * (column != 3)
        return Lifted(bev.expand(len(features), -1, -1, -1), torch.full((len(features), 24, 8, 24), 1 / 24))


def test_cells_of_the_ground_are_paired_where_the_picture_shows_them() -> None:
    network = small_hvdistill().eval()
    network.lifted = _Numbered()  # type: ignore[assignment]
    # One point in each of four cells of 1.6 m: (row, column) = (0, 0), (7, 2), (3, 3), (4, 5).
    xy = np.array([[0.1, -6.3], [4.7, 6.3], [5.0, -0.1], [9.5, 0.1]])
    points = np.column_stack([xy, np.full(4, -1.0), np.full(4, 0.5)]).astype(np.float32)
    with torch.no_grad():
        contrast = network([replace(PAIRS[0], points=points)], HvWeights(image_plane=0, depth=0)).ground
        own = network.student([points])
    assert contrast is not None
    wanted = torch.tensor([[1.0, 1.0], [5.0, 6.0], [8.0, 3.0]])
    torch.testing.assert_close(contrast.queries[:, :2], wanted / wanted.norm(dim=1, keepdim=True))
    assert own.cells[:, 1:].tolist() == [[0, 0], [3, 3], [4, 5], [7, 2]]
    torch.testing.assert_close(contrast.keys, own.ground[[0, 2, 3]])
    assert contrast.place.tolist() == [[0, 0, 0], [0, 4, 5], [0, 7, 2]]


def test_depth_is_asked_for_where_points_are_seen_and_the_nearest_counts(network: HvDistill) -> None:
    camera = CameraModel.pinhole(96, 32, 50, 50, 47.5, 12)
    # In optical coordinates: two points in the cell of row 3, column 12 (pixels 48 to 51, 12 to 15), one beyond the bins.
    seen = np.array([[0.1, 0.1, 5.2], [0.15, 0.15, 3.7], [5.0, 0.2, 20.0]])
    points = np.column_stack([seen @ T_CAMERA_BODY[:3, :3], np.zeros(3)]).astype(np.float32)
    one = Pair("000000", PAIRS[0].image, PAIRS[0].superpixels, camera, T_CAMERA_BODY, points)
    label = network.depth_labels([one])
    assert label.shape == (1, 8, 24)
    # 24 bins from 1 to 13 m are half a metre wide: 3.7 m lies in number 5.
    assert label[0, 3, 12] == 5
    assert (label >= 0).sum() == 1


def test_true_depth_lifts_pixels_onto_the_cells_of_their_points(network: HvDistill) -> None:
    label = network.depth_labels(PAIRS[:1])
    depth = torch.zeros(1, 24, 8, 24).scatter(1, label.clamp_min(0)[:, None], (label >= 0)[:, None].float())
    bev = network.lifted.lift(torch.ones(1, 1, 8, 24), depth, [CAMERA], [POSE])[0, 0]
    points = network.student([PAIRS[0].points]).cells[:, 1:]
    with_points = torch.zeros(8, 8, dtype=torch.bool)
    with_points[points[:, 0], points[:, 1]] = True
    lifted = bev > 0
    assert lifted.sum() > 10
    # A pixel's ray may end across a cell's edge from the point that gave the depth.
    assert (lifted & with_points).sum() >= 0.8 * lifted.sum()


def test_the_first_phase_reaches_student_and_heads_but_nothing_of_the_ground(network: HvDistill) -> None:
    reached = gradients(network.train(), FIRST)
    assert beginnings(reached, 3) >= {f"student.backbone_3d.conv{i}" for i in (1, 2, 3, 4)}
    assert {"student.point_head", "image_head.weight", "lifted.depth", "lifted.depth_gate"} <= beginnings(reached)
    assert not beginnings(reached, 3) & {"student.ground_head", "student.backbone_3d.conv_out", "lifted.context.weight"}


def test_the_second_phase_reaches_everything_but_the_image_teacher(network: HvDistill) -> None:
    reached = gradients(network.train(), BOTH)
    untouched = {name for name, _ in network.named_parameters()} - reached
    # A bias before ReLU may happen to get none; no part as a whole does.
    assert beginnings({name for name, _ in network.named_parameters()}, 3) == beginnings(reached, 3), untouched
    assert all(parameter.grad is None for parameter in network.image.parameters())


def test_the_image_plane_alone_leaves_the_lift_alone(network: HvDistill) -> None:
    reached = gradients(network.train(), PLANE)
    assert not any(name.startswith(("lifted", "student.ground_head")) for name in reached)
    assert set(network.losses(PAIRS, PLANE)[0]) == {"image_plane"}


@pytest.mark.parametrize(
    ("term", "reached", "untouched"),
    [
        ("image_plane", {"student.backbone_3d", "student.point_head", "image_head.weight"}, {"lifted", "student.ground"}),
        ("ground", {"student.backbone_3d", "student.ground_head", "lifted.context"}, {"student.point_head"}),
        ("depth", {"lifted.depth"}, {"student"}),
    ],
)
def test_each_term_reaches_what_it_should(
    network: HvDistill, term: str, reached: set[str], untouched: set[str]
) -> None:
    only = HvWeights(**{"image_plane": 0, "ground": 0, "depth": 0} | {term: 1})
    found = gradients(network.train(), only)
    assert reached <= beginnings(found)
    assert not any(name.startswith(tuple(untouched)) for name in found)


@pytest.mark.parametrize("weights", [FIRST, BOTH])
def test_the_image_teacher_stays_as_it_is_statistics_included(network: HvDistill, weights: HvWeights) -> None:
    before = {name: value.clone() for name, value in network.image.state_dict().items()}
    optimiser = torch.optim.SGD(network.parameters(), 0.1)
    for _ in range(2):
        terms, _ = network.train().losses(PAIRS, weights)
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in network.image.state_dict().items())
    assert not any(name.startswith("_image") for name in network.state_dict())


def test_terms_are_weighted(network: HvDistill) -> None:
    network.eval()
    with torch.no_grad():
        once, _ = network.losses(PAIRS, HvWeights(image_plane=1, ground=1, depth=1))
        released, _ = network.losses(PAIRS, HvWeights())
    assert released["image_plane"] == pytest.approx(once["image_plane"].item())
    assert released["ground"] == pytest.approx(0.25 * once["ground"].item(), rel=1e-5)
    assert released["depth"] == pytest.approx(60 * once["depth"].item(), rel=1e-5)


def test_of_many_cells_a_few_are_drawn(network: HvDistill) -> None:
    few = HvDistill(VOLUME, network.image, SMALL.model_copy(update={"most_cells": 7})).eval()
    with torch.no_grad():
        contrast = few(PAIRS, BOTH).ground
    assert contrast is not None
    assert contrast.keys.shape == contrast.queries.shape == (7, 8)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_overfits_ten_frames() -> None:
    torch.manual_seed(0)
    pairs = [pair(seed) for seed in range(10)]
    network = small_hvdistill().train()
    optimiser = torch.optim.AdamW(network.parameters(), 5e-3)
    found: dict[str, Tensor] = {}
    for _ in range(110):
        optimiser.zero_grad()
        terms, found = network.losses(pairs, HvWeights())
        torch.stack(list(terms.values())).sum().backward()
        optimiser.step()
    assert found["superpixels"] > 0.8
    assert found["cells"] > 0.3
