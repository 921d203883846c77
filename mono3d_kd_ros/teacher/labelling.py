"""What a teacher says of a frame: read from the store where it is there, else asked for and stored."""

from __future__ import annotations

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.targets import Provenance, TargetSettings, TargetStore
from mono3d_kd_core.teachers.base import Teacher, TeacherOutput
from mono3d_kd_ros.node.frame_node import Refused
from mono3d_kd_ros.node.managed_node import describe
from mono3d_kd_ros.settings import KEEP_ALL, TeacherSettings


class Labelling:
    """A teacher, what is kept of its answers, and the store they go to, if there is one.

    Raises DataError in words for a store of another teacher or of other settings.
    """

    def __init__(self, teacher: Teacher, settings: TeacherSettings) -> None:
        least = settings.min_score if settings.min_score > KEEP_ALL else None
        self._keep = TargetSettings(
            min_score=least, responses=settings.responses, bev=settings.bev, depth=settings.depth
        )
        self._teacher = teacher
        self._store = TargetStore(settings.out, Provenance.of(teacher, self._keep)) if settings.out else None

    @property
    def model(self) -> dict[str, str]:
        """Which teacher it is, for the diagnostics."""
        return {"model hash": self._teacher.fingerprint, "architecture": self._teacher.architecture}

    @property
    def next_number(self) -> int:
        """The number after the last frame stored."""
        stored = self._store.ids if self._store is not None else []
        return int(stored[-1]) + 1 if stored else 0

    def stored(self, frame: SensorFrame) -> Boxes3D | None:
        """Return the boxes of a frame that is stored already; raise Refused where it was made of something else."""
        if self._store is None or not self._store.has(frame.id):
            return None
        try:
            self._store.check_input(frame)
            return self._store.read(frame.id).boxes
        except DataError as error:
            raise Refused("other_recording", str(error)) from error

    def label(self, frame: SensorFrame) -> Boxes3D:
        """Ask the teacher, store what it says, and return the boxes in "camera"; raise Refused where that cannot be."""
        output = self._observe(frame)
        try:
            if self._store is not None:
                self._store.write(frame, output)
        except DataError as error:
            raise Refused("not_stored", str(error)) from error
        boxes = frame.rig.boxes_in_camera(output.boxes)
        return boxes if self._keep.min_score is None else boxes[boxes.score >= self._keep.min_score]

    def _observe(self, frame: SensorFrame) -> TeacherOutput:
        try:
            return self._teacher.observe(frame, self._keep.want)
        except DataError as error:
            raise Refused("teacher_refused", str(error)) from error
        except Exception as error:
            raise Refused("teacher_error", describe(error)) from error

    def close(self) -> None:
        """Finish the store."""
        if self._store is not None:
            self._store.write_index()
            self._store.close()
            self._store = None
