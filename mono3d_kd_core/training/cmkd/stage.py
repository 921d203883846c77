"""One stage of CMKD on its way to its bundle."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import lightning.pytorch as pl
import torch
import yaml
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle, Card, save_bundle
from mono3d_kd_core.distillation.cmkd import Cmkd
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.teachers.base import Teacher
from mono3d_kd_core.training.bev_start import BevTeacher
from mono3d_kd_core.training.cmkd.recipe import CmkdRecipe, StageConfig
from mono3d_kd_core.training.data import RecipeData
from mono3d_kd_core.training.distillation import DistillationModule
from mono3d_kd_core.training.examples import Examples
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.lesson_pictures import LessonPictures
from mono3d_kd_core.training.lessons import Lessons, collate_lessons
from mono3d_kd_core.training.matching import found_metrics
from mono3d_kd_core.training.pictures import ValidationPictures
from mono3d_kd_core.training.recipe import Learning
from mono3d_kd_core.training.run import SHOWN_SCORE, progress, trained_camera


@dataclass(frozen=True)
class Stage:
    """One stage on its way to its bundle."""

    recipe: CmkdRecipe
    stage: StageConfig
    out: Path
    licence: str

    @property
    def plan(self) -> str:
        """What decides this stage, as text."""
        content = self.recipe.model_dump(mode="json", exclude={"stages"})
        return yaml.safe_dump(content | {"stages": [self.stage.model_dump(mode="json")]}, sort_keys=False)

    def train(
        self, start: Mapping[str, Tensor], teacher: BevTeacher | None, lessons: Lessons, val: Examples | None,
        resume: bool, quiet: bool,
    ) -> Bundle:  # fmt: skip
        """Train the stage from `start`, or from its last checkpoint."""
        begun = (self.out / "checkpoints" / "last.ckpt").is_file()
        checkpoint = checkpoint_of(self.out, resume and begun)
        schedule = self.stage.schedule
        pl.seed_everything(schedule.seed, verbose=False)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "recipe.yaml").write_text(self.plan)
        (self.out / "sources.json").write_text(json.dumps(lessons.account(), indent=1) + "\n")
        learning = Learning(data=self.recipe.data, augment=self.recipe.augment, schedule=schedule)
        cache = self.out / "cache" / os.environ.get("RANK", "0")
        data = RecipeData(learning, lessons, val, cache, progress(quiet), collate_lessons)
        try:
            student = BevStudent(self.recipe.student)
            student.load_state_dict(start)
            distiller = Cmkd(student, self.stage.teach)
            module = DistillationModule(student, distiller, self._asked(teacher, student, distiller, lessons), schedule)
            module.to(memory_format=torch.channels_last)
            pictures = [ValidationPictures(), LessonPictures(data)]
            fit(module, data, schedule, self.out, checkpoint, val is not None, quiet, pictures)
            return self._bundle(module, data, lessons)
        finally:
            data.close()

    def _asked(
        self, teacher: BevTeacher | None, student: BevStudent, distiller: Cmkd, lessons: Lessons
    ) -> Teacher | None:
        if not distiller.wants_teacher:
            return None
        if teacher is None:
            if lessons.answered:
                return None
            raise ModelError(
                "something is to be learned from a teacher, but the recipe names none, and not all sources have its "
                "answers; give teacher, targets of every source, or a target store as --data"
            )
        c = student.config
        mine, theirs = (c.low[:2], c.high[:2]), (teacher.config.low[:2], teacher.config.high[:2])
        return teacher if mine == theirs else teacher.cropped((c.low[0], c.high[0]), (c.low[1], c.high[1]))

    def _bundle(self, module: DistillationModule, data: RecipeData, lessons: Lessons) -> Bundle:
        student = module.student
        assert isinstance(student, BevStudent)
        card = Card(
            kind="student", architecture=student.architecture, config=student.config.model_dump(mode="json"),
            classes=list(student.classes), score_threshold=SHOWN_SCORE, camera=trained_camera(data.cameras()),
            licence=self.licence, metrics=found_metrics(module.found, module.truth, student.classes, SHOWN_SCORE),
            provenance={
                "method": f"cmkd, stage {self.stage.name}",
                "recipe_sha256": hashlib.sha256(self.plan.encode()).hexdigest(),
                "teacher": "" if module.teacher is None else module.teacher.fingerprint,
                "sources": json.dumps(lessons.account()),
                "frames_without_points": str(module.unseen),
            },
        )  # fmt: skip
        return save_bundle(self.out / "bundle", card, student.state_dict())
