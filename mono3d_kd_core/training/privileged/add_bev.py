"""ADD's training on the bird's-eye student: first the network that is given depth, then the student that learns from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import lightning.pytorch as pl
import torch
import yaml

from mono3d_kd_core.deploy.bundle import Bundle, Card, load_bundle, save_bundle
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.add_bev import AddBev, AddBevWeights, DepthAidedBev
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.training.bev_start import completed, shape_of, start_from
from mono3d_kd_core.training.data import RecipeData
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig, collate_lessons
from mono3d_kd_core.training.matching import found_metrics
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.pictures import ValidationPictures
from mono3d_kd_core.training.privileged.recipe import DepthTeacherConfig
from mono3d_kd_core.training.privileged.run import DepthPictures, PrivilegedModule
from mono3d_kd_core.training.recipe import Learning, MapAugmentConfig, ScheduleConfig
from mono3d_kd_core.training.run import SHOWN_SCORE, labels_hash, progress, trained_camera
from mono3d_kd_core.training.stages import finished_bundle
from mono3d_kd_core.training.weights import given

OWN = {"pose", "lidar_height", "score_threshold", "nms_iou", "nms_before", "nms_after", "lift", "depth_threshold"}
"""Settings in which a student and its teacher may differ."""


class AddBevRecipe(Learning):
    """A bird's-eye student, its teacher with depth, and how long each is trained. `schedule` is the student's."""

    architecture: Literal["add_bev"]
    student: BevConfig = BevConfig()
    """What of it is not said here is that of the network which `shape_of` names."""
    shape_of: Path | None = None
    """Bundle of a bird's-eye student, or of a LiDAR teacher whose map, 2D backbone and head the student has, as in CMKD."""
    weights: Path | None = None
    """Where both start from: public weights of the image backbone, see `load_backbone_weights`; or a student's bundle, of a
    bird's-eye one its image network, which knows depth, of others their image backbone."""
    augment: MapAugmentConfig = MapAugmentConfig()
    teacher: DepthTeacherConfig
    teach: AddBevWeights = AddBevWeights()


