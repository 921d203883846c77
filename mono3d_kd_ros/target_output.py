"""Where the teacher's node keeps what the teacher says: the target store of the core."""

from __future__ import annotations

from typing import Protocol

from mono3d_kd_core.errors import Mono3DError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.teachers.base import Teacher, TeacherOutput
from mono3d_kd_ros.settings import TeacherSettings


class Targets(Protocol):
    """Where the teacher's answers are kept."""

    def has(self, frame_id: str) -> bool:
        """Tell whether a frame is there already."""
        ...

    def write(self, frame: SensorFrame, output: TeacherOutput) -> None:
        """Keep what the teacher said of a frame."""
        ...


def open_targets(settings: TeacherSettings, teacher: Teacher) -> tuple[Targets | None, int]:
    """Open the store that the parameters name, None without one; and the first number that is free in it.

    Raises DataError when the folder holds targets of another teacher.
    """
    if not settings.out:
        return None, 0
    raise Mono3DError("the parameter `out`: this version cannot store targets yet; leave it empty")
