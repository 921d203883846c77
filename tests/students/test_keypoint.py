"""The keypoint student: what it encodes it decodes, and its losses are those of the papers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import wrap_angle
from mono3d_kd_core.heads.heatmap import PRIOR_BIAS
from mono3d_kd_core.students import keypoint_losses as losses
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.keypoint_decode import Detections2D, ScoreCalibration, heading_angle
from mono3d_kd_core.students.keypoint_targets import KeypointTargets, encode, heading_code

KITTI = CameraModel.from_projection(
    1280, 384, np.array([[721.5, 0, 640, 44.9], [0, 721.5, 180, 0.2], [0, 0, 1, 0.0027]])
)
DISTORTED = CameraModel(
    1280, 384, np.array([[900.0, 0, 650], [0, 880, 170], [0, 0, 1]]), "plumb_bob", np.array([-0.3, 0.1, 0.001, -0.002, 0.0])
)
CLASSES = {"Car": 0, "Pedestrian": 1}


def some_boxes() -> Boxes3D:
    return Boxes3D(
        np.array([[12.0, 3.0, -0.8], [30.0, -8.0, -0.5], [20.0, 5.0, -0.7], [90.0, 0.0, 0.0]]),
        np.array([[3.9, 1.6, 1.5], [4.2, 1.7, 1.6], [0.8, 0.6, 1.8], [4.0, 1.6, 1.5]]),
        np.array([0.4, -2.9, 1.7, 0.0]), np.array(["Car", "Car", "Pedestrian", "Car"]), frame="camera",
    )  # fmt: skip


def annotated(boxes: Boxes3D, camera: CameraModel) -> Annotation:
    return Annotation(boxes, project_boxes(boxes, camera)[0])


def encoded(camera: CameraModel, boxes: Boxes3D | None = None) -> KeypointTargets:
    annotation = annotated(some_boxes() if boxes is None else boxes, camera)
    return encode([annotation], [camera], CLASSES, 500.0, (2.0, 65.0))


def perfect_reading(targets: KeypointTargets, columns: int) -> Detections2D:
    """What a network that learned its targets exactly would say."""
    real = targets.weight[0] > 0
    cell = targets.cell[0][real].numpy()
    heading = np.zeros((len(cell), 24))
    rows = np.arange(len(cell))
    heading[rows, targets.heading_bin[0][real]] = 9.0
    heading[rows, 12 + targets.heading_bin[0][real].numpy()] = targets.heading_residual[0][real]
    return Detections2D(
        np.full(len(cell), 0.9), targets.label[0][real].numpy(), np.column_stack([cell % columns, cell // columns]),
        targets.depth[0][real].numpy(), np.zeros(len(cell)), targets.offset3d[0][real].numpy(),
        targets.size3d[0][real].numpy(), heading,
    )  # fmt: skip


@pytest.mark.parametrize("camera", [KITTI, DISTORTED, KITTI.resized(640, 192)], ids=["offset", "distorted", "half"])
def test_decoding_inverts_encoding(camera: CameraModel) -> None:
    student = KeypointStudent(KeypointConfig(classes=("Car", "Pedestrian"), width=0.125, reference_focal=500.0))
    decoded = student.decoder(perfect_reading(encoded(camera), camera.width // 4), camera)
    expected = some_boxes()[:3]  # the fourth is beyond the range
    nearest = np.linalg.norm(decoded.centre[:, None] - expected.centre, axis=-1).argmin(0)
    decoded = decoded[nearest]
    np.testing.assert_allclose(decoded.centre, expected.centre, atol=1e-3)
    np.testing.assert_allclose(decoded.size, expected.size, atol=1e-5)
    np.testing.assert_allclose(wrap_angle(decoded.yaw - expected.yaw), 0, atol=1e-5)
    assert decoded.label.tolist() == expected.label.tolist()


def test_depth_is_learned_at_the_reference_focal_length() -> None:
    # The same picture from a camera of twice the focal length and twice the distance.
    near, far = encoded(KITTI), encoded(KITTI.resized(640, 192))
    np.testing.assert_allclose(far.depth, 2 * near.depth, rtol=1e-6)


def test_score_is_the_probability_to_be_within_the_tolerance() -> None:
    config = KeypointConfig(classes=("Car", "Pedestrian"), width=0.125, depth_tolerance=2.0, reference_focal=721.5)
    student = KeypointStudent(config)
    boxes = student.decoder(perfect_reading(encoded(KITTI), 320), KITTI)
    laplace = torch.distributions.Laplace(0.0, 1 / math.sqrt(2))  # of standard deviation e^0
    within = (laplace.cdf(torch.tensor(2.0)) - laplace.cdf(torch.tensor(-2.0))).item()
    # The reference depth is encoded for 500 pixels but read at 721.5: only scores and spreads are compared here.
    assert boxes.score == pytest.approx(np.full(3, 0.9 * within))
    assert (boxes.depth_std >= 1.0).all()


def test_scores_stay_probabilities_for_any_predicted_spread() -> None:
    student = KeypointStudent(KeypointConfig(classes=("Car", "Pedestrian"), width=0.125))
    for log_std in (-80.0, 0.0, 80.0):
        seen = perfect_reading(encoded(KITTI), 320)
        score = student.decoder(Detections2D(**{**vars(seen), "log_std": np.full(3, log_std)}), KITTI).score
        assert ((score >= 0) & (score <= 1)).all()


def test_calibration_is_platt_scaling() -> None:
    raw = np.array([0.1, 0.5, 0.9])
    assert ScoreCalibration()(raw) == pytest.approx(raw)
    scaled = ScoreCalibration(scale=2.0, shift=-1.0)(raw)
    assert np.log(scaled / (1 - scaled)) == pytest.approx(2 * np.log(raw / (1 - raw)) - 1)


def test_heading_code_round_trip() -> None:
    alpha = np.linspace(-np.pi, np.pi, 101)
    bins, residual = heading_code(alpha)
    assert set(bins) == set(range(12))
    assert np.abs(residual).max() <= np.pi / 12 + 1e-12
    outputs = np.zeros((101, 24))
    outputs[np.arange(101), bins.astype(int)] = 1
    outputs[np.arange(101), 12 + bins.astype(int)] = residual
    assert wrap_angle(heading_angle(outputs) - alpha) == pytest.approx(np.zeros(101), abs=1e-9)


def test_what_is_too_far_is_neither_object_nor_background() -> None:
    targets = encoded(KITTI, some_boxes()[3:])
    assert targets.weight.sum() == 0
    assert targets.heatmap.max() == 0
    left, top, right, bottom = project_boxes(some_boxes()[3:], KITTI)[0][0] / 4
    assert targets.heatmap_weight[0, 0, int((top + bottom) / 2), int((left + right) / 2)] == 0
    assert targets.heatmap_weight.mean() > 0.9


def test_the_nearer_of_two_objects_in_one_cell_is_taught_last() -> None:
    boxes = some_boxes()[:1]
    behind = Boxes3D(boxes.centre * 1.5, boxes.size, boxes.yaw, boxes.label, frame="camera")
    camera = CameraModel.pinhole(1280, 384, 700, 700, 640, 180)
    targets = encoded(camera, Boxes3D.concatenate([boxes, behind]))
    assert targets.cell[0, 0] == targets.cell[0, 1]
    assert targets.depth[0, 1] < targets.depth[0, 0]


def test_laplacian_loss_by_hand_and_its_minimum() -> None:
    one = torch.ones(1, 1)
    loss = losses.laplacian_depth_loss(12 * one, 0.5 * one, 10 * one, one)
    assert loss.item() == pytest.approx(math.sqrt(2) * math.exp(-0.5) * 2 + 0.5)
    # For a Laplace distribution of errors the best standard deviation is sqrt(2) times the mean absolute error.
    s = torch.linspace(-1, 3, 4001)
    value = math.sqrt(2) * torch.exp(-s) * 2 + s
    assert math.exp(s[value.argmin()]) == pytest.approx(math.sqrt(2) * 2, rel=1e-3)


def test_size_loss_is_relative_but_of_plain_magnitude() -> None:
    target = torch.tensor([[[4.0, 2.0, 1.0]]])
    prediction = (target + 0.3).requires_grad_()
    loss = losses.size_loss(prediction, target, torch.ones(1, 1))
    assert loss.item() == pytest.approx(0.3, rel=1e-6)
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert (gradient[0, 0] / gradient[0, 0, 0]).tolist() == pytest.approx([1.0, 2.0, 4.0])


def test_heading_loss_by_hand() -> None:
    heading = torch.zeros(1, 1, 24)
    heading[..., 12 + 3] = 0.1
    loss = losses.heading_loss(heading, torch.tensor([[3]]), torch.tensor([[-0.05]]), torch.ones(1, 1))
    assert loss.item() == pytest.approx(math.log(12) + 0.15, rel=1e-6)


def test_weights_scale_each_object() -> None:
    value, weight = torch.tensor([[1.0, 5.0]]), torch.tensor([[1.0, 0.25]])
    assert losses.object_mean(value, weight).item() == pytest.approx((1 + 1.25) / 1.25)


def test_a_batch_without_objects_trains_the_background_alone() -> None:
    torch.manual_seed(0)
    student = KeypointStudent(KeypointConfig(width=0.125, head_channels=8, neck_channels=8))
    nothing = Annotation(Boxes3D.empty("camera"), np.empty((0, 4)))
    camera = CameraModel.pinhole(128, 64, 100, 100, 64, 32)
    terms = student.losses(student(torch.zeros(1, 3, 64, 128)), [nothing], [camera])
    assert all(torch.isfinite(term) for term in terms.values())
    assert terms["heatmap"] > 0
    assert sum(term.item() for name, term in terms.items() if name != "heatmap") == 0
    sum(terms.values()).backward()
    assert all(p.grad is None or torch.isfinite(p.grad).all() for p in student.parameters())


def test_a_fresh_network_sees_little_and_its_features_are_handed_out() -> None:
    torch.manual_seed(0)
    student = KeypointStudent(KeypointConfig(width=0.125, head_channels=8)).eval()
    output = student(torch.zeros(1, 3, 64, 128, dtype=torch.uint8), dense=True)
    assert list(output.features) == [4, 8, 16, 32]
    assert output.heatmap.sigmoid().mean().item() == pytest.approx(1 / (1 + math.exp(-PRIOR_BIAS)), abs=0.02)
    assert output.dense is not None
    boxes = student.decode(output, [CameraModel.pinhole(128, 64, 100, 100, 64, 32)])[0]
    assert len(boxes) == 50
    assert boxes.frame == "camera"


def test_an_unknown_class_needs_its_size() -> None:
    with pytest.raises(ValueError, match="Tram needs its mean"):
        KeypointConfig(classes=("Car", "Tram"))
    assert KeypointConfig(classes=("Tram",), mean_size={"Tram": (16.0, 2.5, 3.5)}).sizes["Tram"] == (16.0, 2.5, 3.5)


@pytest.mark.slow
def test_it_overfits_one_image() -> None:
    torch.manual_seed(0)
    camera = CameraModel.pinhole(192, 64, 108, 108, 96, 27)
    student = KeypointStudent(KeypointConfig(width=0.125, neck_channels=16, head_channels=16, reference_focal=108.0))
    boxes = some_boxes()[:3]
    image = torch.randint(0, 255, (1, 3, 64, 192), dtype=torch.uint8)
    optimiser = torch.optim.Adam(student.parameters(), 5e-3)
    for _ in range(250):
        optimiser.zero_grad()
        sum(student.losses(student(image), [annotated(boxes, camera)], [camera]).values()).backward()
        optimiser.step()
    found = student.decode(student(image), [camera])[0][:3]
    nearest = np.linalg.norm(found.centre[:, None] - boxes.centre, axis=-1)
    assert nearest.min(0).max() < 1.5
    assert found.score.min() > 0.3
