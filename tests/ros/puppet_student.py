"""The student's node with a detector that does what the image's first pixel says; run as a process by the tests."""

from __future__ import annotations

import sys
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix, inverse
from mono3d_kd_ros.node import process
from mono3d_kd_ros.settings import StudentSettings
from mono3d_kd_ros.student_node import StudentNode

RAISE, NOT_FINITE, NO_MEMORY, MANY = 1, 2, 3, 4
"""Faults that an image can ask for."""


class Puppet:
    """Finds as many cars as the red of the first pixel, takes ten times its green in ms, and has the fault of its blue.

    The cars are as far below the camera as the road is, where that is known.
    """

    def __init__(self, label: str = "Car") -> None:
        self.card = SimpleNamespace(architecture="puppet", classes=[label], score_threshold=0.1, weights_sha256="0" * 64)

    def over_ground(self, T_camera_ground: Matrix) -> Matrix | None:
        """Want to know it as it is."""
        return T_camera_ground

    def detect(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D:
        """Return cars one behind the other, ten metres apart, with falling scores."""
        count, delay, fault = (int(v) for v in image[0, 0])
        time.sleep(delay / 100)
        if fault == RAISE:
            raise RuntimeError("the puppet was told to fail")
        if fault == NO_MEMORY:
            raise MemoryError("the puppet was told to be greedy")
        if fault == MANY:
            count = 10_000
        centre = np.column_stack([10.0 * np.arange(1, count + 1), np.zeros(count), np.zeros(count)])
        if pose is not None:
            centre[:, 2] = -inverse(pose)[2, 3]
        if fault == NOT_FINITE:
            centre[0] = np.nan
        size, score = np.tile([4.0, 1.8, 1.5], (count, 1)), np.linspace(0.95, 0.5, count)
        label = np.full(count, self.card.classes[0])
        return Boxes3D(centre, size, np.zeros(count), label, score, np.full(count, 0.5), "camera")

    def check_camera(self, camera: CameraModel) -> list[str]:
        """Complain of a camera with a focal length of more than 100 pixels."""
        return ["the focal length is far from the one trained on"] if camera.intrinsics[0, 0] > 100 else []


def load(settings: StudentSettings) -> Any:
    """Return the puppet. The bundle "missing" is missing, and "vans" takes its time and finds vans."""
    if settings.model == "missing":
        raise ModelError("missing: no such folder")
    if settings.model == "vans":
        time.sleep(1)
        return Puppet("Van")
    return Puppet()


if __name__ == "__main__":
    sys.exit(process.run(lambda: StudentNode(load)))
