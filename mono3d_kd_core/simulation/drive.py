"""Simulated drives and single scenes as sources of frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.simulation.renderer import Renderer, Shot
from mono3d_kd_core.simulation.rig import KITTI, SimulatedRig
from mono3d_kd_core.simulation.world import Split, World, build_world

INTERVAL = 100_000_000
"""Nanoseconds between frames: 10 Hz."""
START = 1_600_000_000 * 1_000_000_000
"""The stamp of a drive's first frame, ns."""


class _Simulated(ABC):
    """A frame source whose frames are drawn when they are asked for."""

    def __init__(self, name: str, frames: int) -> None:
        self.name = name
        self._ids = [f"{i:06d}" for i in range(frames)]

    @property
    def ids(self) -> Sequence[str]:
        """The frame ids, in order of time."""
        return self._ids

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> SensorFrame:
        return self.shot(index).frame

    def picture(self, index: int) -> SensorFrame:
        """Return what the camera alone saw: the frame without points."""
        return self[index].without_points()

    def __iter__(self) -> Iterator[SensorFrame]:
        return (self[i] for i in range(len(self)))

    @abstractmethod
    def shot(self, index: int) -> Shot:
        """Return a frame with the whole truth about it."""


class SimulatedDrive(_Simulated):
    """A drive through one world at 10 Hz: the test vehicle and the traffic move, identities stay.

    Frames are drawn when they are asked for; the same seed and index give the same bytes, in any order. `block` x `block`
    rays make a pixel.
    """

    def __init__(
        self,
        seed: int,
        frames: int,
        rig: SimulatedRig = KITTI,
        *,
        index: int = 0,
        split: Split = "train",
        block: int = 1,
    ) -> None:
        super().__init__(f"simulated drive {index} of seed {seed}", frames)
        self._seed, self._index, self._split = seed, index, split
        self._world: World | None = None
        self._renderer = Renderer(rig.sensors(), block)

    def shot(self, index: int) -> Shot:
        """Return a frame with the whole truth about it."""
        number = range(len(self))[index]
        if self._world is None:
            self._world = build_world(self._seed, self._index, self._split, seconds=len(self) * INTERVAL / 1e9)
        rng = _noise(self._seed, self._split, self._index, number)
        return self._renderer.shoot(
            self._world, number * INTERVAL / 1e9, self._ids[number], START + number * INTERVAL, rng
        )


class SimulatedScenes(_Simulated):
    """Single moments, each of a world of its own; otherwise as `SimulatedDrive`."""

    def __init__(
        self, seed: int, scenes: int, rig: SimulatedRig = KITTI, *, split: Split = "train", block: int = 1
    ) -> None:
        super().__init__(f"{scenes} simulated scenes of seed {seed}", scenes)
        self._seed, self._split = seed, split
        self._renderer = Renderer(rig.sensors(), block)

    def shot(self, index: int) -> Shot:
        """Return a frame with the whole truth about it."""
        number = range(len(self))[index]
        world = build_world(self._seed, number, self._split)
        # Frames of different worlds lie a minute apart: nobody should track across them.
        stamp = START + number * 600 * INTERVAL
        return self._renderer.shoot(world, 0.0, self._ids[number], stamp, _noise(self._seed, self._split, number, 0))


def _noise(seed: int, split: Split, world: int, frame: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(split == "val"), world, 4, frame)))
