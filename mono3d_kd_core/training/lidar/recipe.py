"""Recipes of LiDAR teachers: one class for each architecture, with its own settings of the network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from mono3d_kd_core.teachers.centerpoint import CenterPillars, CenterPillarsConfig, CenterPoint, CenterPointConfig
from mono3d_kd_core.teachers.lidar import LidarConfig, LidarTeacher
from mono3d_kd_core.teachers.pointpillars import PointPillars, PointPillarsConfig
from mono3d_kd_core.teachers.second import Second, SecondConfig
from mono3d_kd_core.training.lidar.augment import WorldAugmentConfig
from mono3d_kd_core.training.recipe import ScheduleConfig, Section


class LabelsConfig(Section):
    """Which of the labelled frames are learned from."""

    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the frames, drawn at random: 0.01 is one in a hundred."""
    seed: int = 0
    """Of the drawing; the schedule's seed does not change it. A greater share holds the frames of a smaller one."""
    repeat: int = Field(default=1, gt=0)
    """How often each is seen in an epoch: few frames need as many steps as many."""


class TeacherRecipe(Section):
    """A LiDAR teacher and how it is trained."""

    architecture: str
    teacher: LidarConfig
    weights: Path | None = None
    """The bundle of a like teacher to start from, such as an imported one."""
    backbone_weights: Path | None = None
    """A bundle whose 3D backbone to start from, such as one that HVDistill taught; all else starts at random."""
    labels: LabelsConfig = LabelsConfig()
    sampling: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """By class, how many objects a training cloud is filled up to with those of other frames (ground-truth sampling)."""
    augment: WorldAugmentConfig = WorldAugmentConfig()
    min_points: int = Field(default=5, ge=0)
    """Objects with fewer LiDAR points are not taught."""
    cache_gib: float = Field(default=2.0, ge=0)
    """Clouds stay in memory when they fit in so many GiB, training and validation each; others are read anew each time."""
    bfloat16: bool = False
    """Compute the 2D backbone and the head in bfloat16 while training: half the time where the processor has it. Weights,
    points and losses stay in float32."""
    workers: int = Field(default=0, ge=0)
    schedule: ScheduleConfig

    def network(self) -> LidarTeacher[Any]:
        """Return the untrained network."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _starts_once(self) -> Self:
        if self.weights and self.backbone_weights:
            raise ValueError("give either weights, a whole teacher, or backbone_weights")
        return self


class PointPillarsRecipe(TeacherRecipe):
    """How a PointPillars is trained."""

    architecture: Literal["pointpillars"] = "pointpillars"
    teacher: PointPillarsConfig = PointPillarsConfig()

    def network(self) -> PointPillars:
        """Return the untrained network."""
        return PointPillars(self.teacher)


class SecondRecipe(TeacherRecipe):
    """How a SECOND is trained."""

    architecture: Literal["second"] = "second"
    teacher: SecondConfig = SecondConfig()

    def network(self) -> Second:
        """Return the untrained network."""
        return Second(self.teacher)


class CenterPointRecipe(TeacherRecipe):
    """How a CenterPoint over voxels is trained."""

    architecture: Literal["centerpoint"] = "centerpoint"
    teacher: CenterPointConfig = CenterPointConfig()

    def network(self) -> CenterPoint:
        """Return the untrained network."""
        return CenterPoint(self.teacher)


class CenterPillarsRecipe(TeacherRecipe):
    """How a CenterPoint over pillars is trained."""

    architecture: Literal["centerpoint_pillar"] = "centerpoint_pillar"
    teacher: CenterPillarsConfig = CenterPillarsConfig()

    def network(self) -> CenterPillars:
        """Return the untrained network."""
        return CenterPillars(self.teacher)


RECIPES: dict[str, type[TeacherRecipe]] = {
    "centerpoint": CenterPointRecipe,
    "centerpoint_pillar": CenterPillarsRecipe,
    "pointpillars": PointPillarsRecipe,
    "second": SecondRecipe,
}
"""Architecture -> recipe."""
