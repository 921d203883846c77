"""A student in training, as Lightning sees it. It knows the student's protocol and nothing of any one student."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.students.base import Student
from mono3d_kd_core.training.average_precision import AveragePrecision
from mono3d_kd_core.training.data import Batch
from mono3d_kd_core.training.matching import found_share, judged
from mono3d_kd_core.training.recipe import ScheduleConfig


class TrainingModule(pl.LightningModule):
    """Trains a student by the sum of its loss terms, with AdamW, warm-up and a half cosine."""

    def __init__(self, student: Student, schedule: ScheduleConfig) -> None:
        super().__init__()
        self.student = student
        self.schedule = schedule
        self.found: list[Boxes3D] = []
        self.truth: list[Boxes3D] = []
        self.average_precision = AveragePrecision(student.classes)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make a step's chance (dropout) depend on seed, epoch and step only, so that a resumed run takes the same steps."""
        torch.manual_seed((self.schedule.seed * 100_003 + self.current_epoch) * 1_000_003 + batch_idx)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the loss of a batch; ModelError ends a run whose loss is no number."""
        terms = self.terms(batch)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            bad = ", ".join(f"{name} {value.item():.3g}" for name, value in terms.items() if not torch.isfinite(value))
            raise ModelError(
                f"the loss is not finite at step {self.global_step} (epoch {self.current_epoch}): {bad}, frames "
                f"{', '.join(batch.ids)}; look at their labels, or lower schedule.learning_rate and --resume"
            )
        size = len(batch.ids)
        self.log("loss", loss, prog_bar=True, batch_size=size)
        self.log_dict({f"loss/{name}": value for name, value in terms.items()}, batch_size=size)
        return loss

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted terms of the loss of a training batch."""
        output = self.student(batch.images, batch.cameras, batch.poses)
        return self.student.losses(output, batch.annotations, batch.cameras)

    def on_validation_epoch_start(self) -> None:
        """Forget the last validation."""
        self.found, self.truth = [], []
        self.average_precision.clear()

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keep what was found and what is there."""
        output = self.student(batch.images, batch.cameras, batch.poses)
        terms = self.student.losses(output, batch.annotations, batch.cameras)
        self.log("val/loss", torch.stack(list(terms.values())).sum(), batch_size=len(batch.ids))
        found = self.student.decode(output, batch.cameras)
        self.found += [judged(*each) for each in zip(found, batch.annotations, batch.cameras)]
        self.truth += [annotation.boxes for annotation in batch.annotations]
        self.average_precision.add(found, batch.references)

    def on_validation_epoch_end(self) -> None:
        """Log, for each class, how many objects nearer than 40 m were found within 2 m, and KITTI's average precision."""
        for name in self.student.classes:
            share = found_share(self.found, self.truth, name)
            if share.objects:
                self.log(f"val/recall_{name}", share.recall, prog_bar=name == self.student.classes[0])
                self.log(f"val/precision_{name}", share.precision)
        self.log_dict(self.average_precision.figures())

    def learned(self) -> list[nn.Parameter]:
        """What is trained."""
        return list(self.student.parameters())

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Decay weights of convolutions only; biases and normalisations are left alone."""
        matrices = [p for p in self.learned() if p.dim() > 1]
        vectors = [p for p in self.learned() if p.dim() <= 1]
        s = self.schedule
        groups: list[dict[str, Any]] = [
            {"params": matrices, "weight_decay": s.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups, s.learning_rate)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: learning_rate_at(step, steps, s.warmup))
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move the pictures; cameras and annotations are used on the host."""
        return replace(batch, images=batch.images.to(device, non_blocking=True))


def learning_rate_at(step: int, steps: int, warmup: float) -> float:
    """Return the share of the full learning rate at a step: linear to 1 over the warm-up, then a half cosine to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * min(1, (step - rising) / max(1, steps - rising))))
