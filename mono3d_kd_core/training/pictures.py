"""Validation pictures for TensorBoard: targets in white, detections in the classes' colours."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger

from mono3d_kd_core.drawing import draw_boxes
from mono3d_kd_core.training.data import Batch

WHITE = (255, 255, 255)
SHOWN_SCORE = 0.3


class ValidationPictures(Callback):
    """Logs the first pictures of each validation."""

    def __init__(self, count: int = 4) -> None:
        self.count = count

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Draw what this batch contributes to the first `count` pictures."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        start = len(module.found) - len(batch.ids)
        for i in range(min(len(batch.ids), self.count - start)):
            image = np.ascontiguousarray(batch.images[i].permute(1, 2, 0).cpu().numpy())
            truth, found = batch.annotations[i].boxes, module.found[start + i]
            picture = draw_boxes(image, truth, batch.cameras[i], colour=WHITE, texts=[""] * len(truth))
            picture = draw_boxes(picture, found[found.score >= SHOWN_SCORE], batch.cameras[i])
            for logger in loggers:
                logger.experiment.add_image(f"val/{batch.ids[i]}", picture, trainer.current_epoch, dataformats="HWC")
