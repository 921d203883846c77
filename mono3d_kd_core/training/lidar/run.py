"""A LiDAR teacher in training: its Lightning module and a whole run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import yaml
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from rich.progress import track as rich_track
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle, Card, load_bundle, save_bundle
from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.teachers.lidar import LidarTeacher
from mono3d_kd_core.training.average_precision import AveragePrecision
from mono3d_kd_core.training.examples import open_labelled
from mono3d_kd_core.training.fit import checkpoint_of, fit
from mono3d_kd_core.training.lidar.clouds import CloudExample, Clouds
from mono3d_kd_core.training.lidar.data import CloudData
from mono3d_kd_core.training.lidar.object_bank import ObjectBank
from mono3d_kd_core.training.lidar.recipe import TeacherRecipe
from mono3d_kd_core.training.matching import found_metrics, found_share
from mono3d_kd_core.training.recipe import ScheduleConfig

BACKBONE = "backbone_3d."
"""How the names of a 3D backbone's tensors begin."""
DISTANCES = ((0, 20), (20, 40), (40, 60), (60, 100))
"""Rings, in metres, by which recall is logged."""


class TeacherModule(pl.LightningModule):
    """Trains a LiDAR teacher with Adam on a one-cycle schedule (Smith 2018), as SECOND and PointPillars are."""

    def __init__(self, teacher: LidarTeacher[Any], schedule: ScheduleConfig, bfloat16: bool = False) -> None:
        super().__init__()
        self.teacher, self.schedule, self._reduced = teacher, schedule, bfloat16
        self.found: list[Boxes3D] = []
        self.truth: list[Boxes3D] = []
        self.average_precision = AveragePrecision(teacher.classes)

    def training_step(self, batch: list[CloudExample], _: int) -> Tensor:
        """Return the loss of a batch; ModelError ends a run whose loss is no number."""
        ground = self.teacher.ground([self.teacher.voxels(example.points) for example in batch])
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._reduced):
            answers = self.teacher.answer(ground)
        if self._reduced:
            answers = type(answers)(*(getattr(answers, field.name).float() for field in fields(answers)))
        terms = self.teacher.losses(answers, [example.boxes for example in batch])
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            names = ", ".join(example.id for example in batch)
            raise ModelError(f"the loss is not finite at step {self.global_step}, frames {names}; look at their labels")
        self.log("loss", loss, prog_bar=True, batch_size=len(batch))
        self.log_dict({f"loss/{name}": value for name, value in terms.items()}, batch_size=len(batch))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.found, self.truth = [], []
        self.average_precision.clear()

    def validation_step(self, batch: list[CloudExample], _: int) -> None:
        """Keep what was found and what is there."""
        answers = self.teacher.answer(self.teacher.ground([self.teacher.voxels(example.points) for example in batch]))
        found = self.teacher.decode(answers)
        self.found += found
        self.truth += [example.boxes for example in batch]
        self.average_precision.add(found, [example.reference for example in batch])

    def on_validation_epoch_end(self) -> None:
        """Log, for each class, how many objects were found within 2 m, by distance, and KITTI's average precision."""
        for name in self.teacher.classes:
            for beyond, nearer in DISTANCES:
                ring = found_share(self.found, self.truth, name, nearer=nearer, beyond=beyond)
                if ring.objects:
                    self.log(f"val_distance/recall_{name}_{beyond}-{nearer}m", ring.recall)
            share = found_share(self.found, self.truth, name)
            if share.objects:
                self.log(f"val/recall_{name}", share.recall, prog_bar=True)
                self.log(f"val/precision_{name}", share.precision)
        self.log_dict(self.average_precision.figures())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW, one cycle: up over 40 % of the steps from a tenth of the rate, then down; momentum runs against it."""
        s = self.schedule
        optimiser = torch.optim.AdamW(self.teacher.parameters(), s.learning_rate, weight_decay=s.weight_decay)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, s.learning_rate, int(self.trainer.estimated_stepping_batches), pct_start=0.4, div_factor=10
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(
        self, batch: list[CloudExample], device: torch.device, dataloader_idx: int
    ) -> list[CloudExample]:
        """Leave clouds on the host: they are cut into voxels there."""
        return batch


@dataclass(frozen=True)
class TeacherRun:
    """A whole run: data and val are labelled drives with LiDAR, see `open_labelled`; out as for students."""

    recipe: TeacherRecipe
    data: Sequence[Path]
    val: Sequence[Path]
    out: Path
    licence: str = ""

    def train(self, resume: bool = False, quiet: bool = False) -> Bundle:
        """Train and return the bundle. Raises ModelError or DataError in words; Ctrl-C is KeyboardInterrupt."""
        checkpoint = checkpoint_of(self.out, resume)
        recipe = self.recipe
        pl.seed_everything(recipe.schedule.seed, verbose=False)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "recipe.yaml").write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False))
        teacher = recipe.network()
        if recipe.weights:
            start_from(teacher, recipe.weights)
        if recipe.backbone_weights:
            start_backbone(teacher, recipe.backbone_weights)
        module = TeacherModule(teacher, recipe.schedule, recipe.bfloat16)
        train, val = (self._clouds(paths, teacher.classes) for paths in (self.data, self.val))
        if train is None:
            raise ModelError("no data to train on")
        labels = recipe.labels
        # Objects to fill up with come from the drawn frames, too: no label of any other is used.
        bank = self._bank(train.drawn(labels.share, labels.seed), quiet)
        train = train.drawn(labels.share, labels.seed, labels.repeat)
        data = CloudData(train, val, recipe, bank)
        fit(module, data, recipe.schedule, self.out, checkpoint, val is not None, quiet)
        return self._bundle(module, train)

    def _bank(self, clouds: Clouds, quiet: bool) -> ObjectBank | None:
        if not self.recipe.sampling:
            return None
        frames = rich_track(range(len(clouds)), "gathering objects", disable=quiet)
        return ObjectBank.gather((clouds[i] for i in frames), self.recipe.sampling)

    def _clouds(self, paths: Sequence[Path], classes: Sequence[str]) -> Clouds | None:
        if not paths:
            return None
        return Clouds([open_labelled(path) for path in paths], classes, self.recipe.min_points, self.recipe.cache_gib)

    def _bundle(self, module: TeacherModule, train: Clouds) -> Bundle:
        teacher = module.teacher
        card = Card(
            kind="teacher", architecture=teacher.architecture, config=teacher.config.model_dump(mode="json"),
            classes=list(teacher.classes), score_threshold=0.3, licence=self.licence,
            lidar=TrainedLidar.of(train.sweeps(50)),
            metrics=found_metrics(module.found, module.truth, teacher.classes),
            provenance={
                "recipe_sha256": hashlib.sha256((self.out / "recipe.yaml").read_bytes()).hexdigest(),
                "data": ", ".join(path.name for path in self.data),
                "val": ", ".join(path.name for path in self.val),
                "labelled_frames": str(len(train) // self.recipe.labels.repeat),
            },
        )  # fmt: skip
        return save_bundle(self.out / "bundle", card, teacher.state_dict(), half=True)


def start_from(teacher: LidarTeacher[Any], path: Path) -> None:
    """Start from the bundle of a teacher of the same shape. Raises ModelError when it does not fit."""
    try:
        teacher.load_state_dict(load_bundle(path).tensors)
    except RuntimeError as error:
        raise ModelError(f"{path}: the bundle's teacher has another shape than the recipe's: {error}") from error


def start_backbone(teacher: LidarTeacher[Any], path: Path) -> None:
    """Start the 3D backbone from a bundle's, of a backbone alone or of a whole teacher; the volume may differ.

    Raises ModelError when it does not fit, or when its voxels have another size.
    """
    bundle = load_bundle(path)
    mine = getattr(teacher, "backbone_3d", None)
    found = {name.removeprefix(BACKBONE): t for name, t in bundle.tensors.items() if name.startswith(BACKBONE)}
    if mine is None or not found:
        without = f"a {teacher.architecture}" if mine is None else f"the {bundle.card.architecture} of {path}"
        raise ModelError(f"backbone_weights: {without} has no 3D backbone; it needs a SECOND or CenterPoint over voxels")
    theirs, wanted = bundle.card.config.get("voxel"), list(teacher.config.grid.size)
    if not isinstance(theirs, list) or not np.allclose(theirs, wanted):
        raise ModelError(f"{path}: its backbone knows voxels of {theirs} m, not the recipe's of {wanted} m")
    try:
        mine.load_state_dict(found)
    except RuntimeError as error:
        raise ModelError(f"{path}: the bundle's 3D backbone has another shape than the recipe's: {error}") from error
