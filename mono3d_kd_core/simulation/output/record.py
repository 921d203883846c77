"""What to simulate, and workers who do it: the same bytes however many there are."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2

from mono3d_kd_core.simulation.drive import SimulatedDrive, SimulatedScenes
from mono3d_kd_core.simulation.renderer import Shot
from mono3d_kd_core.simulation.rig import SimulatedRig
from mono3d_kd_core.simulation.world import Split

Result = TypeVar("Result")
VERSION = 3
"""Goes up when the same seed draws other bytes, so that a folder is never finished by another simulator."""


@dataclass(frozen=True)
class Recording:
    """What to simulate, and how it is written.

    drive: the frames follow each other through one world, else each has a world of its own. block x block rays a pixel;
    jpeg stores pictures as JPEG; dense also writes depth maps and instance masks.
    """

    frames: int
    seed: int
    rig: SimulatedRig
    split: Split = "train"
    drive: bool = False
    block: int = 1
    jpeg: bool = False
    dense: bool = False

    def source(self) -> SimulatedDrive | SimulatedScenes:
        """Return the frames, not yet drawn."""
        if self.drive:
            return SimulatedDrive(self.seed, self.frames, self.rig, split=self.split, block=self.block)
        return SimulatedScenes(self.seed, self.frames, self.rig, split=self.split, block=self.block)

    def settings(self) -> dict[str, Any]:
        """Return all that decides about the bytes of frame 0, 1, ..., for the record."""
        return {
            "version": VERSION, "seed": self.seed, "split": self.split,
            "rig": self.rig.model_dump(mode="json"), "block": self.block,
            "jpeg": self.jpeg, "dense": self.dense, "drive_of": self.frames if self.drive else None,
        }  # fmt: skip


def run(
    recording: Recording, indices: Sequence[int], workers: int, task: Callable[[Recording, Shot], Result]
) -> Iterator[Result]:
    """Draw frames and apply a module's function to each; yield the results in order."""
    if workers <= 1 or len(indices) < 2:
        source = recording.source()
        for index in indices:
            yield task(recording, source.shot(index))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(indices)), context, _start_worker, (recording, task)) as pool:
        try:
            yield from pool.map(_work, indices)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_mine: tuple[Recording, SimulatedDrive | SimulatedScenes, Callable[[Recording, Shot], Any]]
"""What this worker process works on; set when it starts."""


def _start_worker(recording: Recording, task: Callable[[Recording, Shot], Any]) -> None:
    global _mine
    # Ctrl-C reaches the whole group; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    _mine = (recording, recording.source(), task)


def _leave_with_parent() -> None:
    """End this process as soon as its parent is gone: one that was killed could not tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(index: int) -> Any:
    recording, source, task = _mine
    return task(recording, source.shot(index))
