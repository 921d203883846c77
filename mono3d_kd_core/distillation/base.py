"""What a distiller is: it compares a student's answers with what is known of the frames, and says how far they are apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from mono3d_kd_core.distillation.boxes2d import Boxes2D
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation, StudentOutput
from mono3d_kd_core.teachers.base import TeacherOutput, Want


@dataclass(frozen=True)
class Taught:
    """What is known of one frame in training. None: not known, or not asked for.

    teacher is a teacher's answer; labels are a person's boxes, frame "lidar"; depth (H,W) metres at the pixels of the
    student's input, 0 where unknown; image (H,W,3) uint8 RGB is that input, camera took it; annotation is what may be
    taught about it in its own frame; boxes2d is what is known of objects that nobody placed in space.
    """

    teacher: TeacherOutput | None = None
    labels: Boxes3D | None = None
    depth: NDArray[np.float32] | None = None
    image: NDArray[np.uint8] | None = None
    camera: CameraModel | None = None
    annotation: Annotation | None = None
    boxes2d: Boxes2D | None = None


class Distiller(nn.Module, ABC):
    """A method of distillation. It may own modules that are trained with the student; they never reach a bundle."""

    @property
    def want(self) -> Want:
        """What to ask a LiDAR detector for beside its boxes; nothing, unless a method says so."""
        return Want.BOXES

    @property
    def wants_teacher(self) -> bool:
        """Whether a LiDAR detector is needed at all; not, where the teacher is the distiller's own."""
        return False

    @property
    def untaught(self) -> Sequence[nn.Module]:
        """Parts of the student that no term reaches; they stay in evaluation mode."""
        return ()

    @property
    @abstractmethod
    def wants_depth(self) -> bool:
        """Whether depth maps are needed."""

    @abstractmethod
    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Return the named terms of the loss, each already weighted; their sum is minimised.

        Frames of which nothing is known that a term needs do not count in it. Raises ModelError when a teacher's answers
        do not fit the student.
        """
