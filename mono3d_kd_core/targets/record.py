"""What is stored of one frame, and its bytes."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.io.files import read_bytes
from mono3d_kd_core.teachers.base import BevFeatures, Responses

COLUMNS = ("centre", "size", "yaw", "score", "depth_std")


@dataclass(frozen=True)
class Targets:
    """What a teacher said of one frame.

    boxes are in "camera", in full precision; responses and bev are in the frame that `dense_frame` names. rig and input
    are hashes of the calibration and of what the sensors saw, provenance that of teacher and settings.
    """

    id: str
    stamp: int
    boxes: Boxes3D
    rig: str
    input: str
    provenance: str
    responses: Responses | None = None
    bev: BevFeatures | None = None
    dense_frame: str = "camera"
    depth: NDArray[np.float32] | None = None
    """(H,W) metres from depth_2/, 0 where unknown; None where none was kept."""


def to_bytes(targets: Targets) -> bytes:
    """Return the safetensors file of a frame, without its depth map; the same targets give the same bytes."""
    boxes = targets.boxes
    names = sorted(set(boxes.label.tolist()))
    tensors: dict[str, NDArray[Any]] = {f"boxes.{name}": getattr(boxes, name) for name in COLUMNS}
    tensors["boxes.label"] = np.array([names.index(name) for name in boxes.label.tolist()], np.int64)
    about: dict[str, Any] = {
        "format": 1, "id": targets.id, "stamp": targets.stamp, "labels": names, "rig": targets.rig,
        "input": targets.input, "provenance": targets.provenance, "dense_frame": targets.dense_frame,
    }  # fmt: skip
    if targets.responses is not None:
        tensors |= {f"responses.{name}": array for name, array in vars(targets.responses).items() if array is not None}
    if targets.bev is not None:
        tensors["bev.features"] = targets.bev.features
        about["bev"] = {"x_range": targets.bev.x_range, "y_range": targets.bev.y_range}
    whole = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    # One entry: the order of several would be left to chance.
    return save(whole, metadata={"mono3d_kd": json.dumps(about, sort_keys=True)})


def from_file(path: Path, depth: NDArray[np.float32] | None = None) -> Targets:
    """Read a frame's file. Raises DataError naming it."""
    about = describe(path)
    try:
        tensors = load(read_bytes(path))
        boxes = Boxes3D(
            label=np.array(about["labels"], np.str_)[tensors["boxes.label"]],
            **{name: tensors[f"boxes.{name}"] for name in COLUMNS},
            frame="camera",
        )
        responses = {name.removeprefix("responses."): a for name, a in tensors.items() if name.startswith("responses.")}
        bev = None
        if "bev.features" in tensors:
            ranges = {name: (float(low), float(high)) for name, (low, high) in about["bev"].items()}
            bev = BevFeatures(tensors["bev.features"], **ranges)
        return Targets(
            about["id"], about["stamp"], boxes, about["rig"], about["input"], about["provenance"],
            Responses(**responses) if responses else None, bev, about["dense_frame"], depth,
        )  # fmt: skip
    except (SafetensorError, KeyError, IndexError, TypeError, ValueError) as error:
        raise DataError(f"{path}: is damaged, or no file of targets: {error}") from error


def describe(path: Path) -> dict[str, Any]:
    """Read what a frame's file says about itself, and `objects`, how many boxes it holds, without its tensors."""
    try:
        with open(path, "rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            header = json.loads(stream.read(min(length, 2**24)))
        about: dict[str, Any] = json.loads(header["__metadata__"]["mono3d_kd"])
        return about | {"objects": header["boxes.yaw"]["shape"][0]}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (struct.error, ValueError, KeyError, TypeError, IndexError) as error:
        raise DataError(f"{path}: is damaged, or no file of targets; remove it and run again") from error
