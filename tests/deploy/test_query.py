"""The query student as a detector: the same doors as the keypoint student's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import Card, TrainedCamera, save_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.deploy.export import export_onnx
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.query.student import QueryStudent
from tests.conftest import REPOSITORY
from tests.students.query.tiny import TINY

CAMERA = CameraModel.pinhole(620, 188, 360, 360, 305, 86)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    student = QueryStudent(TINY)
    for heads in student.heads:  # answers that differ, and are not at the edge of what is shown
        torch.nn.init.normal_(heads.get_parameter("classify.weight"))
        torch.nn.init.zeros_(heads.get_parameter("classify.bias"))
        torch.nn.init.normal_(heads.get_parameter("box.4.weight"), std=0.5)
    card = Card(
        kind="student", architecture="query", config=TINY.model_dump(mode="json"), classes=list(TINY.classes),
        camera=TrainedCamera.of(CAMERA.resized(192, 58)),
    )  # fmt: skip
    return save_bundle(tmp_path / "bundle", card, student.state_dict()).path


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (CAMERA.height, CAMERA.width, 3), np.uint8)


def assert_same(a: Boxes3D, b: Boxes3D) -> None:
    assert len(a) > 0
    for name in ("centre", "size", "yaw", "score", "depth_std"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-3, atol=1e-3)


def test_it_detects_with_uncertainties_and_knows_its_camera(bundle: Path) -> None:
    detector = Detector.load(bundle, score_threshold=0.0)
    found = detector.detect(picture(), CAMERA)
    assert 0 < len(found) <= TINY.queries
    assert found.frame == "camera"
    assert (np.diff(found.score) <= 0).all()
    assert (found.depth_std > 0).all()
    assert detector.check_camera(CAMERA) == []
    large = np.repeat(np.repeat(picture(), 2, 0), 2, 1)
    assert_same(found, detector.detect(large, CAMERA.resized(1240, 376)))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_onnx_runtime_equals_torch(bundle: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not in this environment")
    export_onnx(bundle)
    by_torch = Detector.load(bundle, score_threshold=0.0).detect(picture(), CAMERA)
    by_onnx = Detector.load(bundle, backend="onnx", score_threshold=0.0).detect(picture(), CAMERA)
    assert_same(by_torch, by_onnx)


@pytest.mark.slow
def test_detecting_needs_no_package_of_training(bundle: Path) -> None:
    code = (
        f"import sys; sys.modules['scipy'] = sys.modules['lightning'] = None\n"
        f"from mono3d_kd_core.deploy.detector import Detector; Detector.load({str(bundle)!r})"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
