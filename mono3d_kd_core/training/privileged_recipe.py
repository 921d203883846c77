"""Recipes of students whose teacher is their like that sees depth: MonoSTL, MonoDistill, ADD."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import model_validator

from mono3d_kd_core.distillation.add import AddWeights
from mono3d_kd_core.distillation.monostl import MonoStlWeights
from mono3d_kd_core.training.recipe import KeypointLearning, ScheduleConfig, Section


class DepthTeacherConfig(Section):
    """The network that sees depth: a bundle, or a schedule to train one by first."""

    bundle: Path | None = None
    schedule: ScheduleConfig | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> DepthTeacherConfig:
        if (self.bundle is None) == (self.schedule is None):
            raise ValueError("give either bundle, or schedule")
        return self


class PrivilegedRecipe(KeypointLearning):
    """A keypoint student, its teacher with depth, and how long each is trained. `schedule` is the student's."""

    teacher: DepthTeacherConfig
    baseline: ScheduleConfig | None = None
    """Train the student on labels alone first, and let distillation start from there."""


class MonoStlRecipe(PrivilegedRecipe):
    """MonoSTL, or MonoDistill by its weights."""

    architecture: Literal["monostl"]
    teach: MonoStlWeights = MonoStlWeights()


class AddRecipe(PrivilegedRecipe):
    """ADD."""

    architecture: Literal["add"]
    teach: AddWeights = AddWeights()


Method = MonoStlRecipe | AddRecipe
RECIPES: dict[str, type[MonoStlRecipe] | type[AddRecipe]] = {"monostl": MonoStlRecipe, "add": AddRecipe}
