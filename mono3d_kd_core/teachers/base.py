"""What a teacher is: it looks at a frame with its LiDAR points and says what is there, as richly as asked."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D


class Want(enum.Flag):
    """What to return beside the boxes, which always come. A teacher leaves out what it does not have."""

    BOXES = 0
    BEV_FEATURES = enum.auto()
    RESPONSES = enum.auto()
    DEPTH = enum.auto()


@dataclass(frozen=True)
class BevFeatures:
    """A feature map of the ground plane in the frame of the output's boxes.

    features (C,H,W) float32: rows run along +y from y_range[0], columns along +x from x_range[0]; the ranges, in metres,
    are those of the outer cell edges.
    """

    features: NDArray[np.float32]
    x_range: tuple[float, float]
    y_range: tuple[float, float]


@dataclass(frozen=True)
class Responses:
    """A teacher's dense answers before any choice among them, at P places (anchors, cells or keypoints).

    position (P,3) float32 metres, in the frame of the output's boxes; logits (P,K) float32 of the K classes as the network
    gives them (its own background included); codes (P,B,D) float32 box codes in the network's own coding, B = K where each
    class has one and 1 otherwise; direction (P,2) float32 logits of the heading bins, or None.
    """

    position: NDArray[np.float32]
    logits: NDArray[np.float32]
    codes: NDArray[np.float32]
    direction: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher saw in one frame.

    boxes are in "lidar" or "camera", with the teacher's own scores; depth (H,W) float32 is the depth along the optical
    axis in metres at the image's pixels, 0 where unknown. None: not asked for, or not something this teacher has.
    """

    boxes: Boxes3D
    bev: BevFeatures | None = None
    responses: Responses | None = None
    depth: NDArray[np.float32] | None = None


class Teacher(Protocol):
    """A detector whose answers a student learns from."""

    architecture: str
    """The name in the bundle's card."""
    classes: tuple[str, ...]
    """The labels that its boxes may carry."""
    fingerprint: str
    """Hash of weights and settings, 64 hexadecimal digits; set by `deploy.loading`, empty for untrained weights."""
    trusted_score: float
    """Score from which on its boxes are worth showing or learning: the card's, set by `deploy.loading`."""

    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        """Look at a frame. Raises DataError when it has no points; zero points give zero boxes."""
        ...