@dataclass(frozen=True)
class AddBevRun:
    """Both stages of a recipe: teacher/ and student/ below `out`. data and val are as of `PrivilegedRun`."""

    recipe: AddBevRecipe
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train what is not finished yet. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt."""
        config = self.recipe.teacher
        if config.bundle is not None:
            teacher = load_bundle(config.bundle)
        else:
            assert config.schedule is not None  # the recipe has one of the two
            teacher = load_bundle(self._stage("teacher", config.schedule, None, resume, quiet).path)
        return self._stage("student", self.recipe.schedule, teacher, resume, quiet)

    def _stage(self, name: str, schedule: ScheduleConfig, teacher: Bundle | None, resume: bool, quiet: bool) -> Bundle:
        """Return a stage's bundle: of before, where it is complete, else trained now from its last checkpoint."""
        out = self.out / name
        plan = yaml.safe_dump(self.recipe.model_dump(mode="json") | {"stage": name}, sort_keys=False)
        if done := finished_bundle(out, plan, resume):
            return done
        checkpoint = checkpoint_of(out, resume and (out / "checkpoints" / "last.ckpt").is_file())
        pl.seed_everything(schedule.seed, verbose=False)
        torch.set_float32_matmul_precision("high")
        out.mkdir(parents=True, exist_ok=True)
        data = self._data(out, schedule, teacher is None, quiet)
        try:
            module = self._module(data, schedule, teacher)
            module.to(memory_format=torch.channels_last)
            (out / "recipe.yaml").write_text(plan)
            pictures = [] if teacher is None else [ValidationPictures()]
            fit(module, data, schedule, out, checkpoint, bool(self.val), quiet, pictures)
            return self._bundle(out, module, data, plan, teacher)
        finally:
            data.close()

    @cached_property
    def student_config(self) -> BevConfig:
        """The student's settings, with those of `shape_of`."""
        r = self.recipe
        return r.student if r.shape_of is None else completed(r.student, shape_of(given(r.shape_of)))

    def _data(self, out: Path, schedule: ScheduleConfig, privileged: bool, quiet: bool) -> RecipeData:
        """Return lessons to train on; to validate on, pictures with depth for the teacher, plain ones for the student."""
        c = self.student_config
        size, classes = (c.input_height, c.input_width), [kind.name for kind in c.anchors]
        labelled = [open_labelled(path) for path in self.val]
        guard = Guard.of(labelled, progress(quiet))

        def lessons(paths: Sequence[Path], guard: Guard) -> Lessons:
            sources = [SourceConfig(path=path, labels=True) for path in paths]
            return Lessons(sources, classes, size, self.recipe.data, guard)

        learning = Learning(data=self.recipe.data, augment=self.recipe.augment, schedule=schedule)
        train = lessons(self.data, guard)
        if privileged:
            join, val = DepthPictures(self.recipe.teach.depth), lessons(self.val, Guard()) if self.val else None
            return RecipeData(learning, train, val, out / "cache", progress(quiet), join, join)
        plain = Examples(labelled, classes, size, self.recipe.data) if labelled else None
        return RecipeData(learning, train, plain, out / "cache", progress(quiet), collate_lessons)

    def _module(self, data: RecipeData, schedule: ScheduleConfig, teacher: Bundle | None) -> TrainingModule:
        pose = tuple(float(value) for value in data.training_examples[0].pose[:3].ravel())
        config = self.student_config.model_copy(update={"pose": pose})
        network = DepthAidedBev(config) if teacher is None else BevStudent(config)
        if self.recipe.weights is not None:
            start_from(network, given(self.recipe.weights))
        if teacher is None:
            return TrainingModule(network, schedule)
        distiller = AddBev(network, _load(teacher, config), self.recipe.teach)
        return PrivilegedModule(network, distiller, None, schedule)

    def _bundle(
        self, out: Path, module: TrainingModule, data: RecipeData, plan: str, teacher: Bundle | None
    ) -> Bundle:
        student = module.student
        assert isinstance(student, BevStudent)
        card = Card(
            kind="teacher" if teacher is None else "student", architecture=student.architecture,
            config=student.config.model_dump(mode="json"), classes=list(student.classes), score_threshold=SHOWN_SCORE,
            camera=trained_camera(data.cameras()), licence=self.licence,
            metrics=found_metrics(module.found, module.truth, student.classes, SHOWN_SCORE),
            provenance={
                "method": self.recipe.architecture,
                "recipe_sha256": hashlib.sha256(plan.encode()).hexdigest(),
                "data": ", ".join(path.name for path in self.data),
                "val": ", ".join(path.name for path in self.val),
                "labels_sha256": labels_hash(self.data),
                "teacher_sha256": "" if teacher is None else teacher.card.weights_sha256,
            },
        )  # fmt: skip
        return save_bundle(out / "bundle", card, student.state_dict())


def _load(bundle: Bundle, student: BevConfig) -> DepthAidedBev:
    """Build the teacher. Raises ModelError for a bundle of another kind or of another shape than the student's."""
    if bundle.card.architecture != DepthAidedBev.architecture:
        raise ModelError(
            f"{bundle.path}: holds a {bundle.card.architecture}, but this method's teacher is a {DepthAidedBev.architecture}"
        )
    config = validated(BevConfig, bundle.card.config, f"{bundle.path}/card.yaml")
    for name in BevConfig.model_fields.keys() - OWN:
        mine, theirs = getattr(student, name), getattr(config, name)
        if mine != theirs:
            raise ModelError(f"student.{name} is {mine}, the depth teacher's {theirs}; they must be the same")
    teacher = DepthAidedBev(config)
    teacher.load_state_dict(bundle.tensors)
    return teacher
