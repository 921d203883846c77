"""Batches of point clouds: filled up with objects of other frames, and changed at random."""

from __future__ import annotations

import lightning.pytorch as pl
import numpy as np
from torch.utils.data import DataLoader, Dataset

from mono3d_kd_core.training.data import EpochSampler, Key
from mono3d_kd_core.training.lidar.augment import change_world
from mono3d_kd_core.training.lidar.clouds import CloudExample, Clouds
from mono3d_kd_core.training.lidar.object_bank import ObjectBank
from mono3d_kd_core.training.lidar.recipe import TeacherRecipe


class ChangedClouds(Dataset[CloudExample]):
    """Clouds, randomly changed; the change depends on seed, epoch and index only."""

    def __init__(self, clouds: Clouds, recipe: TeacherRecipe, bank: ObjectBank | None) -> None:
        self.clouds, self.recipe, self.bank = clouds, recipe, bank

    def __getitem__(self, key: Key) -> CloudExample:
        epoch, index = key
        random = np.random.default_rng((self.recipe.schedule.seed, epoch, index))
        example = self.clouds[index]
        if self.bank:
            example = self.bank.fill(example, self.recipe.sampling, random)
        return change_world(example, self.recipe.augment, random)


class CloudData(pl.LightningDataModule):
    """Training and validation batches: lists of examples."""

    def __init__(self, train: Clouds, val: Clouds | None, recipe: TeacherRecipe, bank: ObjectBank | None) -> None:
        super().__init__()
        self._train, self._val, self._bank, self.recipe = train, val, bank, recipe

    def train_dataloader(self) -> DataLoader[CloudExample]:
        """Return the training batches of the trainer's epoch."""
        schedule = self.recipe.schedule
        t = self.trainer
        place = (t.current_epoch, t.global_rank, t.world_size) if t else (0, 0, 1)
        sampler = EpochSampler(len(self._train), schedule.seed, *place)
        return DataLoader(
            ChangedClouds(self._train, self.recipe, self._bank), min(schedule.batch_size, len(sampler)),
            sampler=sampler, num_workers=self.recipe.workers, collate_fn=list, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> list[DataLoader[CloudExample]]:
        """Return the validation batches, in order; no loader without validation data."""
        if self._val is None:
            return []
        return [DataLoader(self._val, self.recipe.schedule.batch_size, num_workers=self.recipe.workers, collate_fn=list)]
