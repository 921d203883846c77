"""Batches: the same ones in the same order for the same seed, wherever a run was interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.training.augment import augment
from mono3d_kd_core.training.cache import CachedExamples, Track, bytes_needed
from mono3d_kd_core.training.examples import Example, ExampleSource
from mono3d_kd_core.training.recipe import AugmentConfig, Learning
from mono3d_kd_core.training.reference import Reference

Key = tuple[int, int]
"""Epoch and index: all that the random changes of an example depend on, beside the seed."""


@dataclass
class Batch:
    """B pictures as (B,3,H,W) uint8 RGB, their cameras and T_camera_lidar, annotations and references."""

    ids: list[str]
    images: Tensor
    cameras: list[CameraModel]
    poses: list[Matrix]
    annotations: list[Annotation]
    references: list[Reference]


def collate(examples: Sequence[Example]) -> Batch:
    """Join examples of one size; the pictures come channels last in memory, as convolutions on a CPU like them."""
    images = torch.from_numpy(np.stack([example.image for example in examples])).permute(0, 3, 1, 2)
    return Batch(
        [e.id for e in examples], images, [e.camera for e in examples], [e.pose for e in examples],
        [e.annotation for e in examples], [e.reference for e in examples],
    )  # fmt: skip


class TrainingSet(Dataset[Example]):
    """Examples, randomly changed; the change depends on seed, epoch and index only, not on who asks or when."""

    def __init__(self, examples: ExampleSource, config: AugmentConfig, seed: int) -> None:
        self.examples = examples
        self.config = config
        self.seed = seed

    def __getitem__(self, key: Key) -> Example:
        epoch, index = key
        return augment(self.examples[index], self.config, np.random.default_rng((self.seed, epoch, index)))


class PlainSet(Dataset[Example]):
    """Examples as they are, for validation."""

    def __init__(self, examples: ExampleSource) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Example:
        return self.examples[index]


class EpochSampler(Sampler[Key]):
    """Every index once an epoch, in an order that depends on seed and epoch only.

    Of `world` processes each takes every world-th; a rest that does not go round is left out.
    """

    def __init__(self, length: int, seed: int, epoch: int = 0, rank: int = 0, world: int = 1) -> None:
        self.length = length
        self.seed = seed
        self.epoch = epoch
        self.rank, self.world = rank, world

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length // self.world

    def __iter__(self) -> Iterator[Key]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        mine = order[self.rank : len(self) * self.world : self.world]
        return iter([(self.epoch, int(index)) for index in mine])


class RecipeData(pl.LightningDataModule):
    """Training and validation batches of a recipe; `join` and `join_val` make them of their examples."""

    def __init__(
        self, recipe: Learning, train: ExampleSource, val: ExampleSource | None, cache: Path, track: Track,
        join: Callable[[Sequence[Any]], Batch] = collate, join_val: Callable[[Sequence[Any]], Batch] = collate,
    ) -> None:  # fmt: skip
        super().__init__()
        self.recipe, self.join, self.join_val = recipe, join, join_val
        self._caches: list[CachedExamples] = []
        self._train = self._kept(train, cache / "train.npy", track)
        self._val = None if val is None else self._kept(val, cache / "val.npy", track)

    def _kept(self, examples: ExampleSource, file: Path, track: Track) -> ExampleSource:
        if bytes_needed(examples) > self.recipe.data.cache_gib * 2**30:
            return examples
        cached = CachedExamples(examples, file, track)
        self._caches.append(cached)
        return cached

    @property
    def training_examples(self) -> ExampleSource:
        """What is trained on, unchanged."""
        return self._train

    def cameras(self) -> list[CameraModel]:
        """Return the cameras of (at most 200, evenly chosen) training examples, as the network sees them."""
        step = max(1, len(self._train) // 200)
        return [self._train[index].camera for index in range(0, len(self._train), step)]

    def train_dataloader(self) -> DataLoader[Example]:
        """Return the training batches of the trainer's epoch; a last, smaller batch is left out."""
        schedule, workers = self.recipe.schedule, self.recipe.data.workers
        t = self.trainer
        place = (t.current_epoch, t.global_rank, t.world_size) if t else (0, 0, 1)
        sampler = EpochSampler(len(self._train), schedule.seed, *place)
        return DataLoader(
            TrainingSet(self._train, self.recipe.augment, schedule.seed), min(schedule.batch_size, len(sampler)),
            sampler=sampler, num_workers=workers, collate_fn=self.join, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> list[DataLoader[Example]]:
        """Return the validation batches, in order; no loader without validation data."""
        if self._val is None:
            return []
        batch = self.recipe.schedule.batch_size
        return [DataLoader(PlainSet(self._val), batch, num_workers=self.recipe.data.workers, collate_fn=self.join_val)]

    def close(self) -> None:
        """Remove the cached pictures."""
        for cached in self._caches:
            cached.close()
