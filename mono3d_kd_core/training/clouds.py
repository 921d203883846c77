"""Batches of point clouds with boxes, for training LiDAR teachers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightning.pytorch as pl
import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch.utils.data import DataLoader, Dataset

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.geometry.rigid import rotation_z
from mono3d_kd_core.training.data import EpochSampler, Key
from mono3d_kd_core.training.examples import Labelled
from mono3d_kd_core.training.recipe import ScheduleConfig, Section
from mono3d_kd_core.training.reference import Reference


class WorldAugmentConfig(Section):
    """Random changes of cloud and boxes together, about the LiDAR (SECOND, Yan et al. 2018, section 3.3)."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring left to right."""
    rotation: float = Field(default=0.7854, ge=0)
    """At most so many radians about the vertical axis, either way."""
    scale: tuple[float, float] = (0.95, 1.05)


@dataclass(frozen=True)
class CloudExample:
    """One cloud (N,4) of the camera's view, the objects in it, frame "lidar", and what is known of the frame."""

    id: str
    points: NDArray[np.float32]
    boxes: Boxes3D
    reference: Reference


class Clouds(Dataset[CloudExample]):
    """Clouds of labelled sources, one source after the other; labels other than `classes` are left out.

    Only what the camera sees is kept, since KITTI labels nothing else.
    """

    def __init__(self, sources: Sequence[Labelled], classes: Sequence[str], min_points: int = 5) -> None:
        self._places = [(source, i) for source in sources for i in range(len(source))]
        self.classes, self.min_points = classes, min_points
        if not self._places:
            raise DataError(f"no frames to train on in {', '.join(source.name for source in sources)}")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> CloudExample:
        source, i = self._places[index]
        frame = source[i]
        if frame.points is None:
            raise DataError(f"{source.name}: frame {frame.id} has no LiDAR points; a LiDAR teacher cannot learn from it")
        labels = source.labels(i)
        boxes = frame.rig.boxes_in_lidar(labels.boxes())
        boxes = boxes[np.isin(boxes.label, self.classes)]
        points = frame.points[points_in_view(frame.points, frame.rig.camera, frame.rig.T_camera_lidar)]
        enough = boxes.contains(points[:, :3]).sum(1) >= self.min_points
        return CloudExample(frame.id, points, boxes[enough], Reference.of(labels, frame.rig))


class ChangedClouds(Dataset[CloudExample]):
    """Clouds, randomly changed; the change depends on seed, epoch and index only."""

    def __init__(self, clouds: Clouds, config: WorldAugmentConfig, seed: int) -> None:
        self.clouds, self.config, self.seed = clouds, config, seed

    def __getitem__(self, key: Key) -> CloudExample:
        epoch, index = key
        return change_world(self.clouds[index], self.config, np.random.default_rng((self.seed, epoch, index)))


def change_world(example: CloudExample, config: WorldAugmentConfig, random: np.random.Generator) -> CloudExample:
    """Mirror, turn and scale the world about the LiDAR; cloud and boxes alike."""
    points, boxes = example.points.astype(np.float64), example.boxes
    centre, yaw = boxes.centre, boxes.yaw
    if random.random() < config.flip:
        mirror = np.array([1.0, -1.0, 1.0])
        points[:, :3] *= mirror
        centre, yaw = centre * mirror, -yaw
    turn = random.uniform(-config.rotation, config.rotation)
    scale = random.uniform(*config.scale)
    rotation = rotation_z(turn) * scale
    points[:, :3] = points[:, :3] @ rotation.T
    changed = Boxes3D(centre @ rotation.T, boxes.size * scale, yaw + turn, boxes.label, frame="lidar")
    return replace(example, points=points.astype(np.float32), boxes=changed)


class CloudData(pl.LightningDataModule):
    """Training and validation batches: lists of examples."""

    def __init__(
        self, train: Clouds, val: Clouds | None, augment: WorldAugmentConfig, schedule: ScheduleConfig, workers: int
    ) -> None:
        super().__init__()
        self._train, self._val = train, val
        self.augment, self.schedule, self.workers = augment, schedule, workers

    def train_dataloader(self) -> DataLoader[CloudExample]:
        """Return the training batches of the trainer's epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        sampler = EpochSampler(len(self._train), self.schedule.seed, epoch)
        return DataLoader(
            ChangedClouds(self._train, self.augment, self.schedule.seed), min(self.schedule.batch_size, len(sampler)),
            sampler=sampler, num_workers=self.workers, collate_fn=list, drop_last=True,
        )  # fmt: skip

    def val_dataloader(self) -> list[DataLoader[CloudExample]]:
        """Return the validation batches, in order; no loader without validation data."""
        if self._val is None:
            return []
        return [DataLoader(self._val, self.schedule.batch_size, num_workers=self.workers, collate_fn=list)]
