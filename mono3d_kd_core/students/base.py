"""What every camera student is: images and cameras in, boxes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, nn

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix


@dataclass(frozen=True)
class Annotation:
    """What a student is taught about one image, by labels or by a teacher.

    boxes (N) in the frame "camera"; box2d (N,4) left, top, right, bottom in pixels; weight (N,) says how much each object
    counts (1 for a label); ignore (M,4) are image regions about which nothing is known (DontCare).
    """

    boxes: Boxes3D
    box2d: Matrix
    weight: Matrix = field(default_factory=lambda: np.empty(0))
    ignore: Matrix = field(default_factory=lambda: np.empty((0, 4)))

    def __post_init__(self) -> None:
        n = len(self.boxes)
        weight = np.ones(n) if np.size(self.weight) == 0 else np.asarray(self.weight, np.float64).reshape(n)
        object.__setattr__(self, "box2d", np.asarray(self.box2d, np.float64).reshape(n, 4))
        object.__setattr__(self, "weight", weight)
        object.__setattr__(self, "ignore", np.asarray(self.ignore, np.float64).reshape(-1, 4))


@dataclass(frozen=True)
class StudentOutput:
    """What a student's network says about a batch; each student adds its own responses.

    features {stride: (B,C,H/stride,W/stride)} are the backbone's maps at strides 4 to 32, for distillation.
    """

    features: dict[int, Tensor]


class Student(nn.Module, ABC):
    """A camera-only 3D detector.

    classes are the names it knows; input_size is the height and width it was made for (multiples of 32).
    """

    classes: tuple[str, ...]
    input_size: tuple[int, int]

    @abstractmethod
    def forward(self, images: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix] = ()) -> StudentOutput:
        """Run the network on images (B,3,H,W), uint8 RGB or the same range as float, taken by `cameras`.

        poses (4,4) say where the cameras are: T_camera_lidar as in training, or its like over the ground. A student that
        places things by the image alone takes no notice of them; one that needs them has a default.
        """

    def pose_over_ground(self, T_camera_ground: Matrix) -> Matrix | None:
        """Return the pose that `forward` wants of a camera whose place over the road is known; None where it wants none.

        T_camera_ground (4,4) is from any z-up frame whose z = 0 is the road.
        """
        return None

    @abstractmethod
    def decode(self, output: StudentOutput, cameras: Sequence[CameraModel]) -> list[Boxes3D]:
        """Return each image's boxes in the frame "camera", best first, scores in [0, 1]."""

    @abstractmethod
    def losses(
        self, output: StudentOutput, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]
    ) -> dict[str, Tensor]:
        """Return the named terms of the training loss, each already weighted; their sum is minimised."""
