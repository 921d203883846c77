"""Simulated frames as a KITTI object folder, resumable, with what KITTI's layout has no place for."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.files import write_atomically
from mono3d_kd_core.io.kitti import KittiWriter
from mono3d_kd_core.simulation.output.record import Recording, run
from mono3d_kd_core.simulation.renderer import Shot

SETTINGS = "simulation.json"


def write_kitti(
    recording: Recording, root: Path, workers: int = 1, done: Callable[[int], None] = lambda _n: None
) -> list[str]:
    """Write the frames that are not there yet; `done` hears how many are. Returns all ids.

    Beside KITTI's own folders there are truth/<id>.json (what a label has no column for), instance_2/ and depth_2/ when
    dense, velodyne_time/ (float32 seconds of each point) when the sweep rolls, and simulation.json with the settings.
    Raises DataError when the folder holds frames of other settings, or cannot be written to.
    """
    _claim(root, recording)
    for leftover in root.rglob(".*.tmp"):  # of writers that were killed
        leftover.unlink(missing_ok=True)
    writer = KittiWriter(root, jpeg=recording.jpeg)
    ids = [f"{i:06d}" for i in range(recording.frames)]
    missing = [i for i, id_ in enumerate(ids) if not writer.has(id_)]
    done(len(ids) - len(missing))
    for _ in run(recording, missing, workers, partial(_write, root)):
        done(1)
    return ids


def _write(root: Path, recording: Recording, shot: Shot) -> None:
    """Write one frame; the calibration, which KittiWriter writes last, makes it complete."""
    id_ = shot.frame.id
    write_atomically(root / "truth" / f"{id_}.json", (json.dumps(_truth(shot), indent=1) + "\n").encode())
    if recording.dense:
        encoded = cv2.imencode(".png", shot.instance.astype(np.uint16))[1].tobytes()
        write_atomically(root / "instance_2" / f"{id_}.png", encoded)
    if shot.seconds.any():
        write_atomically(root / "velodyne_time" / f"{id_}.bin", shot.seconds.astype("<f4").tobytes())
    depth = shot.depth if recording.dense else None
    KittiWriter(root, jpeg=recording.jpeg).write(shot.frame, shot.truth.labels(), depth)


def _truth(shot: Shot) -> list[dict[str, Any]]:
    """One record an object, in the order of the instance mask."""
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
    mine = json.loads(json.dumps(recording.settings()))
    if not path.exists():
        write_atomically(path, (json.dumps(mine, indent=1) + "\n").encode())
        return
    theirs: Any = None
    with suppress(json.JSONDecodeError, OSError):
        theirs = json.loads(path.read_text())
    if theirs != mine:
        differing = [key for key in mine if not isinstance(theirs, dict) or theirs.get(key) != mine[key]]
        raise DataError(
            f"{path}: this folder holds frames of other settings ({', '.join(differing)} differ); "
            "choose another folder, or delete this one"
        )
