"""The demo on a small bag: every image is answered or accounted for, and what was published is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not in this environment")

from rosbags.rosbag2 import Reader

from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, transform
from mono3d_kd_core.io.bag_writer import BagWriter
from mono3d_kd_core.io.typestore import ros2_types
from tests.conftest import REPOSITORY

FRAMES, START, STEP = 6, 2_000_000_000_000, 100_000_000


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bags") / "drive"
    draw = np.random.default_rng(1)
    mounting = transform(T_CAMERA_BODY[:3, :3], [0.1, -0.2, -0.3])
    rig = Rig(CameraModel.pinhole(160, 48, 93.0, 93.0, 78.5, 22.0), mounting, "camera_optical", "lidar")
    with BagWriter(path) as writer:
        for number in range(FRAMES):
            picture = draw.integers(0, 255, (48, 160, 3), np.uint8)
            points = draw.uniform(0, 1, (40, 4)).astype(np.float32)
            writer.write_frame(SensorFrame(f"{number:06d}", START + number * STEP, picture, points, rig))
    return path


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "mono3d_kd_ros.demo", *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=100)


def test_every_image_is_answered_and_what_was_published_is_kept(bag: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = demo("--drive", bag, "--out", out)
    assert run.returncode == 0, run.stdout + run.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["frames_in"] == FRAMES
    assert summary["arrays_out"] + sum(summary["dropped"].values()) == FRAMES
    assert 0 < summary["latency_ms"]["p50"] <= summary["latency_ms"]["p95"]
    assert cv2.imread(str(out / "overlay.png")) is not None
    assert (out / "overlay.mp4").stat().st_size > 0

    types = ros2_types()
    with Reader(out / "detections") as reader:
        kept = [c for c in reader.connections if c.msgtype == "vision_msgs/msg/Detection3DArray"]
        arrays = [types.deserialize_cdr(raw, c.msgtype) for c, _, raw in reader.messages(connections=kept)]
    stamps = [array.header.stamp.sec * 10**9 + array.header.stamp.nanosec for array in arrays]
    assert len(stamps) == summary["arrays_out"]
    assert set(stamps) <= {START + number * STEP for number in range(FRAMES)}


def test_what_is_no_drive_is_refused_in_words(tmp_path: Path) -> None:
    run = demo("--drive", tmp_path / "nothing", "--out", tmp_path / "out")
    assert run.returncode == 2
    assert "no such drive" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
