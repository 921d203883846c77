"""CMKD's recipe: sources and stages."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from mono3d_kd_core.distillation.cmkd import CmkdWeights
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.training.lessons import SourceConfig
from mono3d_kd_core.training.recipe import DataConfig, MapAugmentConfig, ScheduleConfig, Section


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
    """Where to start from: public weights of the image backbone, see `load_backbone_weights`, or the bundle of a like
    student, or of another one with the same backbone."""
    weights_of: Literal["student", "image"] = "student"
    """What to take from a like student's bundle: all of it, or its image network alone. Map, 2D backbone and head then start
    as they would without weights."""
    teacher: TeacherConfig | None = None
    sources: tuple[SourceConfig, ...] = ()
    val: tuple[Path, ...] = ()
    """Labelled drives; no frame of theirs may be among the sources."""
    data: DataConfig = DataConfig()
    augment: MapAugmentConfig = MapAugmentConfig()
    stages: tuple[StageConfig, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _makes_sense(self) -> CmkdRecipe:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names) or "teacher" in names:
            raise ValueError(f"the stages' names {names} must differ from each other and from 'teacher'")
        if self.augment.scale_crop:
            raise ValueError("augment.scale_crop must be 0: a teacher's map stays where it is")
        return self
