"""The detector: a bundle, an image and its camera in, boxes out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import Card, TrainedCamera, load_bundle, save_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.deploy.export import export_onnx
from mono3d_kd_core.deploy.loading import load_student
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.letterbox import PADDING, Letterbox

CAMERA = CameraModel.pinhole(620, 188, 360, 360, 305, 86)


def write_bundle(path: Path, seed: int = 0) -> Path:
    """A small network whose heads say something: with random but not tiny weights."""
    torch.manual_seed(seed)
    config = KeypointConfig(width=0.125, neck_channels=16, head_channels=16, input_height=96, input_width=320)
    student = KeypointStudent(config)
    for name, parameter in student.head.named_parameters():
        if parameter.dim() == 4:
            torch.nn.init.kaiming_normal_(parameter, nonlinearity="relu")
        elif name == "heatmap.2.bias":
            torch.nn.init.zeros_(parameter)
    for part in student.modules():  # so that folding them is not trivial
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 2)
    trained = TrainedCamera.of(CAMERA.resized(317, 96))
    card = Card(
        kind="student", architecture="keypoint", config=config.model_dump(mode="json"), classes=list(config.classes),
        camera=trained,
    )  # fmt: skip
    save_bundle(path, card, student.state_dict())
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_bundle(tmp_path / "bundle")


def picture(camera: CameraModel = CAMERA) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (camera.height, camera.width, 3), np.uint8)


def assert_same_boxes(a: Boxes3D, b: Boxes3D) -> None:
    assert a.label.tolist() == b.label.tolist()
    for name in ("centre", "size", "yaw", "score", "depth_std"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-3)


def test_detector_gives_what_the_student_decodes(bundle: Path) -> None:
    detector = Detector.load(bundle, score_threshold=0.05, max_detections=7)
    letterbox = Letterbox.fit(CAMERA.width, CAMERA.height, (96, 320))
    student = load_student(bundle)
    camera = letterbox.camera(CAMERA)
    with torch.inference_mode():
        image = torch.from_numpy(letterbox.image(picture())).permute(2, 0, 1)[None]
        decoded = student.decode(student(image, [camera]), [camera])[0]
    found = detector.detect(picture(), CAMERA)
    assert 0 < len(found) <= 7
    assert (np.diff(found.score) <= 0).all()
    assert found.score.min() >= 0.05
    assert found.frame == "camera"
    assert_same_boxes(found[:1], decoded[:1])
    for box in found.centre:
        assert np.linalg.norm(decoded.centre - box, axis=1).min() < 1e-3


def test_onnx_runtime_equals_torch(bundle: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not in this environment")
    with pytest.raises(ModelError, match="mono3d-kd export"):
        Detector.load(bundle, backend="onnx")
    export_onnx(bundle)
    torch_boxes = Detector.load(bundle, score_threshold=0.05).detect(picture(), CAMERA)
    onnx_boxes = Detector.load(bundle, backend="onnx", score_threshold=0.05).detect(picture(), CAMERA)
    assert len(torch_boxes) > 0
    assert_same_boxes(torch_boxes, onnx_boxes)


def test_an_export_of_other_weights_is_refused(bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not in this environment")
    other = export_onnx(write_bundle(tmp_path / "other", seed=1))
    (bundle / "model.onnx").write_bytes(other.read_bytes())
    with pytest.raises(ModelError, match="other weights"):
        Detector.load(bundle, backend="onnx")


def test_the_same_scene_at_another_resolution_is_found_at_the_same_place(bundle: Path) -> None:
    detector = Detector.load(bundle, score_threshold=0.05)
    twice = CAMERA.resized(1240, 376)
    large = np.repeat(np.repeat(picture(), 2, 0), 2, 1)  # shrinks back to the same picture by areas
    assert_same_boxes(detector.detect(picture(), CAMERA)[:3], detector.detect(large, twice)[:3])


def test_letterbox_keeps_projections(bundle: Path) -> None:
    camera = CameraModel.pinhole(800, 600, 500, 500, 390, 310)
    letterbox = Letterbox.fit(800, 600, (96, 320))
    points = np.array([[1.0, -0.5, 10], [-3, 1, 20]])
    inner = letterbox.camera(camera).project(points)[0]
    before = camera.project(points)[0]
    as_boxes = letterbox.box2d(np.tile(before, 2), camera)
    np.testing.assert_allclose(inner, as_boxes[:, :2], atol=1e-9)
    image = letterbox.image(np.full((600, 800, 3), 200, np.uint8))
    assert image.shape == (96, 320, 3)
    assert tuple(image[0, 0]) == PADDING
    assert (image[:, letterbox.left : letterbox.left + letterbox.width] == 200).all()
    assert letterbox.width == 128


def test_a_camera_like_the_trained_one_is_fine_and_others_are_named(bundle: Path) -> None:
    detector = Detector.load(bundle)
    assert detector.check_camera(CAMERA) == []
    assert detector.check_camera(CAMERA.resized(1240, 376)) == []  # only the resolution differs
    tele = CameraModel.pinhole(620, 188, 500, 500, 305, 86)
    assert any("focal length" in line for line in detector.check_camera(tele))
    assert any("field of view" in line for line in detector.check_camera(tele))
    square = CameraModel.pinhole(640, 640, 700, 700, 320, 320)
    assert any("width over height" in line for line in detector.check_camera(square))


def test_damaged_weights_say_so(bundle: Path) -> None:
    content = load_bundle(bundle)
    content.tensors["neck.smooth.0.weight"][:] = float("nan")
    save_bundle(bundle, content.card, content.tensors)
    with pytest.raises(ModelError, match="not finite"):
        Detector.load(bundle, score_threshold=0.0)


def test_an_image_of_another_size_than_its_camera_is_refused(bundle: Path) -> None:
    detector = Detector.load(bundle)
    with pytest.raises(DataError, match="620x188"):
        detector.detect(picture()[:100], CAMERA)


def test_an_unknown_backend_is_refused(bundle: Path) -> None:
    with pytest.raises(ModelError, match="unknown backend"):
        Detector.load(bundle, backend="tensorrt")  # type: ignore[arg-type]
