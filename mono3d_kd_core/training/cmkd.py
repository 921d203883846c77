"""CMKD's training: a recipe of sources and stages, each stage a run of its own that can be stopped and gone on with."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
import yaml
from pydantic import Field, model_validator
from rich.progress import track as rich_track
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle, Card, load_bundle, save_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.cmkd import Cmkd, CmkdWeights
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.resources import resource
from mono3d_kd_core.students.backbones import load_backbone_weights
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.targets.store import PROVENANCE
from mono3d_kd_core.teachers.anchored import AnchorTeacher
from mono3d_kd_core.teachers.base import Teacher
from mono3d_kd_core.teachers.centerpoint import CenterTeacher
from mono3d_kd_core.training.data import RecipeData
from mono3d_kd_core.training.distillation import DistillationModule
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lesson_pictures import LessonPictures
from mono3d_kd_core.training.lessons import Lessons, SourceConfig, collate_lessons
from mono3d_kd_core.training.matching import found_share
from mono3d_kd_core.training.pictures import ValidationPictures
from mono3d_kd_core.training.recipe import (
    AugmentConfig,
    DataConfig,
    Learning,
    ScheduleConfig,
    Section,
    find_recipe,
    read_recipe,
)
from mono3d_kd_core.training.run import trained_camera
from mono3d_kd_core.training.stages import finished_bundle
from mono3d_kd_core.training.teacher import TeacherRun
from mono3d_kd_core.training.teacher_recipe import RECIPES

SHOWN_SCORE = 0.3
SHARED = {"layers", "strides", "filters", "up_strides", "up_filters"}
"""Settings that a student takes over from its teacher as they are, and those of either head."""
SHARED_HEAD = {"anchor": {"anchors"}, "center": {"names", "head_width", "bias_before_norm"}}
BevTeacher = AnchorTeacher | CenterTeacher
STARTS = ("backbone_2d.", "dense_head.")
"""What of a teacher's weights a student starts with."""


class TeacherConfig(Section):
    """Who teaches: a bundle, or a recipe to train one by first."""

    bundle: Path | None = None
    recipe: str | None = None
    """File or name of a teacher's recipe; it is trained on `data` into OUT/teacher."""
    data: tuple[Path, ...] = ()
    set: tuple[str, ...] = ()
    """Changes to that recipe, as on the command line."""
    start: bool = True
    """Start the student's 2D backbone and head from the teacher's."""

    @model_validator(mode="after")
    def _one_of_two(self) -> TeacherConfig:
        if (self.bundle is None) == (self.recipe is None):
            raise ValueError("give either bundle, or recipe with data")
        return self


class StageConfig(Section):
    """One stage: what is taught, and for how long."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    teach: CmkdWeights
    schedule: ScheduleConfig


class CmkdRecipe(Section):
    """A bird's-eye student, its teacher, where they look and in which stages they work."""

    architecture: Literal["cmkd"]
    student: BevConfig = BevConfig()
    """What of map, 2D backbone and head is not said here is the teacher's; without a teacher all that is not said is that of
    the student whose bundle `weights` names."""
    weights: Path | None = None
    """Where to start from: ImageNet weights of the image backbone, or the bundle of a like student or of a keypoint student
    with the same backbone."""
    weights_of: Literal["student", "image"] = "student"
    """What to take from a like student's bundle: all of it, or its image network alone. Map, 2D backbone and head then start
    as they would without weights."""
    teacher: TeacherConfig | None = None
    sources: tuple[SourceConfig, ...] = ()
    val: tuple[Path, ...] = ()
    """Labelled drives; no frame of theirs may be among the sources."""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig(scale_crop=0.0, colour=0.0)
    stages: tuple[StageConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> CmkdRecipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names) or "teacher" in names:
            raise ValueError(f"the stages' names {names} must differ from each other and from 'teacher'")
        if self.augment.scale_crop:
            raise ValueError("augment.scale_crop must be 0: a teacher's map stays where it is")
        return self


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
            run = _Stage(recipe, stage, self.out / stage.name, self.licence)
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
        path = _packaged(config.bundle) if config.bundle is not None else self._trained_teacher(config, resume, quiet)
        teacher = load_teacher(path)
        if not isinstance(teacher, AnchorTeacher | CenterTeacher):
            raise ModelError(f"{path}: CMKD needs a teacher with a bird's-eye map, not a {teacher.architecture}")
        return teacher

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
        return None if self.recipe.weights is None else _packaged(self.recipe.weights)

    @property
    def _val(self) -> tuple[Path, ...]:
        return tuple(self.val) or self.recipe.val

    def _lessons(self, c: BevConfig, quiet: bool) -> tuple[Lessons, Examples | None]:
        size, classes = (c.input_height, c.input_width), list(c.classes)
        sources = [self._given(path) for path in self.data] or list(self.recipe.sources)
        labelled = [open_labelled(path) for path in self._val]
        guard = Guard.of(labelled, _track(quiet))
        val = Examples(labelled, classes, size, self.recipe.data) if labelled else None
        return Lessons(sources, classes, size, self.recipe.data, guard), val

    def _given(self, path: Path) -> SourceConfig:
        """Return a source named on the command line; who taught a target store speaks where the recipe names no teacher."""
        speaks = self.recipe.teacher is None and (path / PROVENANCE).is_file()
        return SourceConfig(path=path, targets=path if speaks else None)

    def _student_config(self, teacher: BevTeacher | None) -> BevConfig:
        config, weights = self.recipe.student, self._weights
        inherited = {} if teacher is None else _inherited(teacher)
        if teacher is None and weights is not None and weights.is_dir():
            card = load_bundle(weights).card
            inherited = card.config if card.architecture == BevStudent.architecture else {}
        missing = {name: value for name, value in inherited.items() if name not in config.model_fields_set}
        return BevConfig.model_validate(config.model_dump() | missing)

    def _start(self, config: BevConfig, teacher: BevTeacher | None) -> dict[str, Tensor]:
        """Return the tensors that the first stage starts with; what is not among them starts at random."""
        seed = self.recipe.stages[0].schedule.seed
        pl.seed_everything(seed, verbose=False)
        student = BevStudent(config)
        weights = self._weights
        if weights is not None and weights.is_file():
            load_backbone_weights(student.image_network.get_submodule("backbone"), weights)
        start = student.state_dict()
        if teacher is not None and self.recipe.teacher is not None and self.recipe.teacher.start:
            shared = {name: tensor for name, tensor in teacher.state_dict().items() if name.startswith(STARTS)}
            start |= _fitting(shared, start, "the teacher")
        if weights is not None and weights.is_dir():
            start |= _pretrained(load_bundle(weights), start, self.recipe.weights_of)
        return start


