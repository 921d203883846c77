"""The teacher's node with a teacher that needs no weights; run as a process by the tests, and read directly by them."""

from __future__ import annotations

import sys
import time

import numpy as np

from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.teachers.base import Responses, TeacherOutput, Want
from mono3d_kd_ros.node import process
from mono3d_kd_ros.settings import TeacherSettings
from mono3d_kd_ros.teacher.bundle import TeacherBundle
from mono3d_kd_ros.teacher_node import TeacherNode


class Puppet:
    """Takes the first points for cars, and their intensities for scores; a negative intensity makes it fail."""

    architecture = "puppet"
    classes = ("Car",)
    fingerprint = "0" * 64
    trusted_score = 0.0

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        """Return as many cars as the second of the image's stamp tells, up to three."""
        assert frame.points is not None
        time.sleep(self.seconds)
        chosen = frame.points[: int(frame.id) % 4].astype(np.float64)
        if (chosen[:, 3] < 0).any():
            raise DataError("the puppet was told to fail")
        count = len(chosen)
        size, label = np.tile([4.0, 1.8, 1.5], (count, 1)), np.full(count, "Car")
        boxes = Boxes3D(chosen[:, :3] * [8, 3, 1] + [25, 0, 0], size, chosen[:, 0], label, chosen[:, 3] % 1)
        if Want.RESPONSES not in want:
            return TeacherOutput(boxes)
        codes = frame.points[:, None, :]
        return TeacherOutput(boxes, responses=Responses(frame.points[:, :3], frame.points[:, :2], codes))


def load(settings: TeacherSettings) -> TeacherBundle:
    """Return a puppet as slow as the parameter `model` says in seconds, trained on sweeps of 64 beams."""
    return TeacherBundle(Puppet(float(settings.model or 0)), TrainedLidar(ground=-1.7, beams=64, reach=50.0, intensity=1.0))


if __name__ == "__main__":
    sys.exit(process.run(lambda: TeacherNode(load)))
