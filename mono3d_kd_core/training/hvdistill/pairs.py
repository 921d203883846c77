"""Pictures with their sweeps, from any drive, without labels: what HVDistill is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from mono3d_kd_core.distillation.hvdistill import Pair
from mono3d_kd_core.distillation.superpixels import SuperpixelConfig, superpixels
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.teachers.lidar import usable_points
from mono3d_kd_core.training.data import EpochSampler, Key
from mono3d_kd_core.training.hvdistill.augment import change_pair
from mono3d_kd_core.training.hvdistill.recipe import HvDistillRecipe
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import SourceConfig
from mono3d_kd_core.training.recipe import ScheduleConfig


class Pairs(Dataset[Pair]):
    """The frames of the sources as pairs of one size (height, width), with the points that the picture shows.

    Raises DataError for frames that a LiDAR teacher could not look at: without points, or with intensities on another scale
    than [0, 1]. A picture is cut into superpixels once; they are kept in `kept`, where a resumed run finds them.
    """

    def __init__(
        self, sources: Sequence[SourceConfig], size: tuple[int, int], config: SuperpixelConfig, kept: Path, guard: Guard
    ) -> None:
        self.size, self.config, self.guard = size, config, guard
        about = f"{size} {config.model_dump_json()}"
        self._kept = kept / hashlib.sha256(about.encode()).hexdigest()[:12]
        self._places: list[tuple[FrameSource, int]] = []
        for source in sources:
            frames = open_source(source.path, source.rig)
            count = len(frames)
            chosen = np.unique(np.linspace(0, count - 1, max(1, round(source.share * count))).round().astype(int))
            self._places += [(frames, i) for _ in range(source.repeat) for i in chosen.tolist()]
        if not self._places:
            raise DataError("the recipe names no sources to learn from; give sources, or --data")

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Pair:
        source, i = self._places[index]
        frame = source[i]
        self.guard.check(source.name, frame)
        points = usable_points(frame)
        camera = frame.rig.camera
        letterbox = Letterbox.fit(camera.width, camera.height, self.size)
        image = letterbox.image(frame.image)
        points = points[points_in_view(points, camera, frame.rig.T_camera_lidar)]
        numbers = self._superpixels(frame, image, letterbox)
        return Pair(frame.id, image, numbers, letterbox.camera(camera), frame.rig.T_camera_lidar, points)

    def sweeps(self, most: int) -> list[NDArray[np.float32]]:
        """Return the whole sweeps (N,4) of at most so many frames, evenly spread."""
        chosen = self._places[:: -(-len(self) // most)]
        return [points for source, i in chosen if (points := source[i].points) is not None]

    def _superpixels(self, frame: SensorFrame, image: NDArray[np.uint8], placed: Letterbox) -> NDArray[np.int64]:
        """Return the superpixels of the picture inside its padding, from the file of its pixels where that exists."""
        file = self._kept / f"{hashlib.blake2b(image.tobytes(), digest_size=12).hexdigest()}.png"
        inside = (slice(placed.top, placed.top + placed.height), slice(placed.left, placed.left + placed.width))
        found = cv2.imread(str(file), cv2.IMREAD_UNCHANGED) if file.is_file() else None
        if found is None:
            found = superpixels(image[inside], self.config).astype(np.uint16)
            write_atomically(file, cv2.imencode(".png", found)[1].tobytes())
        numbers = np.full(self.size, -1, np.int64)
        numbers[inside] = found
        return numbers


class ChangedPairs(Dataset[Pair]):
    """Pairs, randomly changed; the change depends on seed, epoch and index only."""

    def __init__(self, pairs: Pairs, recipe: HvDistillRecipe, seed: int) -> None:
        self.pairs, self.recipe, self.seed = pairs, recipe, seed

    def __getitem__(self, key: Key) -> Pair:
        epoch, index = key
        return change_pair(self.pairs[index], self.recipe.augment, np.random.default_rng((self.seed, epoch, index)))


class PairData(pl.LightningDataModule):
    """Training and validation batches: lists of pairs."""

    def __init__(self, train: Pairs, val: Pairs | None, recipe: HvDistillRecipe, schedule: ScheduleConfig) -> None:
        super().__init__()
        self._train, self._val, self.recipe, self.schedule = train, val, recipe, schedule

    def train_dataloader(self) -> DataLoader[Pair]:
        """Return the training batches of the trainer's epoch; a last, smaller batch is left out."""
        t = self.trainer
        place = (t.current_epoch, t.global_rank, t.world_size) if t else (0, 0, 1)
        sampler = EpochSampler(len(self._train), self.schedule.seed, *place)
        return DataLoader(
            ChangedPairs(self._train, self.recipe, self.schedule.seed), min(self.schedule.batch_size, len(sampler)),
            sampler=sampler, num_workers=self.recipe.workers, collate_fn=list, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> list[DataLoader[Pair]]:
        """Return the validation batches, in order; no loader without validation data."""
        if self._val is None:
            return []
        return [DataLoader(self._val, self.schedule.batch_size, num_workers=self.recipe.workers, collate_fn=list)]
