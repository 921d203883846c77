"""SKD-WM3D's training: one run, from pictures with 2D boxes and depth maps to a student's bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.skd_wm3d import SkdWm3d
from mono3d_kd_core.students.keypoint import KeypointStudent
from mono3d_kd_core.students.peaks import PeakStudent
from mono3d_kd_core.training.data import Batch, RecipeData
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lesson, collate_lessons
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.privileged.run import PrivilegedModule
from mono3d_kd_core.training.run import Run, files_hash, progress
from mono3d_kd_core.training.weak.lessons import WeakLesson, WeakLessons
from mono3d_kd_core.training.weak.recipe import SkdRecipe, WeakSourceConfig
from mono3d_kd_core.training.weak.sources import boxes_of


@dataclass(frozen=True)
class WeakRun(Run):
    """A run whose data are bags, drives or folders with 2D boxes; val, if any, has labels in space, to measure with."""

    recipe: SkdRecipe

    @classmethod
    def of(cls, recipe: SkdRecipe, data: Sequence[Path], val: Sequence[Path], out: Path, licence: str = "") -> WeakRun:
        """Return the run on `data`, or on the recipe's own sources."""
        return cls(recipe, tuple(data) or tuple(source.path for source in recipe.sources), val, out, licence)

    @property
    def sources(self) -> list[WeakSourceConfig]:
        """The recipe's sources, those of `data` where it names others."""
        known = {source.path: source for source in self.recipe.sources}
        return [known.get(path, WeakSourceConfig(path=path)) for path in self.data]

    def _data(self, quiet: bool) -> RecipeData:
        labelled = [open_labelled(path) for path in self.val]
        guard = Guard.of(labelled, progress(quiet))
        train = WeakLessons(self.sources, self.recipe, guard, self.out / "depth")
        val = Examples(labelled, train.classes, train.size, self.recipe.data) if labelled else None
        return RecipeData(self.recipe, train, val, self.out / "cache", progress(quiet), collate_lessons)

    def _module(self, student: PeakStudent) -> TrainingModule:
        assert isinstance(student, KeypointStudent)
        return WeakModule(student, SkdWm3d(student, self.recipe.teach), None, self.recipe.schedule)

    def _origin(self) -> dict[str, str]:
        folders = [boxes_of(source, self.recipe) for source in self.sources]
        depth = self.recipe.depth.source if self.recipe.teach.wants_depth else "none"
        return {"method": self.recipe.architecture, "labels_sha256": files_hash(folders), "depth": depth}


class WeakModule(PrivilegedModule):
    """Tells the distiller how far the training is, and shows it 2D boxes instead of labels."""

    distiller: SkdWm3d

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tell the distiller; log how open the student's way back to the self-teacher is."""
        self.distiller.progress = self.global_step / max(1, int(self.trainer.estimated_stepping_batches))
        if self.distiller.weights.self_teacher:
            size = len(batch.ids)
            self.log("modulation/gate", self.distiller.gate(), batch_size=size)
            self.log("modulation/ratio", self.distiller.modulation.ratio, batch_size=size)

    def taught(self, lesson: Lesson) -> Taught:
        """Gather what is known of a frame: 2D boxes, and depth where it is looked at."""
        assert isinstance(lesson, WeakLesson)
        depth = lesson.prior() if self.distiller.wants_depth else None
        return Taught(depth=depth, image=lesson.image, camera=lesson.camera, boxes2d=lesson.boxes2d())
