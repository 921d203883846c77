"""Nodes that share a process work and end together."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from tests.conftest import REPOSITORY
from tests.ros.harness import Diagnostics, Peer


def test_two_nodes_in_one_process_have_their_own_parameters_and_names(peer: Peer, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "mono3d_kd_ros.composed", "--nodes", "trainer_node", "agreement_node", "--ros-args",
        "-p", "trainer_node:store:=somewhere", "-r", "agreement_node:student:=/other/detections",
    ]  # fmt: skip
    diagnostics = {name: Diagnostics(peer, f"/{name}") for name in ("trainer_node", "agreement_node")}
    with (tmp_path / "log.txt").open("wb") as log:
        environment = os.environ | {"ROS_LOG_DIR": str(tmp_path)}
        process = subprocess.Popen(command, cwd=REPOSITORY, stdout=log, stderr=log, env=environment)
        try:
            diagnostics["trainer_node"].next(lambda s: "the parameter `model` is empty" in s.message)
            diagnostics["agreement_node"].next(lambda s: Diagnostics.values(s)["lifecycle state"] == "active")
            assert peer.node.count_subscribers("/other/detections") == 1
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
    assert "Traceback" not in (tmp_path / "log.txt").read_text()


def test_an_unknown_node_is_told_with_the_known_ones(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mono3d_kd_ros.composed", "--nodes", "student"]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert result.returncode == 2
    assert "student_node" in result.stderr
