"""Online distillation end to end, with real networks: on a drive it knows ill, the student comes nearer its teacher."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from mono3d_kd_core.deploy.bundle import read_card
from mono3d_kd_core.io.bag_writer import TOPICS
from mono3d_kd_core.resources import resource
from mono3d_kd_core.simulation.output.record import Recording
from mono3d_kd_core.simulation.output.write_bag import write_bag
from mono3d_kd_core.simulation.rig import SimulatedRig
from mono3d_kd_core.training.online.round import read_verdict
from tests.ros.harness import Diagnostics, Peer, node_process

FRAMES, SEED = 120, 5
WINDOW = 50
"""Frames that an agreement is of: the drive begins anew, and the window with it, before many more are paired."""
STUDENT, TEACHER = resource("config/models/keypoint_sim"), resource("config/models/pointpillars_sim")


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """A drive of a van, whose camera looks down from a metre higher than the shipped student has learned."""
    rig = SimulatedRig.read(resource("config/rigs/sim_van.yaml"))
    write_bag(Recording(FRAMES, SEED, rig, drive=True), tmp_path / "drive", workers=2)
    return tmp_path / "drive"


def agreement(values: Mapping[str, str]) -> dict[str, float]:
    """Return the shares of cars that student and teacher agree upon, and their harmonic mean."""
    found = re.match(r"recall ([\d.]+) of \d+, precision ([\d.]+) of", values["Car everywhere"])
    assert found is not None
    recall, precision = float(found[1]), float(found[2])
    return {"recall": recall, "precision": precision, "f1": 2 * recall * precision / max(recall + precision, 1e-9)}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_student_comes_nearer_its_teacher_while_a_drive_is_replayed(peer: Peer, drive: Path, tmp_path: Path) -> None:
    camera = {"image": TOPICS.image, "camera_info": TOPICS.camera_info}
    reliable = {f"qos_overrides.{topic}.subscription.reliability": "reliable" for topic in camera.values()}
    store, rounds = tmp_path / "targets", tmp_path / "rounds"
    teaching = {"model": TEACHER, "out": store, "bag": drive, "mode": "lossless", "queue": 3}
    teaching |= {"threads": 1, "min_score": read_card(TEACHER).score_threshold}
    learning = {"store": store, "model": STUDENT, "out": rounds, "fresh": 60, "learning_rate": 5e-4}
    heard = {"student": "/student_node/detections", "teacher": "/teacher_node/detections"}
    waiting = f"['{TOPICS.image}', '{TOPICS.points}', '{TOPICS.camera_info}']"
    playing = {"bag": drive, "wait_for_subscribers": waiting, "least_subscribers": 1, "reliable": True, "loop": True}
    student, trainer, both = (Diagnostics(peer, f"/{name}_node") for name in ("student", "trainer", "agreement"))

    def full(status: Any) -> bool:
        return int(Diagnostics.values(status).get("frames in the window", 0)) >= WINDOW

    def log(name: str) -> Path:
        return tmp_path / f"{name}.txt"

    with (
        node_process("mono3d_kd_ros.student_node", {"model": STUDENT, "threads": 1} | reliable, camera, log("student")),
        node_process("mono3d_kd_ros.agreement_node", {"window": WINDOW}, heard, log("agreement")),
    ):
        student.next(lambda s: "no image on" in s.message)
        with (
            node_process("mono3d_kd_ros.teacher_node", teaching, camera | {"points": TOPICS.points}, log("teacher")),
            node_process("mono3d_kd_ros.bag_player", playing, {}, log("player")),
        ):
            before = agreement(Diagnostics.values(both.next(full, timeout=600)))
            with node_process("mono3d_kd_ros.trainer_node", learning, {}, log("trainer")):
                trainer.next(lambda s: Diagnostics.values(s)["last round"] != "none", timeout=2400)
                verdict = read_verdict(rounds / "round_0001")
                trainer.next(lambda s: Diagnostics.values(s)["taken over"] == "1")
            both.next(lambda s: not full(s), timeout=120)  # the drive begins anew, with the window
            after = agreement(Diagnostics.values(both.next(full, timeout=600)))
        account = Diagnostics.values(student.next())
    print(f"held back: F1 {verdict.before.f1:.2f} -> {verdict.after.f1:.2f}, {verdict.objects} cars and others")
    print(f"agreement: {before} -> {after}")
    print({name: value for name, value in account.items() if name.startswith(("frames", "images", "dropped", "model"))})

    assert account["model"] == verdict.bundle
    assert account["models replaced"] == "1"
    # No frame was lost, also while the models changed: each was answered, or made way for a newer one.
    assert account["images lost on the way"] == "0"
    drops = {name.removeprefix("dropped: "): int(count) for name, count in account.items() if name.startswith("dropped: ")}
    assert drops.keys() <= {"busy", "nobody_listens"}
    in_work = int(account["frames received"]) - int(account["frames published"]) - sum(drops.values())
    assert 0 <= in_work <= 2
    assert verdict.better
    assert after["f1"] > before["f1"]
