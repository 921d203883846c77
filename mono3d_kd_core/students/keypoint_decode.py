"""From the keypoint student's heads to boxes in metres."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply, inverse
from mono3d_kd_core.heads.keypoint import HEADING_BINS
from mono3d_kd_core.students.keypoint_losses import LOG_STD_RANGE
from mono3d_kd_core.students.keypoint_targets import STRIDE, network_focal


class ScoreCalibration(BaseModel):
    """Platt scaling of the score: sigmoid(scale * logit(raw) + shift), fitted on frames kept out of training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: float = Field(default=1.0, gt=0)
    shift: float = 0.0

    def __call__(self, raw: Matrix) -> Matrix:
        """Map raw scores in [0, 1] to calibrated ones; the order is kept."""
        clipped = np.clip(raw, 1e-6, 1 - 1e-6)
        return np.asarray(1 / (1 + np.exp(-self.scale * np.log(clipped / (1 - clipped)) - self.shift)))


@dataclass(frozen=True)
class Detections2D:
    """What the network says of one image, as arrays over its K peaks.

    score (K,) heatmap probability; label (K,) class index; cell (K,2) column, row at stride 4; depth (K,) metres at the
    reference focal length and log_std (K,) its log standard deviation; offset3d (K,2) cells; size (K,3) length, width,
    height in metres; heading (K,24).
    """

    score: Matrix
    label: NDArray[np.int64]
    cell: Matrix
    depth: Matrix
    log_std: Matrix
    offset3d: Matrix
    size: Matrix
    heading: Matrix


@dataclass(frozen=True)
class BoxDecoder:
    """Places a network's peaks into the space before any camera.

    reference_focal (pixels) is the focal length at which the network speaks of depth; tolerance (metres) is how wrong a
    depth may be for the box to count as found.
    """

    classes: tuple[str, ...]
    reference_focal: float
    tolerance: float
    calibration: ScoreCalibration

    def __call__(self, seen: Detections2D, camera: CameraModel) -> Boxes3D:
        """Return the boxes in the frame "camera", best first; peaks that no ray of the camera meets are left out.

        The score is the heatmap's probability times the probability 1 - exp(-sqrt(2) tolerance / std) that the Laplacian
        depth is right to within the tolerance; so it is in [0, 1] for any predicted uncertainty, where the published
        e^-s is not. depth_std is that of the range along the ray. Raises ModelError when the network said NaN or infinity.
        """
        for name, column in vars(seen).items():
            if not np.isfinite(column).all():
                raise ModelError(f"the network's output ({name}) is not finite: its weights are damaged or diverged")
        stretch = network_focal(camera) / self.reference_focal
        depth = seen.depth * stretch
        std = np.exp(np.clip(seen.log_std, *LOG_STD_RANGE)) * stretch
        pixel = (seen.cell + seen.offset3d) * STRIDE
        points = camera.unproject(pixel, depth)
        along_ray = np.linalg.norm(camera.rays(pixel), axis=1)
        score = self.calibration(seen.score * (1 - np.exp(-math.sqrt(2) * self.tolerance / std)))
        alpha = heading_angle(seen.heading)
        rotation_y = alpha + np.arctan2(points[:, 0], points[:, 2])
        boxes = Boxes3D(
            apply(inverse(T_CAMERA_BODY), points), np.maximum(seen.size, 0.1), -rotation_y - np.pi / 2,
            np.array(self.classes, np.str_)[seen.label], score, std * along_ray, "camera",
        )  # fmt: skip
        order = np.argsort(-score, kind="stable")
        return boxes[order[np.isfinite(boxes.centre[order]).all(1)]]


def heading_angle(heading: Matrix) -> Matrix:
    """Return the angles (N,) of (N,24) heading outputs: the strongest bin's centre plus its residual."""
    bins, residuals = heading[:, :HEADING_BINS], heading[:, HEADING_BINS:]
    best = bins.argmax(1)
    return np.asarray(best * (2 * np.pi / HEADING_BINS) + residuals[np.arange(len(best)), best])