def _packaged(path: Path) -> Path:
    """Return a path as the user gave it, or what comes with the package under that name, such as config/models/..."""
    return path if path.exists() or path.is_absolute() else resource(str(path))


def _inherited(teacher: BevTeacher) -> dict[str, Any]:
    """Return the settings of a student's map, 2D backbone and head that make it the teacher's."""
    config = teacher.config
    first = teacher.backbone_2d.get_submodule("blocks.0.1")
    head = "center" if isinstance(teacher, CenterTeacher) else "anchor"
    settings = config.model_dump(include=SHARED | SHARED_HEAD[head])
    return settings | {
        "head": head, "low": config.low, "high": config.high, "cell": config.grid.size[0] * config.bev_stride,
        "bev_channels": first.in_channels,
    }  # fmt: skip


def _pretrained(bundle: Bundle, wanted: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return what of a student's bundle a bird's-eye student starts with: of a keypoint student, its backbone."""
    tensors = bundle.tensors
    if bundle.card.architecture == "keypoint":
        tensors = {f"image_network.{name}": tensor for name, tensor in tensors.items() if name.startswith("backbone.")}
    if part == "image":
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("image_network.")}
    return _fitting(tensors, wanted, str(bundle.path))


def _fitting(found: dict[str, Tensor], wanted: Mapping[str, Tensor], whose: str) -> dict[str, Tensor]:
    """Return the tensors of `found`; every one must have its place and shape in the student."""
    for name, tensor in found.items():
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise ModelError(
                f"{whose}: {name} does not fit the student: give both the same backbone, layers and anchors"
            )
    return found


@dataclass(frozen=True)
class _Stage:
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
        data = RecipeData(learning, lessons, val, cache, _track(quiet), collate_lessons)
        try:
            student = BevStudent(self.recipe.student)
            student.load_state_dict(start)
            distiller = Cmkd(student, self.stage.teach)
            module = DistillationModule(student, distiller, self._asked(teacher, student, distiller), schedule)
            module.to(memory_format=torch.channels_last)
            pictures = [ValidationPictures(), LessonPictures(data)]
            fit(module, data, schedule, self.out, checkpoint, val is not None, quiet, pictures)
            return self._bundle(module, data, lessons)
        finally:
            data.close()

    def _asked(self, teacher: BevTeacher | None, student: BevStudent, distiller: Cmkd) -> Teacher | None:
        if not distiller.wants_teacher:
            return None
        if teacher is None:
            if all(source.targets is not None for source in self.recipe.sources):
                return None
            raise ModelError(
                "something is to be learned from a teacher, but the recipe names neither teacher nor targets"
            )
        c = student.config
        mine, theirs = (c.low[:2], c.high[:2]), (teacher.config.low[:2], teacher.config.high[:2])
        return teacher if mine == theirs else teacher.cropped((c.low[0], c.high[0]), (c.low[1], c.high[1]))

    def _bundle(self, module: DistillationModule, data: RecipeData, lessons: Lessons) -> Bundle:
        student = module.student
        assert isinstance(student, BevStudent)
        metrics: dict[str, float] = {}
        for name in student.classes:
            share = found_share(module.found, module.truth, name, score=SHOWN_SCORE)
            if share.objects:
                metrics |= {f"recall_40m_{name}": share.recall, f"precision_40m_{name}": share.precision}
        card = Card(
            kind="student", architecture=student.architecture, config=student.config.model_dump(mode="json"),
            classes=list(student.classes), score_threshold=SHOWN_SCORE, camera=trained_camera(data.cameras()),
            licence=self.licence, metrics={name: round(value, 4) for name, value in metrics.items()},
            provenance={
                "method": f"cmkd, stage {self.stage.name}",
                "recipe_sha256": hashlib.sha256(self.plan.encode()).hexdigest(),
                "teacher": "" if module.teacher is None else module.teacher.fingerprint,
                "sources": json.dumps(lessons.account()),
                "frames_without_points": str(module.unseen),
            },
        )  # fmt: skip
        return save_bundle(self.out / "bundle", card, student.state_dict())


def _track(quiet: bool) -> Any:
    def track(items: Iterable[int], title: str) -> Iterable[int]:
        return rich_track(items, title, disable=quiet)

    return track
