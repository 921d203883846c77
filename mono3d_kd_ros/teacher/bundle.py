"""The teacher that a bundle holds, and the sweeps it was trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.teachers.base import Teacher
from mono3d_kd_ros.settings import TeacherSettings

if TYPE_CHECKING:
    from mono3d_kd_core.deploy.trained_lidar import TrainedLidar


@dataclass(frozen=True)
class TeacherBundle:
    """A teacher ready to observe; `lidar` is None where its card does not tell what it was trained on."""

    teacher: Teacher
    lidar: TrainedLidar | None = None


def load_bundle(settings: TeacherSettings) -> TeacherBundle:
    """Load the bundle that the parameters name. Raises ModelError in words."""
    from mono3d_kd_core.deploy.bundle import read_card
    from mono3d_kd_core.deploy.loading import load_teacher

    if not settings.model:
        raise Mono3DError("the parameter `model` is empty; give the path of a teacher's bundle")
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)
    return TeacherBundle(load_teacher(settings.model, settings.device), read_card(settings.model).lidar)
