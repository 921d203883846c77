"""A student in training under a method of distillation. It knows the distiller's protocol and nothing of any one method."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.students.base import Student
from mono3d_kd_core.teachers.base import Teacher, TeacherOutput
from mono3d_kd_core.training.data import Batch
from mono3d_kd_core.training.lessons import Lesson, LessonBatch
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.recipe import ScheduleConfig


class DistillationModule(TrainingModule):
    """Trains a student by a distiller's terms with AdamW on one cycle, as CMKD does.

    The teacher is asked about every frame that has points and no stored answer; it stays as it is and is no part of the
    checkpoints.
    """

    def __init__(
        self, student: Student, distiller: Distiller, teacher: Teacher | None, schedule: ScheduleConfig
    ) -> None:
        super().__init__(student, schedule)
        self.distiller = distiller
        self._teacher = (teacher,)  # a tuple hides it from torch
        self.unseen = 0

    @property
    def teacher(self) -> Teacher | None:
        """Who is asked; None where answers are stored, or only labels teach."""
        return self._teacher[0]

    def on_fit_start(self) -> None:
        """Bring the teacher to the student's device."""
        teacher: object = self.teacher
        if isinstance(teacher, nn.Module):
            teacher.to(self.device).eval().requires_grad_(False)

    def on_train_epoch_start(self) -> None:
        """Let what is not taught rest."""
        for part in self.distiller.untaught:
            part.eval()

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Return the distiller's terms."""
        assert isinstance(batch, LessonBatch)
        output = self.student(batch.images, batch.cameras, batch.poses)
        return self.distiller.losses(output, [self.taught(lesson) for lesson in batch.lessons])

    def taught(self, lesson: Lesson) -> Taught:
        """Gather what is known of a frame."""
        answer = self.answer(lesson) if self.distiller.wants_teacher else None
        return known_of(lesson, self.distiller.wants_depth, answer)

    def answer(self, lesson: Lesson) -> TeacherOutput | None:
        """Return what the teacher says of a frame, from the store or by looking; None for a frame without points."""
        stored = lesson.stored(self.distiller.want)
        if stored is not None or self.teacher is None:
            return stored
        if lesson.points is None:
            self.unseen += 1
            return None
        with torch.autocast(self.device.type, enabled=False):
            return self.teacher.observe(lesson.frame(), self.distiller.want)

    def learned(self) -> list[nn.Parameter]:
        """The student, and what the distiller trains along."""
        return [*self.student.parameters(), *self.distiller.parameters()]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW on one cycle: up over 40 % of the steps from a tenth, down to a thousandth of that; momentum against it."""
        s = self.schedule
        optimiser = torch.optim.AdamW(self.learned(), s.learning_rate, betas=(0.9, 0.999), weight_decay=s.weight_decay)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, steps, pct_start=0.4, div_factor=10, final_div_factor=1000
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def known_of(lesson: Lesson, depth: bool, answer: TeacherOutput | None = None) -> Taught:
    """Gather what is known of a frame beside a teacher's answer; the sweep's depth where it is asked for."""
    annotation = lesson.annotation if lesson.labelled else None
    known = lesson.depth() if depth else None
    return Taught(answer, lesson.labels(), known, lesson.image, lesson.camera, annotation)
