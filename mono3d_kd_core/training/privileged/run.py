"""MonoSTL's, MonoDistill's and ADD's training: first a network that sees depth, then the student that learns from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler

from mono3d_kd_core.deploy.bundle import Bundle, load_bundle
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.add import Add
from mono3d_kd_core.distillation.add_query import AddQuery
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.monostl import MonoStl
from mono3d_kd_core.distillation.monostl_query import MonoStlQuery
from mono3d_kd_core.distillation.privileged import DepthAidedKeypoint, DepthKeypoint, shown
from mono3d_kd_core.distillation.privileged_distiller import PrivilegedDistiller
from mono3d_kd_core.distillation.privileged_query import DepthAidedQuery, DepthQuery
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.students.peaks import PeakConfig, PeakStudent
from mono3d_kd_core.training.data import Batch, RecipeData, collate
from mono3d_kd_core.training.distillation import DistillationModule, known_of
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lesson, Lessons, SourceConfig, collate_lessons
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.privileged.recipe import AddQueryRecipe, AddRecipe, Method
from mono3d_kd_core.training.recipe import KeypointLearning, PeakLearning, QueryLearning
from mono3d_kd_core.training.run import Run, progress
from mono3d_kd_core.training.stages import finished_bundle
from mono3d_kd_core.training.weights import given


@dataclass(frozen=True)
class Parts:
    """What a method is made of on a host: how the host learns labels alone, the teacher's network, and the distiller."""

    learning: type[PeakLearning]
    teacher: type[PeakStudent]
    distiller: Callable[[Any, Any, Any], PrivilegedDistiller[Any, Any]]


PARTS = {
    "monostl": Parts(KeypointLearning, DepthKeypoint, MonoStl),
    "add": Parts(KeypointLearning, DepthAidedKeypoint, Add),
    "monostl_query": Parts(QueryLearning, DepthQuery, MonoStlQuery),
    "add_query": Parts(QueryLearning, DepthAidedQuery, AddQuery),
}
"""By the recipe's architecture."""


@dataclass(frozen=True)
class PrivilegedRun:
    """All stages of a recipe: teacher/, baseline/ where asked for, and student/ below `out`, each a run of its own.

    data and val are labelled drives, see `open_labelled`, with LiDAR where depth is the LiDAR's. The student's bundle is the
    result.
    """

    recipe: Method
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train what is not finished yet. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt."""
        teacher = self._teacher(resume, quiet)
        recipe = self.recipe
        if recipe.baseline is not None:
            plain = PARTS[recipe.architecture].learning.model_validate(self._shared() | {"schedule": recipe.baseline})
            start = _finished(Run(plain, self.data, self.val, self.out / "baseline", self.licence), resume, quiet)
            recipe = recipe.model_copy(update={"weights": start.path, "weights_of": "student"})
        out = self.out / "student"
        stage = _StudentStage(recipe, self.data, self.val, out, self.licence, method=recipe, teacher=teacher)
        return _finished(stage, resume, quiet)

    def _teacher(self, resume: bool, quiet: bool) -> Bundle:
        config, recipe = self.recipe.teacher, self.recipe
        if config.bundle is not None:
            return load_bundle(config.bundle)
        shared = self._shared()
        if recipe.weights is not None and given(recipe.weights).is_dir() and recipe.weights_of == "student":
            # A whole student has not a teacher's shape; a backbone, or ImageNet's weights, suit both.
            shared["weights"] = None
        plan = PARTS[recipe.architecture].learning.model_validate(shared | {"schedule": config.schedule})
        stage = _TeacherStage(plan, self.data, self.val, self.out / "teacher", self.licence, method=self.recipe)
        # Read again: what is stored is rounded, and a resumed run must have the same teacher.
        return load_bundle(_finished(stage, resume, quiet).path)

    def _shared(self) -> dict[str, object]:
        """Return the settings that all stages share."""
        return {name: getattr(self.recipe, name) for name in ("student", "weights", "weights_of", "data", "augment")}


def _finished(stage: Run, resume: bool, quiet: bool) -> Bundle:
    """Return a stage's bundle: of before, where it is complete, else trained now from its last checkpoint."""
    begun = (stage.out / "checkpoints" / "last.ckpt").is_file()
    return finished_bundle(stage.out, stage.plan, resume) or stage.train(resume and begun, quiet)


@dataclass(frozen=True)
class _LessonRun(Run):
    """A stage that is shown sweeps beside pictures."""

    method: Method = field(kw_only=True)

    def _lessons(self, paths: Sequence[Path], guard: Guard) -> Lessons:
        c = self.recipe.student
        sources = [SourceConfig(path=path, labels=True) for path in paths]
        return Lessons(sources, c.classes, (c.input_height, c.input_width), self.recipe.data, guard)

    def _guard(self, quiet: bool) -> Guard:
        return Guard.of([open_labelled(path) for path in self.val], progress(quiet))


