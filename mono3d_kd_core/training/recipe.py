"""A recipe: everything that decides a training run, as one YAML file with the same keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.keypoint import KeypointConfig
from mono3d_kd_core.students.peaks import PeakConfig
from mono3d_kd_core.students.query.config import QueryConfig


class Section(BaseModel):
    """A part of a recipe: no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(Section):
    """Which rows of the label files are learned, and how frames are read."""

    ignored: tuple[str, ...] = ("DontCare", "Van", "Person_sitting")
    """Neither objects nor background: the classes' look-alikes."""
    min_score: float | None = None
    """Rows with a lower score are neither objects nor background. Default: what the target store recommends."""
    full_score: float | None = Field(default=None, gt=0)
    """Rows count as score / full_score, at most 1. Default: all the same."""
    max_occlusion: int = Field(default=2, ge=0, le=3)
    max_truncation: float = Field(default=0.8, ge=0, le=1)
    min_height: float = Field(default=0.0, ge=0)
    """Pixels of the network's input; lower 2D boxes are neither objects nor background."""
    cache_gib: float = Field(default=4.0, ge=0)
    """Resized pictures are kept on disk beside the run when they fit in so many GiB; 0 reads them anew each time."""
    workers: int = Field(default=0, ge=0)
    """Processes that prepare batches. With the cache a picture takes about 3 ms, so that none is best on two cores."""


class AugmentConfig(Section):
    """Random changes of a training picture; the camera and the labels follow each of them."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring left to right."""
    scale_crop: float = Field(default=0.5, ge=0, le=1)
    """Probability of scaling and shifting."""
    scale: tuple[float, float] = (0.8, 1.25)
    shift: float = Field(default=0.1, ge=0, le=0.5)
    """At most so far, as a share of the picture's width and height."""
    colour: float = Field(default=0.5, ge=0, le=1)
    """Probability of changing brightness, contrast, saturation and tint."""


class MapAugmentConfig(AugmentConfig):
    """The changes that a bird's-eye student's pictures go through: crops are left out, a map stays where it is."""

    scale_crop: float = Field(default=0.0, ge=0, le=1)
    colour: float = Field(default=0.0, ge=0, le=1)


class ScheduleConfig(Section):
    """The optimiser (AdamW) and its learning rate: linear warm-up, then a half cosine to zero, step by step."""

    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    """Of one process."""
    accumulate: int = Field(default=1, gt=0)
    """Batches whose gradients are added up before a step."""
    learning_rate: float = Field(default=1.25e-3, gt=0)
    weight_decay: float = Field(default=1e-5, ge=0)
    warmup: float = Field(default=0.05, ge=0, le=1)
    """Share of all steps."""
    gradient_clip: float = Field(default=10.0, gt=0)
    """Largest norm of the gradient."""
    bfloat16: bool = False
    """Compute a student in bfloat16 where there is no GPU: half the time on a processor that has it. Weights and losses
    stay float32. A GPU computes in half precision anyway."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is then what is validated and kept."""
    validate_every: int = Field(default=1, gt=0)
    """Epochs."""
    seed: int = 0


class Learning(Section):
    """How examples are read, changed and learned: what every run of a student has."""

    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    schedule: ScheduleConfig


class PeakLearning(Learning):
    """A keypoint or query network and how it is trained, by whatever method."""

    student: PeakConfig
    weights: Path | None = None
    """Where to start from: public weights of the backbone, see `load_backbone_weights`, or the bundle of a like student."""
    weights_of: Literal["student", "backbone"] = "student"
    """Of a bundle: take all of it, or its image backbone only, which suits teachers that see depth, too."""


class KeypointLearning(PeakLearning):
    """A keypoint network and how it is trained."""

    student: KeypointConfig = KeypointConfig()


class QueryLearning(PeakLearning):
    """A query network and how it is trained."""

    student: QueryConfig = QueryConfig()


class Recipe(KeypointLearning):
    """A keypoint student that learns labels, or a teacher's boxes alone."""

    architecture: Literal["keypoint"] = "keypoint"


class QueryRecipe(QueryLearning):
    """A query student that learns the same."""

    architecture: Literal["query"]


def load_recipe(path: Path, changes: list[str] | None = None) -> Recipe:
    """Read a student's recipe, with `changes`. ModelError says file, key and the nearest valid one."""
    return validated(Recipe, read_recipe(path, changes), str(path))


def read_recipe(path: Path, changes: list[str] | None = None) -> dict[str, Any]:
    """Read the keys of a recipe and apply `changes` such as "schedule.epochs=5"; the values are not checked yet."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: cannot be read as a recipe: {error}") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path}: expected the keys of a recipe, such as student and schedule")
    for change in changes or []:
        apply_change(content, change)
    return content


def find_recipe(name: str) -> Path:
    """Return the file that a user means: a path, or the name of a recipe that comes with the package."""
    from mono3d_kd_core.resources import config_dir

    if Path(name).is_file():
        return Path(name)
    folder = config_dir() / "recipes"
    packaged = folder / f"{name.removesuffix('.yaml')}.yaml"
    if not packaged.is_file():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        raise ModelError(f"{name}: no such recipe file, and none of the packaged recipes: {known}")
    return packaged


def apply_change(content: dict[str, Any], change: str) -> None:
    """Set one dotted key of nested mappings to a YAML value, "key=value". Raises ModelError in words."""
    key, equals, value = change.partition("=")
    if not equals or not key:
        raise ModelError(f'--set {change}: expected key=value, such as "schedule.epochs=5"')
    *sections, last = key.split(".")
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise ModelError(f"--set {change}: {section} is a value, not a section")
    try:
        content[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ModelError(f"--set {change}: the value is not YAML: {error}") from error
