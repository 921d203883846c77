"""The query student as a whole: its shapes, what it encodes and decodes, and that it follows the camera."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import wrap_angle
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.layers import parameter_count
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.heads import Heads
from mono3d_kd_core.students.query.student import QueryOutput, QueryStudent
from mono3d_kd_core.students.query.targets import QueryTargets, encode
from tests.students.query.tiny import CLASSES, KITTI, TINY, annotated, some_boxes

DISTORTED = CameraModel(
    1280, 384, np.array([[900.0, 0, 650], [0, 880, 170], [0, 0, 1]]), "plumb_bob", np.array([-0.3, 0.1, 0.001, -0.002, 0.0])
)
SMALL = CameraModel.pinhole(192, 64, 108, 108, 96, 27)


@pytest.fixture
def student() -> QueryStudent:
    torch.manual_seed(0)
    return QueryStudent(TINY)


def encoded(camera: CameraModel, boxes: Boxes3D | None = None, focal: float = 500.0) -> QueryTargets:
    annotation = annotated(some_boxes() if boxes is None else boxes, camera)
    return encode([annotation], [camera], CLASSES, focal, (2.0, 65.0))


def test_the_published_network_has_as_many_parameters_as_counted_by_hand() -> None:
    C, F, Q, bins = 256, 256, 50 * 11, 81
    linear = lambda inputs, outputs: inputs * outputs + outputs  # noqa: E731
    norm, attention = 2 * C, 4 * linear(C, C)
    deformable = linear(C, 8 * 4 * 4 * 2) + linear(C, 8 * 4 * 4) + 2 * linear(C, C)
    feed_forward = linear(C, F) + linear(F, C) + norm
    projections = sum(linear(width, C) + norm for width in (512, 1024, 2048, 9 * 2048))
    depth = 3 * linear(9 * C, C) + 2 * linear(C, C) + 5 * norm + linear(C, bins) + attention + norm + feed_forward + 61 * C
    encoder = 3 * (deformable + norm + feed_forward) + 4 * C
    decoder = 3 * (2 * attention + deformable + 3 * norm + feed_forward) + 2 * Q * C + linear(C, 2)
    heads = 3 * (linear(C, 3) + (2 * linear(C, C) + linear(C, 6)) + sum(linear(C, C) + linear(C, n) for n in (3, 2, 24)))
    student = QueryStudent(QueryConfig())
    assert parameter_count(student.backbone) == 23_508_032
    assert parameter_count(student) == 23_508_032 + projections + depth + encoder + decoder + heads


def test_training_asks_all_groups_and_deployment_the_first(student: QueryStudent) -> None:
    images = torch.randint(0, 255, (2, 3, 64, 192), dtype=torch.uint8)
    output = student.train()(images)
    assert [len(layer.logits[0]) for layer in output.layers] == [30, 30]
    assert student.eval()(images).layers[-1].logits.shape == (2, 10, 1)
    assert list(output.features) == [4, 8, 16, 32]
    assert output.depth.logits.shape == (2, 81, 4, 12)
    assert output.depth.embedding.shape == (2, 16, 4, 12)
    boxes = student.decode(student(images), [SMALL] * 2)
    assert [len(one) for one in boxes] == [10, 10]
    assert boxes[0].frame == "camera"
    assert (boxes[0].depth_std > 0).all()
    assert ((boxes[0].score >= 0) & (boxes[0].score <= 1)).all()


def test_groups_of_queries_do_not_see_each_other(student: QueryStudent) -> None:
    student.train()
    for part in student.modules():  # chance and batch statistics aside
        if isinstance(part, (torch.nn.Dropout, torch.nn.MultiheadAttention)):
            part.eval()
    student.backbone.eval()
    images = torch.randint(0, 255, (1, 3, 64, 192), dtype=torch.uint8)
    together = student(images).layers[-1].box[:, :10]
    torch.testing.assert_close(together, student.eval()(images).layers[-1].box)


def test_depth_is_the_mean_of_three_opinions() -> None:
    torch.manual_seed(0)
    heads = Heads(16, 1, torch.tensor([4.0, 1.6, 1.5]))
    metres = torch.arange(12.0).view(1, 3, 4)  # 5.5 in the middle
    box = torch.tensor([[[0.5, 0.5, 0.1, 0.1, 0.1, 0.15]]])
    said = heads(torch.zeros(1, 1, 16), box, metres, focal=500.0, height=200)
    regressed = heads.depth(torch.zeros(16))[0].sigmoid().item()
    geometric = 500 * said.size[0, 0, 2].item() / (0.25 * 200)
    assert said.depth.item() == pytest.approx((1 / regressed - 1 + geometric + 5.5) / 3, rel=1e-4)


@pytest.mark.parametrize("camera", [KITTI, DISTORTED, KITTI.resized(640, 192)], ids=["offset", "distorted", "half"])
def test_decoding_inverts_encoding(camera: CameraModel) -> None:
    config = QueryConfig.model_validate(TINY.model_dump() | {"classes": CLASSES, "queries": 3, "reference_focal": 500.0})
    student = QueryStudent(config).eval()
    wanted = encoded(camera)
    heading = torch.zeros(1, 3, 24)
    rows = torch.arange(3)
    heading[0, rows, wanted.heading_bin] = 9.0
    heading[0, rows, 12 + wanted.heading_bin] = wanted.heading_residual
    logits = torch.full((1, 3, 2), -9.0)
    logits[0, rows, wanted.label] = 4.0
    images = torch.zeros(1, 3, camera.height, camera.width)
    output = student(images)
    perfect = output.layers[-1]._replace(
        logits=logits, box=wanted.box[None], depth=wanted.depth[None], size=wanted.size[None], heading=heading
    )
    decoded = student.decode(QueryOutput(output.features, output.depth, (perfect,)), [camera])[0]
    expected = some_boxes()[:3]
    decoded = decoded[np.linalg.norm(decoded.centre[:, None] - expected.centre, axis=-1).argmin(0)]
    np.testing.assert_allclose(decoded.centre, expected.centre, atol=1e-3)
    np.testing.assert_allclose(decoded.size, expected.size, atol=1e-5)
    np.testing.assert_allclose(wrap_angle(decoded.yaw - expected.yaw), 0, atol=1e-5)
    assert decoded.label.tolist() == expected.label.tolist()


def test_depth_is_learned_at_the_reference_focal_length() -> None:
    near, far = encoded(KITTI), encoded(KITTI.resized(640, 192))
    np.testing.assert_allclose(far.depth, 2 * near.depth, rtol=1e-6)
    np.testing.assert_allclose(far.box, near.box, atol=1e-6)


def test_the_same_picture_from_a_longer_lens_is_farther_away(student: QueryStudent) -> None:
    images = torch.randint(0, 255, (1, 3, 64, 192), dtype=torch.uint8)
    output = student.eval()(images)
    tele = CameraModel.pinhole(192, 64, 216, 216, 96, 27)
    near, far = student.decode(output, [SMALL])[0], student.decode(output, [tele])[0]
    order = [np.argsort(boxes.size[:, 0]) for boxes in (near, far)]
    np.testing.assert_allclose(far.centre[order[1], 0], 2 * near.centre[order[0], 0], rtol=1e-5)
    np.testing.assert_allclose(far.centre[order[1], 1:], near.centre[order[0], 1:], rtol=1e-4, atol=1e-4)


def test_what_is_not_learned_is_in_doubt() -> None:
    wanted = encoded(KITTI)
    assert wanted.row.tolist() == [0, 1, 2]
    assert len(wanted.doubt) == 1  # beyond the range
    annotation = annotated(some_boxes(), KITTI)
    ignoring = Annotation(annotation.boxes, annotation.box2d, ignore=np.array([[0.0, 0.0, 639.0, 191.0]]))
    doubt = encode([annotation, ignoring], [KITTI] * 2, ("Pedestrian",), 500.0, (2.0, 65.0)).doubt
    assert doubt.tolist() == [pytest.approx([1, 0.5 / 1280, 0.5 / 384, 639.5 / 1280, 191.5 / 384])]
    second = encode([annotation, ignoring], [KITTI] * 2, ("Car",), 500.0, (2.0, 65.0))
    assert second.image.tolist() == [0, 0, 1, 1]
    assert second.row.tolist() == [0, 1, 3, 4]


def test_an_object_that_the_picture_cuts_has_its_centre_in_its_box() -> None:
    car = (np.array([[3.9, 1.6, 1.5]]), np.zeros(1), np.array(["Car"]))
    boxes = Boxes3D(np.array([[8.0, 6.5, -0.8]]), *car, frame="camera")
    wanted = encoded(KITTI, boxes)
    assert len(wanted) == 1
    assert (wanted.box >= 0).all()


def test_a_batch_without_objects_trains_the_background_alone(student: QueryStudent) -> None:
    nothing = Annotation(Boxes3D.empty("camera"), np.empty((0, 4)))
    terms = student.losses(student(torch.zeros(1, 3, 64, 192)), [nothing], [SMALL])
    assert all(torch.isfinite(term) for term in terms.values())
    assert sum(term.item() for name, term in terms.items() if not name.startswith(("class", "depth_map"))) == 0
    torch.stack(list(terms.values())).sum().backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in student.parameters())


def test_every_parameter_learns(student: QueryStudent) -> None:
    boxes = some_boxes()[:2]
    output = student(torch.randint(0, 255, (1, 3, 64, 192), dtype=torch.uint8))
    terms = student.losses(output, [annotated(boxes, SMALL)], [SMALL])
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, p in student.named_parameters() if p.grad is None] == []


def test_a_fresh_network_sees_little(student: QueryStudent) -> None:
    output = student.eval()(torch.zeros(1, 3, 64, 192))
    assert output.layers[-1].logits.sigmoid().mean().item() < 0.05
    assert math.isfinite(output.layers[-1].depth.sum().item())


@pytest.mark.usefixtures("one_thread")
def test_mixed_precision_changes_little(student: QueryStudent) -> None:
    images = torch.randint(0, 255, (2, 3, 64, 192), dtype=torch.uint8)
    student.eval()
    full = student(images)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = student(images)
        terms = student.losses(mixed, [annotated(some_boxes()[:2], SMALL)] * 2, [SMALL] * 2)
    for name, value in full.layers[-1]._asdict().items():
        torch.testing.assert_close(getattr(mixed.layers[-1], name), value, rtol=0.1, atol=0.1)
    assert all(torch.isfinite(term) for term in terms.values())


def test_heads_must_share_the_channels() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        QueryConfig(channels=64, heads=7)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_overfits_ten_frames() -> None:
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    images = torch.randint(0, 255, (10, 3, 64, 192), dtype=torch.uint8)
    cars = [
        Boxes3D(
            np.column_stack([random.uniform(8, 20, 2), [random.uniform(-3, -1), random.uniform(1, 3)], [-0.8, -0.8]]),
            np.tile([3.9, 1.6, 1.5], (2, 1)), random.uniform(-3, 3, 2), np.array(["Car", "Car"]), frame="camera",
        )
        for _ in range(10)
    ]  # fmt: skip
    annotations, cameras = [annotated(boxes, SMALL) for boxes in cars], [SMALL] * 10
    student = QueryStudent(TINY.model_copy(update={"width": 0.25, "channels": 32, "feed_forward": 64, "dropout": 0.0}))
    optimiser = torch.optim.AdamW(student.parameters(), 2e-3)
    for _ in range(150):
        optimiser.zero_grad()
        torch.stack(list(student.losses(student(images), annotations, cameras).values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 10)
        optimiser.step()
    errors, scores = [], []
    for found, boxes in zip(student.decode(student(images), cameras), cars):
        best = found[:2]
        errors += np.linalg.norm(best.centre[:, None] - boxes.centre, axis=-1).min(0).tolist()
        scores += best.score.tolist()
    assert np.median(errors) < 1.0
    assert np.median(scores) > 0.3
