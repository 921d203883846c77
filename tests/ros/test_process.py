"""A node's process obeys signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

NODE = """
import sys, time
from rclpy.node import Node
from mono3d_kd_ros.node import process

class Slow(Node):
    def __init__(self):
        super().__init__("slow")
    def start(self, finished):
        print("started", flush=True)
    def close(self):
        print("closing", flush=True)
        time.sleep(float(sys.argv[1]))
        return 0

sys.exit(process.run(Slow))
"""


def start(seconds_to_close: float, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", NODE, str(seconds_to_close)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=log.open("w"), text=True)
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


@pytest.mark.ros
def test_signals_that_come_together_are_one_wish(tmp_path: Path) -> None:
    with start(0.5, tmp_path / "log") as process:
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0


@pytest.mark.ros
def test_a_second_wish_ends_a_busy_node_at_once(tmp_path: Path) -> None:
    with start(100, tmp_path / "log") as process:
        process.send_signal(signal.SIGINT)
        assert process.stdout
        assert process.stdout.readline() == "closing\n"
        time.sleep(1.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
