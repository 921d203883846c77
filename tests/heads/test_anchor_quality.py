"""Overlap-aware scores: targets against known overlaps, the loss by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import iou_3d
from mono3d_kd_core.heads.anchor import AnchorResponses, encode
from mono3d_kd_core.heads.anchor_quality import overlap_targets, quality_loss
from mono3d_kd_core.teachers.pointpillars import PointPillars, PointPillarsConfig

CAR = np.array([10.0, 0, -1, 4, 2, 1.5, 0])
ASIDE = CAR + np.array([1.0, 0, 0, 0, 0, 0, 0])  # shares 3 of its 4 m: IoU 3 / 5
FAR = CAR + np.array([30.0, 0, 0, 0, 0, 0, 0])


def test_targets_are_the_overlap_at_the_objects_class() -> None:
    target = overlap_targets(np.stack([CAR, ASIDE, FAR]), CAR[None], [2], 3)
    np.testing.assert_allclose(target, [[0, 0, 1], [0, 0, 0.6], [0, 0, 0]], atol=1e-9)
    assert not overlap_targets(np.stack([CAR]), np.empty((0, 7)), [], 3).any()


def test_targets_of_scattered_boxes_are_their_largest_overlap() -> None:
    random = np.random.default_rng(0)
    low, high = np.array([0, -9, -1.5, 0.5, 0.5, 1, -4]), np.array([18, 9, -0.5, 6, 3, 2, 4])
    boxes, objects = random.uniform(low, high, (300, 7)), random.uniform(low, high, (7, 7))
    target = overlap_targets(boxes, objects, [0, 1, 2, 0, 1, 2, 0], 3)
    np.testing.assert_allclose(target.max(1), iou_3d(boxes, objects).max(1))
    assert 0 < (target > 0).any(1).sum() < 300


def test_loss_by_hand() -> None:
    anchors = torch.from_numpy(np.stack([CAR, FAR])).float()
    boxes = torch.from_numpy(np.stack([ASIDE, FAR])).float()
    logits = torch.tensor([[[0.0, -2.0], [-3.0, -3.0]]])
    responses = AnchorResponses(logits, encode(boxes, anchors)[None], torch.tensor([[[5.0, 0.0], [5.0, 0.0]]]))
    # The heading bin 0 leaves yaw 0 at pi: the same footprint, so the overlap stays.
    p = torch.sigmoid(logits[0])
    quality = torch.tensor([[0.6, 0.0], [0.0, 0.0]])
    cross = -(quality * p.log() + (1 - quality) * (1 - p).log())
    expected = 8 * ((p - quality) ** 2 * cross).sum() / 1
    found = quality_loss(responses, anchors, [torch.from_numpy(CAR)[None]], [torch.tensor([0])])
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_network_learns_by_it_where_its_settings_say_so() -> None:
    torch.manual_seed(0)
    small = PointPillarsConfig(
        low=(0.0, -3.2, -3.0), high=(6.4, 3.2, 1.0), pillar=0.4, width=4, layers=(1,), strides=(2,), filters=(4,),
        up_strides=(1,), up_filters=(4,),
    )  # fmt: skip
    focal = PointPillars(small)
    overlap = PointPillars(small.model_copy(update={"classification": "quality_focal"}))
    overlap.load_state_dict(focal.state_dict())
    cloud = np.random.default_rng(0).uniform([0, -3, -2, 0], [6, 3, 0, 1], (500, 4)).astype(np.float32)
    boxes = Boxes3D(np.array([[3.0, 0, -1]]), np.array([[3.9, 1.6, 1.5]]), np.zeros(1), np.array(["Car"]))
    terms = [network.losses(network([network.voxels(cloud)])[0], [boxes]) for network in (focal, overlap)]
    assert float(terms[0]["box"]) == pytest.approx(float(terms[1]["box"]))
    assert float(terms[0]["classification"]) != pytest.approx(float(terms[1]["classification"]))
    terms[1]["classification"].backward()
    assert overlap.dense_head.conv_cls.weight.grad.abs().sum() > 0