class _TeacherStage(_LessonRun):
    """The teacher learns the labels from pictures with depth."""

    kind: ClassVar[Literal["student", "teacher"]] = "teacher"

    def _data(self, quiet: bool) -> RecipeData:
        train = self._lessons(self.data, self._guard(quiet))
        val = self._lessons(self.val, Guard()) if self.val else None
        join = DepthPictures(_depth_source(self.method))
        return RecipeData(self.recipe, train, val, self.out / "cache", progress(quiet), join, join)

    def _network(self, config: PeakConfig) -> PeakStudent:
        kind: Callable[[PeakConfig], PeakStudent] = PARTS[self.method.architecture].teacher
        return kind(config)

    def _pictures(self) -> list[Callback]:
        return []


@dataclass(frozen=True)
class _StudentStage(_LessonRun):
    """The student learns the labels from pictures, and the teacher's ways."""

    teacher: Bundle = field(kw_only=True)

    def _data(self, quiet: bool) -> RecipeData:
        train = self._lessons(self.data, self._guard(quiet))
        val = None
        if self.val:
            sources = [open_labelled(path) for path in self.val]
            val = Examples(sources, train.classes, train.size, self.recipe.data)
        return RecipeData(self.recipe, train, val, self.out / "cache", progress(quiet), collate_lessons)

    def _module(self, student: PeakStudent) -> TrainingModule:
        parts = PARTS[self.method.architecture]
        teacher = _load(self.teacher, parts.teacher, student.config)
        distiller = parts.distiller(student, teacher, self.method.teach)
        return PrivilegedModule(student, distiller, None, self.recipe.schedule)

    def _origin(self) -> dict[str, str]:
        return {"method": self.method.architecture, "teacher_sha256": self.teacher.card.weights_sha256}


class PrivilegedModule(DistillationModule):
    """Trains by a distiller's terms on the schedule of students that learn labels alone, so that both can be compared."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, warm-up and a half cosine."""
        return TrainingModule.configure_optimizers(self)


@dataclass(frozen=True)
class DepthPictures:
    """Joins lessons to batches of pictures with depth, (B,4,H,W) float, for a privileged teacher."""

    source: DepthSource

    def __call__(self, lessons: Sequence[Lesson]) -> Batch:
        """Join lessons of one size. Raises DataError for one without depth."""
        taught = [known_of(lesson, self.source == "lidar") for lesson in lessons]
        chosen, pictures = shown(taught, self.source)
        if len(chosen) < len(lessons):
            missing = next(lesson.id for i, lesson in enumerate(lessons) if i not in chosen)
            raise DataError(
                f"frame {missing} has no LiDAR points; a teacher that sees depth needs a sweep for every frame. "
                "Without LiDAR, take ADD: its teacher can do with depth that the boxes give, teach.depth=objects"
            )
        return replace(collate(lessons), images=torch.stack(pictures))


def _depth_source(method: Method) -> DepthSource:
    return method.teach.depth if isinstance(method, (AddRecipe, AddQueryRecipe)) else "lidar"


def _load(bundle: Bundle, kind: type[PeakStudent], student: PeakConfig) -> PeakStudent:
    """Build a privileged teacher. Raises ModelError for a bundle of another kind or of another shape than the student's."""
    if bundle.card.architecture != kind.architecture:
        raise ModelError(
            f"{bundle.path}: holds a {bundle.card.architecture}, but this method's teacher is a {kind.architecture}"
        )
    config = validated(kind.config_type, bundle.card.config, f"{bundle.path}/card.yaml")
    _check_alike(config, student)
    build: Callable[[PeakConfig], PeakStudent] = kind
    teacher = build(config)
    teacher.load_state_dict(bundle.tensors)
    return teacher


def _check_alike(teacher: PeakConfig, student: PeakConfig) -> None:
    """Raise ModelError where the two have different shapes or speak of depth at different focal lengths."""
    for name in student.alike:
        mine, theirs = getattr(student, name), getattr(teacher, name)
        if mine != theirs:
            raise ModelError(f"student.{name} is {mine}, the depth teacher's {theirs}; they must be the same")
    if abs(teacher.reference_focal / student.reference_focal - 1) > 1e-3:
        raise ModelError(
            f"the depth teacher was trained at a focal length of {teacher.reference_focal:.1f} px, the student at "
            f"{student.reference_focal:.1f} px: train the teacher on the same data, by teacher.schedule"
        )
