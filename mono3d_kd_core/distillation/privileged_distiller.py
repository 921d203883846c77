"""What methods with a privileged teacher share: the student learns its labels, and what its like that sees depth adds."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor

from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.privileged import freeze, shown
from mono3d_kd_core.distillation.regions import Objects, objects_of
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.base import Annotation, Student, StudentOutput
from mono3d_kd_core.students.bev.student import BevOutput
from mono3d_kd_core.students.keypoint import KeypointOutput
from mono3d_kd_core.students.query.student import QueryOutput

Host = TypeVar("Host", bound=Student)
Output = TypeVar("Output", bound=KeypointOutput | QueryOutput | BevOutput)
"""What a host says of a batch."""


@dataclass(frozen=True)
class Scene:
    """What is annotated in a batch, and its objects."""

    annotations: list[Annotation]
    cameras: list[CameraModel]
    objects: Objects


class PrivilegedDistiller(Distiller, Generic[Host, Output]):
    """Labels teach every labelled frame; the teacher, those of them that have depth."""

    def __init__(self, student: Host, teacher: Host, depth: DepthSource) -> None:
        super().__init__()
        # In a tuple, so that neither is part of this module: it holds only what is trained beside the student.
        self._networks: tuple[Host, Host] = (student, freeze(teacher))
        self.depth = depth

    @property
    def student(self) -> Host:
        """Whom it teaches."""
        return self._networks[0]

    @property
    def teacher(self) -> Host:
        """Who teaches; frozen."""
        return self._networks[1]

    @property
    def wants_depth(self) -> bool:
        """Whether the sweeps are needed."""
        return self.depth == "lidar"

    @abstractmethod
    def transfer(self, output: Output, seen: Output, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation of frames that the student and the teacher (`seen`) both looked at."""

    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Return the student's own terms, and those of `transfer`."""
        said = cast("Output", output)
        labelled = [i for i, one in enumerate(taught) if one.annotation is not None and one.camera is not None]
        if not labelled:
            return {"nothing": torch.stack([level.sum() for level in said.features.values()]).sum() * 0}
        own = self.student.losses(said.of(labelled), *_known(taught, labelled))
        terms = {name: len(labelled) / len(taught) * value for name, value in own.items()}
        chosen, pictures = shown(taught, self.depth)
        if chosen:
            annotations, cameras = _known(taught, chosen)
            device = said.features[4].device
            mine = cast("Output", said.of(chosen))
            seen = self.look(torch.stack(pictures).to(device), cameras, self.poses(mine))
            scene = Scene(annotations, cameras, objects_of(annotations, cameras, self.student.classes, device))
            share = len(chosen) / len(taught)
            transferred = self.transfer(mine, seen, scene)
            terms |= {f"transfer_{name}": share * value for name, value in transferred.items()}
        return terms

    @torch.no_grad()
    def look(self, pictures: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix] = ()) -> Output:
        """Return what the teacher sees in (B,4,H,W) pictures."""
        teacher = self.teacher.to(pictures.device)
        shown = pictures.contiguous(memory_format=torch.channels_last)
        return cast("Output", teacher.forward(shown, cameras, poses))

    def poses(self, output: Output) -> Sequence[Matrix]:
        """Return the poses that the student had, for the teacher; none where a host needs none."""
        return ()


def _known(taught: Sequence[Taught], chosen: Sequence[int]) -> tuple[list[Annotation], list[CameraModel]]:
    annotations = [one.annotation for i in chosen if (one := taught[i]).annotation is not None]
    cameras = [one.camera for i in chosen if (one := taught[i]).camera is not None]
    return annotations, cameras
