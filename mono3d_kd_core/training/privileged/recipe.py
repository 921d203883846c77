"""Recipes of students whose teacher is their like that sees depth: MonoSTL, MonoDistill, ADD."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from mono3d_kd_core.distillation.add import AddWeights
from mono3d_kd_core.distillation.monostl import MonoStlWeights
from mono3d_kd_core.students.keypoint import KeypointConfig
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.training.recipe import PeakLearning, ScheduleConfig, Section


class DepthTeacherConfig(Section):
    """The network that sees depth: a bundle, or a schedule to train one by first."""

    bundle: Path | None = None
    schedule: ScheduleConfig | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> DepthTeacherConfig:
        if (self.bundle is None) == (self.schedule is None):
            raise ValueError("give either bundle, or schedule")
        return self


class PrivilegedRecipe(PeakLearning):
    """A student, its teacher with depth, and how long each is trained. `schedule` is the student's."""

    teacher: DepthTeacherConfig
    baseline: ScheduleConfig | None = None
    """Train the student on labels alone first, and let distillation start from there."""


class MonoStlRecipe(PrivilegedRecipe):
    """MonoSTL on the keypoint student, or MonoDistill by its weights."""

    architecture: Literal["monostl"]
    student: KeypointConfig = KeypointConfig()
    teach: MonoStlWeights = MonoStlWeights()


class AddRecipe(PrivilegedRecipe):
    """ADD on the keypoint student."""

    architecture: Literal["add"]
    student: KeypointConfig = KeypointConfig()
    teach: AddWeights = AddWeights()


class MonoStlQueryRecipe(PrivilegedRecipe):
    """MonoSTL on the query student, or MonoDistill by its weights."""

    architecture: Literal["monostl_query"]
    student: QueryConfig = QueryConfig()
    teach: MonoStlWeights = MonoStlWeights()


class AddQueryRecipe(PrivilegedRecipe):
    """ADD on the query student."""

    architecture: Literal["add_query"]
    student: QueryConfig = QueryConfig()
    teach: AddWeights = AddWeights()


Method = MonoStlRecipe | AddRecipe | MonoStlQueryRecipe | AddQueryRecipe
RECIPES: dict[str, type[Method]] = {
    "monostl": MonoStlRecipe, "add": AddRecipe, "monostl_query": MonoStlQueryRecipe, "add_query": AddQueryRecipe,
}  # fmt: skip
