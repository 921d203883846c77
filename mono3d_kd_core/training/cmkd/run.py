"""CMKD's training: the stages of a recipe, each a run of its own that can be stopped and gone on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle, load_bundle
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.targets.store import PROVENANCE
from mono3d_kd_core.training.bev_start import (
    STARTS,
    BevTeacher,
    bev_teacher,
    completed,
    inherited,
    start_from,
    take_over,
)
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe, TeacherConfig
from mono3d_kd_core.training.cmkd.stage import Stage
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig
from mono3d_kd_core.training.lidar.recipe import RECIPES
from mono3d_kd_core.training.lidar.run import TeacherRun
from mono3d_kd_core.training.recipe import find_recipe, read_recipe
from mono3d_kd_core.training.run import progress
from mono3d_kd_core.training.stages import finished_bundle
from mono3d_kd_core.training.weights import given


@dataclass(frozen=True)
class CmkdRun:
    """All stages of a recipe. data replaces the recipe's sources where given, val its validation folders.

    out gets a folder for each stage, with checkpoints/, logs/, recipe.yaml, sources.json and at its end bundle/, and for a
    teacher that is trained first. The last stage's bundle is the result.
    """

    recipe: CmkdRecipe
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train what is not finished yet. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt."""
        torch.set_float32_matmul_precision("high")
        teacher = self._teacher(resume, quiet)
        config = self._student_config(teacher)
        lessons, val = self._lessons(config, quiet)
        pose = tuple(float(value) for value in lessons[0].pose[:3].ravel())
        recipe = self.recipe.model_copy(update={"student": config.model_copy(update={"pose": pose})})
        start = self._start(recipe.student, teacher)
        bundle: Bundle | None = None
        for stage in recipe.stages:
            run = Stage(recipe, stage, self.out / stage.name, self.licence)
            bundle = finished_bundle(run.out, run.plan, resume) or run.train(
                start, teacher, lessons, val, resume, quiet
            )
            start = bundle.tensors
        assert bundle is not None  # a recipe has stages
        return bundle

    def _teacher(self, resume: bool, quiet: bool) -> BevTeacher | None:
        config = self.recipe.teacher
        if config is None:
            return None
        return bev_teacher(
            given(config.bundle) if config.bundle is not None else self._trained_teacher(config, resume, quiet)
        )

    def _trained_teacher(self, config: TeacherConfig, resume: bool, quiet: bool) -> Path:
        assert config.recipe is not None
        out = self.out / "teacher"
        if resume and (out / "bundle" / "card.yaml").is_file():
            return out / "bundle"
        path = find_recipe(config.recipe)
        content = read_recipe(path, list(config.set))
        kind = RECIPES.get(str(content.get("architecture")))
        if kind is None:
            raise ModelError(f"{path}: this is no recipe of a LiDAR teacher; known are {', '.join(RECIPES)}")
        run = TeacherRun(validated(kind, content, str(path)), config.data, self._val, out, self.licence)
        return run.train(resume and (out / "checkpoints" / "last.ckpt").is_file(), quiet).path

    @property
    def _weights(self) -> Path | None:
        return None if self.recipe.weights is None else given(self.recipe.weights)

    @property
    def _val(self) -> tuple[Path, ...]:
        return tuple(self.val) or self.recipe.val

    def _lessons(self, c: BevConfig, quiet: bool) -> tuple[Lessons, Examples | None]:
        size, classes = (c.input_height, c.input_width), list(c.classes)
        sources = [self._given(path) for path in self.data] or list(self.recipe.sources)
        labelled = [open_labelled(path) for path in self._val]
        guard = Guard.of(labelled, progress(quiet))
        val = Examples(labelled, classes, size, self.recipe.data) if labelled else None
        return Lessons(sources, classes, size, self.recipe.data, guard), val

    def _given(self, path: Path) -> SourceConfig:
        """Return a source named on the command line; who taught a target store speaks where the recipe names no teacher."""
        speaks = self.recipe.teacher is None and (path / PROVENANCE).is_file()
        return SourceConfig(path=path, targets=path if speaks else None)

    def _student_config(self, teacher: BevTeacher | None) -> BevConfig:
        config, weights = self.recipe.student, self._weights
        shape = {} if teacher is None else inherited(teacher)
        if teacher is None and weights is not None and weights.is_dir():
            card = load_bundle(weights).card
            shape = card.config if card.architecture == BevStudent.architecture else {}
        return completed(config, shape)

    def _start(self, config: BevConfig, teacher: BevTeacher | None) -> dict[str, Tensor]:
        """Return the tensors that the first stage starts with; what is not among them starts at random."""
        seed = self.recipe.stages[0].schedule.seed
        pl.seed_everything(seed, verbose=False)
        student = BevStudent(config)
        if teacher is not None and self.recipe.teacher is not None and self.recipe.teacher.start:
            shared = {name: tensor for name, tensor in teacher.state_dict().items() if name.startswith(STARTS)}
            take_over(student, shared, "the teacher")
        if self._weights is not None:
            start_from(student, self._weights, self.recipe.weights_of)
        return student.state_dict()
