"""What methods with a privileged keypoint teacher share: the student learns its labels, and what such a teacher adds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.privileged import PrivilegedKeypoint, freeze, shown
from mono3d_kd_core.distillation.regions import Objects, objects_of
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation, StudentOutput
from mono3d_kd_core.students.keypoint import KeypointOutput, KeypointStudent
from mono3d_kd_core.students.keypoint_targets import KeypointTargets
from mono3d_kd_core.teachers.base import Want


@dataclass(frozen=True)
class Scene:
    """What is annotated in a batch: the objects, and what the heads should say."""

    cameras: list[CameraModel]
    objects: Objects
    targets: KeypointTargets


class PrivilegedDistiller(Distiller):
    """Labels teach every labelled frame; the teacher, those of them that have depth."""

    def __init__(self, student: KeypointStudent, teacher: PrivilegedKeypoint, depth: DepthSource) -> None:
        super().__init__()
        # In a tuple, so that neither is part of this module: it holds only what is trained beside the student.
        self._networks = (student, freeze(teacher))
        self.depth = depth

    @property
    def student(self) -> KeypointStudent:
        """Whom it teaches."""
        return self._networks[0]

    @property
    def teacher(self) -> PrivilegedKeypoint:
        """Who teaches; frozen."""
        return self._networks[1]

    @property
    def want(self) -> Want:
        """Nothing: the teacher is this distiller's own."""
        return Want.BOXES

    @property
    def wants_teacher(self) -> bool:
        """No LiDAR detector is asked."""
        return False

    @property
    def wants_depth(self) -> bool:
        """Whether the sweeps are needed."""
        return self.depth == "lidar"

    @abstractmethod
    def transfer(self, output: KeypointOutput, seen: KeypointOutput, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation of frames that the student and the teacher (`seen`) both looked at."""

    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Return the student's own terms, and those of `transfer`."""
        assert isinstance(output, KeypointOutput)
        labelled = [i for i, one in enumerate(taught) if one.annotation is not None and one.camera is not None]
        if not labelled:
            return {"nothing": output.neck.sum() * 0}
        own = self.student.losses(_select(output, labelled), *_known(taught, labelled))
        terms = {name: len(labelled) / len(taught) * value for name, value in own.items()}
        chosen, pictures = shown(taught, self.depth)
        if chosen:
            annotations, cameras = _known(taught, chosen)
            seen = self.look(torch.stack(pictures).to(output.neck.device), cameras)
            device = output.neck.device
            objects = objects_of(annotations, cameras, self.student.classes, device)
            scene = Scene(cameras, objects, self.student.targets(annotations, cameras).to(device))
            share = len(chosen) / len(taught)
            transferred = self.transfer(_select(output, chosen), seen, scene)
            terms |= {f"transfer_{name}": share * value for name, value in transferred.items()}
        return terms

    @torch.no_grad()
    def look(self, pictures: Tensor, cameras: Sequence[CameraModel]) -> KeypointOutput:
        """Return what the teacher sees in (B,4,H,W) pictures."""
        teacher = self.teacher.to(pictures.device)
        return teacher.forward(pictures.contiguous(memory_format=torch.channels_last), cameras)


def _known(taught: Sequence[Taught], chosen: Sequence[int]) -> tuple[list[Annotation], list[CameraModel]]:
    annotations = [one.annotation for i in chosen if (one := taught[i]).annotation is not None]
    cameras = [one.camera for i in chosen if (one := taught[i]).camera is not None]
    return annotations, cameras


def _select(output: KeypointOutput, chosen: Sequence[int]) -> KeypointOutput:
    index = list(chosen)
    features = {stride: level[index] for stride, level in output.features.items()}
    return KeypointOutput(features, output.neck[index], output.heatmap[index])
