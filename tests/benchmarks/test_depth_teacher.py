"""What teachers that see depth find is written as any detector's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.distillation.depth_teacher import load, observe
from mono3d_kd_core.deploy.bundle import Card, save_bundle
from mono3d_kd_core.distillation.privileged import DepthAidedKeypoint
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.resources import resource
from tests.distillation.privileged import TINY
from tests.training.conftest import write_world


def test_a_teacher_answers_every_frame(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, frames = DepthAidedKeypoint(TINY), write_world(tmp_path / "frames", 3)
    card = Card(
        kind="teacher", architecture=network.architecture, config=TINY.model_dump(mode="json"), classes=list(TINY.classes)
    )
    teacher = load(save_bundle(tmp_path / "teacher", card, network.state_dict()).path)
    observe(teacher, frames, tmp_path / "found", "objects")
    written = sorted((tmp_path / "found").iterdir())
    assert [path.name for path in written] == ["000000.txt", "000001.txt", "000002.txt"]
    scores = KittiLabels.read(written[0]).score
    assert scores is not None
    assert 0 < len(scores) <= 100
    with pytest.raises(DataError, match="has no LiDAR points"):
        observe(teacher, frames, tmp_path / "by sweeps", "lidar")


def test_a_student_is_refused() -> None:
    with pytest.raises(ModelError, match="holds a keypoint, which sees no depth"):
        load(resource("config/models/keypoint_sim"))
