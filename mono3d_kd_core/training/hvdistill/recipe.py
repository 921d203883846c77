"""Recipes of HVDistill: whose backbone learns, who looks at the pictures, and in which phases."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.hvdistill import HvConfig, HvWeights
from mono3d_kd_core.distillation.image_teacher import ImageTeacherConfig
from mono3d_kd_core.distillation.superpixels import SuperpixelConfig
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.volumes import VoxelConfig
from mono3d_kd_core.training.hvdistill.augment import PairAugmentConfig
from mono3d_kd_core.training.lessons import SourceConfig
from mono3d_kd_core.training.lidar.recipe import RECIPES, TeacherRecipe
from mono3d_kd_core.training.recipe import ScheduleConfig, Section, find_recipe, read_recipe


class LidarConfig(Section):
    """The LiDAR teacher whose 3D backbone is taught."""

    recipe: str
    """File or name of its recipe; SECOND, or CenterPoint over voxels."""
    set: tuple[str, ...] = ()
    """Changes to that recipe, as on the command line."""

    def teacher(self) -> tuple[TeacherRecipe, VoxelConfig]:
        """Return the teacher's recipe and the shape of its network. Raises ModelError for one without voxels."""
        path = find_recipe(self.recipe)
        content = read_recipe(path, list(self.set))
        kind = RECIPES.get(str(content.get("architecture")))
        if kind is None:
            raise ModelError(f"{path}: this is no recipe of a LiDAR teacher; known are {', '.join(RECIPES)}")
        recipe = validated(kind, content, str(path))
        if not isinstance(recipe.teacher, VoxelConfig):
            raise ModelError(
                f"{path}: a {recipe.architecture} has no 3D backbone to teach; take SECOND, or CenterPoint over voxels"
            )
        return recipe, recipe.teacher


class PhaseConfig(Section):
    """One phase: what is taught, and for how long."""

    name: str = Field(pattern=r"^[a-z0-9_]+$")
    teach: HvWeights = HvWeights()
    schedule: ScheduleConfig


class HvDistillRecipe(Section):
    """An image teacher, the LiDAR backbone that learns from it, and the drives on which they meet. No labels anywhere."""

    architecture: Literal["hvdistill"]
    lidar: LidarConfig
    image: ImageTeacherConfig = ImageTeacherConfig()
    input_height: int = Field(default=224, gt=0, multiple_of=32)
    """Pictures are fitted into this size."""
    input_width: int = Field(default=416, gt=0, multiple_of=32)
    superpixels: SuperpixelConfig = SuperpixelConfig()
    network: HvConfig = HvConfig()
    views: Literal["hybrid", "image_plane"] = "hybrid"
    """image_plane leaves the ground and depth out of all phases: SLidR, for comparison."""
    sources: tuple[SourceConfig, ...] = ()
    val: tuple[Path, ...] = ()
    """Drives on which is only measured how many superpixels and cells find their own."""
    augment: PairAugmentConfig = PairAugmentConfig()
    optimiser: Literal["sgd", "adamw"] = "sgd"
    """sgd: momentum 0.9, dampening 0.1, as released."""
    workers: int = Field(default=0, ge=0)
    phases: tuple[PhaseConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> HvDistillRecipe:
        names = [phase.name for phase in self.phases]
        if len(set(names)) < len(names) or {"bundle", "superpixels"} & set(names):
            raise ValueError(f"the phases' names {names} must differ from each other, and from 'bundle' and 'superpixels'")
        if any(source.labels or source.targets for source in self.sources):
            raise ValueError("sources have neither labels nor targets here: nothing of them would be used")
        for phase in self.phases:
            if not any(self.weights(phase).model_dump().values()):
                raise ValueError(f"phase {phase.name} teaches nothing: its terms have no weight")
        return self

    def weights(self, phase: PhaseConfig) -> HvWeights:
        """Return the terms of a phase, under the chosen views."""
        if self.views == "hybrid":
            return phase.teach
        return phase.teach.model_copy(update={"ground": 0.0, "depth": 0.0})
