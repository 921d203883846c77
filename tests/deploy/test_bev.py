"""A bird's-eye student in a bundle: the student alone, any camera, its pose from the road or from training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.deploy.detector import Detector
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import inverse, rotation_z, transform
from mono3d_kd_core.students.bev.student import BevStudent
from tests.students.bev.test_student import CAMERA, SMALL


@pytest.fixture(scope="module")
def student() -> BevStudent:
    torch.manual_seed(3)
    student = BevStudent(SMALL.model_copy(update={"score_threshold": 0.0})).eval()
    torch.nn.init.normal_(student.dense_head.conv_cls.weight, std=0.5)
    return student


@pytest.fixture(scope="module")
def detector(student: BevStudent, tmp_path_factory: pytest.TempPathFactory) -> Detector:
    card = Card(
        kind="student", architecture="bev", config=student.config.model_dump(mode="json"), classes=list(student.classes)
    )
    save_bundle(tmp_path_factory.mktemp("bev") / "bundle", card, student.state_dict())
    return Detector.load(tmp_path_factory.getbasetemp() / "bev0" / "bundle", score_threshold=0.0)


PICTURE = np.random.default_rng(0).integers(0, 255, (32, 96, 3), np.uint8)


def same(a: Boxes3D, b: Boxes3D) -> bool:
    return len(a) == len(b) and np.allclose(a.centre, b.centre, atol=1e-3) and np.allclose(a.score, b.score, atol=1e-4)


def test_it_finds_what_the_network_finds(detector: Detector, student: BevStudent) -> None:
    images = torch.from_numpy(PICTURE).permute(2, 0, 1)[None]
    with torch.inference_mode():
        (expected,) = student.decode(student(images, [CAMERA]), [CAMERA])
    found = detector.detect(PICTURE, CAMERA)
    assert len(found) > 5
    best = expected[: len(found)]
    assert np.isclose(found.score[0], best.score[0], atol=1e-4)
    np.testing.assert_allclose(found.centre[0], best.centre[0], atol=1e-3)


def test_a_camera_without_a_pose_is_where_it_was_in_training(detector: Detector, student: BevStudent) -> None:
    alone = detector.detect(PICTURE, CAMERA)
    assert same(alone, detector.detect(PICTURE, CAMERA, student.trained_pose))
    T_map_lidar = transform(rotation_z(1.0), [50.0, 8.0, 1.73])
    assert same(
        alone, detector.detect(PICTURE, CAMERA, detector.over_ground(student.trained_pose @ inverse(T_map_lidar)))
    )


def test_another_height_gives_another_answer(detector: Detector, student: BevStudent) -> None:
    higher = student.trained_pose @ transform(np.eye(3), [0, 0, 0.5])
    assert not same(detector.detect(PICTURE, CAMERA), detector.detect(PICTURE, CAMERA, higher))
