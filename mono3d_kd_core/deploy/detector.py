"""A bundle as a detector: an image and its camera in, boxes out. The only thing a node needs to know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from mono3d_kd_core.deploy.backends import Backend, OnnxBackend, TorchBackend
from mono3d_kd_core.deploy.bundle import Card, TrainedCamera, load_bundle
from mono3d_kd_core.deploy.loading import build_student
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.overlap import nms_bev
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.students.peaks import PeakStudent

BackendName = Literal["torch", "onnx"]
OVERLAP = 0.2
"""Two footprints that share more than this are one object: solid things do not stand in each other."""
FAR_FROM_TRAINED = 0.1


@dataclass(frozen=True)
class Detector:
    """Detects objects in single images of any resolution and intrinsics.

    card is the bundle's; scores below score_threshold and boxes beyond the max_detections best are left out.
    """

    card: Card
    backend: Backend
    input_size: tuple[int, int]
    score_threshold: float
    max_detections: int

    @classmethod
    def load(
        cls, bundle: str | Path, backend: BackendName = "torch", score_threshold: float | None = None,
        max_detections: int = 50, device: str = "cpu", threads: int | None = None,
    ) -> Detector:  # fmt: skip
        """Load a student's bundle, run it once to warm up, and return it. Raises ModelError in words.

        score_threshold defaults to the card's; `threads` limits the cores that the network uses.
        """
        model = load_bundle(bundle)
        student = build_student(model, device)
        if threads is not None and backend == "torch":
            torch.set_num_threads(threads)
        runner: Backend
        if backend == "torch":
            runner = TorchBackend(student, device)
        elif backend == "onnx":
            if not isinstance(student, PeakStudent):
                raise ModelError(f"{bundle}: the onnx backend knows the keypoint and the query student only")
            runner = OnnxBackend(model.path / "model.onnx", student, model.hash, threads)
        else:
            raise ModelError(f"unknown backend {backend}; known are torch, onnx")
        threshold = model.card.score_threshold if score_threshold is None else score_threshold
        detector = cls(model.card, runner, student.input_size, threshold, max_detections)
        detector.warm_up()
        return detector

    @property
    def classes(self) -> tuple[str, ...]:
        """The class names that detections may have."""
        return tuple(self.card.classes)

    def warm_up(self) -> None:
        """Run once on a grey image, so that the first real one is not late."""
        height, width = self.input_size
        camera = CameraModel.pinhole(width, height, width, width, width / 2, height / 2)
        self.detect(np.full((height, width, 3), 128, np.uint8), camera)

    def over_ground(self, T_camera_ground: Matrix) -> Matrix | None:
        """Return what `detect` wants to know of a camera's pose: T_camera_ground (4,4) is from a z-up frame on the road."""
        return self.backend.student.pose_over_ground(T_camera_ground)

    def detect(self, image: NDArray[np.uint8], camera: CameraModel, pose: Matrix | None = None) -> Boxes3D:
        """Return what is in an (H,W,3) uint8 RGB image taken by `camera`, best first, in the frame "camera".

        pose is T_camera_lidar (4,4) of the teacher's LiDAR, or `over_ground`; without it a student that needs one supposes
        that of its training.
        Scores are in [0, 1], depth_std in metres. Raises DataError when the image is not what the camera describes,
        ModelError when the network's output is not finite.
        """
        if image.dtype != np.uint8 or image.shape != (camera.height, camera.width, 3):
            raise DataError(
                f"the image is {image.shape} {image.dtype}, but its camera is "
                f"{camera.width}x{camera.height}: expected ({camera.height}, {camera.width}, 3) uint8 RGB"
            )
        letterbox = Letterbox.fit(camera.width, camera.height, self.input_size)
        boxes = self.backend(letterbox.image(image), letterbox.camera(camera), pose)
        boxes = boxes[boxes.score >= self.score_threshold]
        return boxes[nms_bev(boxes.bev(), boxes.score, OVERLAP, limit=self.max_detections)]

    def check_camera(self, camera: CameraModel) -> list[str]:
        """Say in sentences how far a camera is from the one trained on; an empty list when it is near.

        Depth is read off apparent size at a known focal length, so a camera that differs is corrected for; but things
        then have sizes, shapes and places in the image that the network has not seen.
        """
        trained = self.card.camera
        if trained is None:
            return []
        letterbox = Letterbox.fit(camera.width, camera.height, self.input_size)
        here = TrainedCamera.of(camera.resized(letterbox.width, letterbox.height))
        return [
            f"{what} is {value:.{digits}f}{unit}, trained was {known:.{digits}f}{unit}: {consequence}"
            for what, value, known, digits, unit, consequence in (
                ("the focal length in network pixels", here.fx, trained.fx, 0, "", "expect worse distances"),
                ("the image's width over height", _aspect(here), _aspect(trained), 2, "", "much of the input is padding"),
                ("the horizontal field of view", _field(here), _field(trained), 0, "°", "expect misses"),
                ("the pixels' aspect fx/fy", here.fx / here.fy, trained.fx / trained.fy, 2, "", "expect wrong sizes"),
            )
            if abs(value / known - 1) > FAR_FROM_TRAINED
        ]


def _aspect(camera: TrainedCamera) -> float:
    return camera.width / camera.height


def _field(camera: TrainedCamera) -> float:
    """Horizontal field of view in degrees."""
    return float(np.degrees(2 * np.arctan(camera.width / 2 / camera.fx)))
