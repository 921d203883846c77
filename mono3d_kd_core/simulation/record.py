"""Writes simulated frames to disk: by several workers, resumable, the same bytes however it went."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.kitti import KittiWriter
from mono3d_kd_core.simulation.drive import SimulatedDrive, SimulatedScenes
from mono3d_kd_core.simulation.renderer import Shot
from mono3d_kd_core.simulation.rig import SimulatedRig
from mono3d_kd_core.simulation.world import Split

SETTINGS = "simulation.json"


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

    def settings(self) -> dict[str, object]:
        """Return all that decides about the bytes of frame 0, 1, ..., for the record."""
        return {
            "seed": self.seed, "split": self.split, "rig": self.rig.model_dump(mode="json"), "block": self.block,
            "jpeg": self.jpeg, "dense": self.dense, "drive_of": self.frames if self.drive else None,
        }  # fmt: skip


def write_kitti(
    recording: Recording, root: Path, workers: int = 1, done: Callable[[int], None] = lambda _n: None
) -> list[str]:
    """Write the frames that are not there yet as a KITTI object folder; `done` hears of each. Returns all ids.

    Raises DataError when the folder holds frames of other settings, or cannot be written to.
    """
    _claim(root, recording)
    writer = KittiWriter(root, jpeg=recording.jpeg)
    ids = [f"{i:06d}" for i in range(recording.frames)]
    missing = [i for i, id_ in enumerate(ids) if not writer.has(id_)]
    done(len(ids) - len(missing))
    for _ in _run(recording, root, missing, workers):
        done(1)
    return ids


def _run(recording: Recording, root: Path, missing: list[int], workers: int) -> Iterator[None]:
    if workers <= 1 or len(missing) < 2:
        source = recording.source()
        for index in missing:
            _write(recording, root, source.shot(index))
            yield
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (recording, root)) as pool:
        try:
            yield from pool.map(_work, missing)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


_mine: tuple[Recording, Path, SimulatedDrive | SimulatedScenes]
"""What this worker process works on; set when it starts."""


def _start_worker(recording: Recording, root: Path) -> None:
    global _mine
    # Ctrl-C reaches the whole group; the parent alone decides what follows from it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    _mine = (recording, root, recording.source())


def _work(index: int) -> None:
    recording, root, source = _mine
    _write(recording, root, source.shot(index))


def _write(recording: Recording, root: Path, shot: Shot) -> None:
    """Write one frame; the calibration, which KittiWriter writes last, makes it complete."""
    id_ = shot.frame.id
    write_atomically(root / "truth" / f"{id_}.json", (json.dumps(_truth(shot), indent=1) + "\n").encode())
    if recording.dense:
        encoded = cv2.imencode(".png", shot.instance.astype(np.uint16))[1].tobytes()
        write_atomically(root / "instance_2" / f"{id_}.png", encoded)
    if shot.seconds.any():
        write_atomically(root / "velodyne_time" / f"{id_}.bin", shot.seconds.astype("<f4").tobytes())
    KittiWriter(root, jpeg=recording.jpeg).write(
        shot.frame, shot.truth.labels(), shot.depth if recording.dense else None
    )


def _truth(shot: Shot) -> list[dict[str, object]]:
    """What a KITTI label has no column for, one record an object, in the order of the instance mask."""
    t = shot.truth
    return [
        {
            "type": str(t.boxes.label[i]), "identity": int(t.identity[i]), "labelled": bool(t.cared_for[i]),
            "visible": round(float(t.visible[i]), 4), "pixels": int(t.pixels[i]), "points": int(t.points[i]),
            "velocity": [round(float(v), 3) for v in t.velocity[i]],
        }
        for i in range(len(t.boxes))
    ]  # fmt: skip


def _claim(root: Path, recording: Recording) -> None:
    """Put the settings into the folder, or check that those there are the same."""
    path = root / SETTINGS
    mine = recording.settings()
    if path.exists():
        theirs = None
        with suppress(json.JSONDecodeError, OSError):
            theirs = json.loads(path.read_text())
        if theirs != json.loads(json.dumps(mine)):
            differing = [
                k for k in mine if not isinstance(theirs, dict) or theirs.get(k) != json.loads(json.dumps(mine[k]))
            ]
            raise DataError(
                f"{path}: this folder holds frames of other settings ({', '.join(differing)} differ); "
                "choose another folder, or delete this one"
            )
        return
    write_atomically(path, (json.dumps(mine, indent=1) + "\n").encode())
