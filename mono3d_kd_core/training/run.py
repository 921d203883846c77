"""A whole training run: from a recipe and folders of data to a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import lightning.pytorch as pl
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from rich.progress import track as rich_track

from mono3d_kd_core.deploy.bundle import Bundle, Card, TrainedCamera, save_bundle
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.io.labelled import label_folder
from mono3d_kd_core.students.keypoint import KeypointConfig, KeypointStudent
from mono3d_kd_core.students.keypoint_targets import network_focal
from mono3d_kd_core.students.peaks import PeakConfig, PeakStudent
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.student import QueryStudent
from mono3d_kd_core.training.cache import Track
from mono3d_kd_core.training.data import RecipeData
from mono3d_kd_core.training.examples import Examples, open_labelled
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.matching import fit_calibration, found_metrics, match
from mono3d_kd_core.training.module import TrainingModule
from mono3d_kd_core.training.pictures import ValidationPictures
from mono3d_kd_core.training.recipe import PeakLearning
from mono3d_kd_core.training.weights import given, load_image_backbone, load_student_weights

RECIPE = "recipe.yaml"
SHOWN_SCORE = 0.3
"""The score threshold that the card recommends: calibrated, so about one in three of the weakest boxes shown is right."""
NEGLIGIBLE_SCORE = 0.03
NETWORKS: Mapping[type[PeakConfig], Callable[[Any], PeakStudent]] = {
    KeypointConfig: KeypointStudent, QueryConfig: QueryStudent,
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a training run reads and where it writes.

    data and val are labelled drives, see `open_labelled`: KITTI folders, target stores, bags with labels; out gets
    checkpoints/, logs/, recipe.yaml and, at the end, bundle/. What a method does otherwise, it overrides.
    """

    kind: ClassVar[Literal["student", "teacher"]] = "student"

    recipe: PeakLearning
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train and return the bundle. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt.

        A checkpoint is written after each epoch, so a stopped run resumes from its last whole epoch, as if it had never
        stopped.
        """
        checkpoint = checkpoint_of(self.out, resume)
        pl.seed_everything(self.recipe.schedule.seed, verbose=False)
        torch.set_float32_matmul_precision("high")
        self.out.mkdir(parents=True, exist_ok=True)
        data = self._data(quiet)
        try:
            student = self._student(data.cameras())
            module = self._module(student)
            module.to(memory_format=torch.channels_last)
            (self.out / RECIPE).write_text(self.plan)
            fit(module, data, self.recipe.schedule, self.out, checkpoint, bool(self.val), quiet, self._pictures())
            return self._bundle(module, data)
        finally:
            data.close()

    @property
    def plan(self) -> str:
        """The recipe as it is written beside the run."""
        return yaml.safe_dump(self.recipe.model_dump(mode="json"), sort_keys=False)

    def _module(self, student: PeakStudent) -> TrainingModule:
        return TrainingModule(student, self.recipe.schedule)

    def _pictures(self) -> list[Callback]:
        return [ValidationPictures()]

    def _data(self, quiet: bool) -> RecipeData:
        c = self.recipe.student
        size = (c.input_height, c.input_width)
        train, val = (
            Examples([open_labelled(path) for path in paths], c.classes, size, self.recipe.data) if paths else None
            for paths in (self.data, self.val)
        )
        if train is None:
            raise ModelError("no data to train on")
        return RecipeData(self.recipe, train, val, self.out / "cache", progress(quiet))

    def _student(self, cameras: Sequence[CameraModel]) -> PeakStudent:
        focal = float(np.median([network_focal(camera) for camera in cameras]))
        student = self._network(self.recipe.student.model_copy(update={"reference_focal": focal}))
        if self.recipe.weights is None:
            return student
        weights = given(self.recipe.weights)
        if weights.is_dir() and self.recipe.weights_of == "student":
            load_student_weights(student, weights)
        else:
            load_image_backbone(student.backbone, weights)
        return student

    def _network(self, config: PeakConfig) -> PeakStudent:
        return NETWORKS[type(config)](config)

    def _origin(self) -> dict[str, str]:
        """Return what else the bundle comes from."""
        return {}

    def _bundle(self, module: TrainingModule, data: RecipeData) -> Bundle:
        student = module.student
        assert isinstance(student, PeakStudent)
        config = student.config
        metrics: dict[str, float] = {}
        if self.val:
            calibration = fit_calibration(*_scores(module))
            config = config.model_copy(update={"calibration": calibration})
            found = [replace(boxes, score=calibration(boxes.score)) for boxes in module.found]
            metrics = found_metrics(found, module.truth, config.classes, SHOWN_SCORE)
        card = Card(
            kind=self.kind, architecture=student.architecture, config=config.model_dump(mode="json"),
            classes=list(config.classes), score_threshold=SHOWN_SCORE,
            camera=trained_camera(data.cameras()), licence=self.licence,
            metrics=metrics,
            provenance={
                "recipe_sha256": hashlib.sha256((self.out / RECIPE).read_bytes()).hexdigest(),
                "data": ", ".join(path.name for path in self.data),
                "val": ", ".join(path.name for path in self.val),
                "labels_sha256": labels_hash(self.data),
            }
            | self._origin(),
        )  # fmt: skip
        return save_bundle(self.out / "bundle", card, student.state_dict(), half=True)


def progress(quiet: bool) -> Track:
    """Return what shows progress on the terminal, or does not."""

    def track(items: Iterable[int], title: str) -> Iterable[int]:
        return rich_track(items, title, disable=quiet)

    return track


def trained_camera(cameras: Sequence[CameraModel]) -> TrainedCamera:
    """Return the median of the cameras as the network sees them, without the padding that letterboxing added."""
    of = [TrainedCamera.of(camera).model_dump() for camera in cameras]
    return TrainedCamera.model_validate({k: type(of[0][k])(np.median([c[k] for c in of])) for k in of[0]})


def labels_hash(drives: Sequence[Path]) -> str:
    """Return the sha256 of all label files of labelled drives, in order: what was taught."""
    return files_hash([folder for folder in map(label_folder, drives) if folder is not None])


def files_hash(folders: Sequence[Path]) -> str:
    """Return the sha256 of the label files of folders, in order."""
    digest = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.glob("*.txt")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def _scores(module: TrainingModule) -> tuple[np.ndarray[Any, np.dtype[np.float64]], np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the scores of the last validation's detections, and whether each was an object within 2 m.

    The many peaks of next to no score are left out: they would outweigh those that anybody looks at.
    """
    found = [boxes[boxes.score >= NEGLIGIBLE_SCORE] for boxes in module.found]
    right = [match(boxes, truth, 2.0) >= 0 for boxes, truth in zip(found, module.truth)]
    return np.concatenate([boxes.score for boxes in found]), np.concatenate(right)
