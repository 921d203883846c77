"""Online distillation as processes: a better bundle takes over in the student's node, a worse one never does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore
from tests.ros.harness import CAMERA, SECOND, Diagnostics, Peer, node_process
from tests.ros.puppet_teacher import Puppet

FRESH = 5


def grow(store: TargetStore, first: int, last: int) -> None:
    """Store frames as a teacher's node does."""
    picture, points = np.zeros((CAMERA.height, CAMERA.width, 3), np.uint8), np.full((4, 4), 0.5, np.float32)
    teacher = Puppet()
    for number in range(first, last):
        rig = Rig(CAMERA, T_CAMERA_BODY, "camera_optical", "lidar")
        frame = SensorFrame(f"{number:06d}", (100 + number) * SECOND, picture, points, rig)
        store.write(frame, teacher.observe(frame))


def test_only_a_better_bundle_takes_over_and_a_failed_round_is_told(peer: Peer, tmp_path: Path) -> None:
    folder = tmp_path / "targets"
    given = {"store": folder, "model": "start", "out": tmp_path / "rounds", "fresh": FRESH, "niceness": 0}
    with (
        TargetStore(folder, Provenance.of(Puppet(), TargetSettings(responses=False))) as store,
        node_process("tests.ros.puppet_student", {"model": "start"}, {}, tmp_path / "student.txt"),
        node_process("tests.ros.puppet_round", given, {}, tmp_path / "trainer.txt"),
    ):
        student, trainer = Diagnostics(peer, "/student_node"), Diagnostics(peer, "/trainer_node")
        student.next(lambda s: Diagnostics.values(s).get("model") == "start")
        grow(store, 0, 5)  # five frames of the first block: all to learn from
        status = trainer.next(lambda s: Diagnostics.values(s)["taken over"] == "1")
        assert "F1 0.50 before, 0.90 after" in Diagnostics.values(status)["last round"]
        student.next(lambda s: Diagnostics.values(s)["model"] == "vans")

        grow(store, 10, 15)
        status = trainer.next(lambda s: "not better, left out" in Diagnostics.values(s)["last round"])
        grow(store, 20, 25)
        status = trainer.next(lambda s: "round 3 failed: the puppet was told to fail" in s.message)
        values = Diagnostics.values(status)
        assert (values["rounds"], values["taken over"], values["bundle in use"]) == ("3", "1", "vans")
        assert Diagnostics.values(student.next())["models replaced"] == "1"
