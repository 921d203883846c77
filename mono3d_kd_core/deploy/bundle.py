"""A model on disk: a folder with `model.safetensors` and `card.yaml`, checked when read, never unpickled."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors import SafetensorError
from safetensors.torch import load as parse_tensors
from safetensors.torch import save as format_tensors
from torch import Tensor

from mono3d_kd_core.deploy.trained_lidar import TrainedLidar
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.camera import CameraModel

CARD = "card.yaml"
WEIGHTS = "model.safetensors"


class TrainedCamera(BaseModel):
    """The camera that a model was trained on: pixels of the network's input, before any letterboxing or crop."""

    model_config = ConfigDict(extra="forbid")

    width: int = Field(gt=0)
    height: int = Field(gt=0)
    fx: float = Field(gt=0)
    fy: float = Field(gt=0)
    cx: float
    cy: float

    @classmethod
    def of(cls, camera: CameraModel) -> TrainedCamera:
        """Take what matters of a camera model: its resolution and the intrinsics in force."""
        K = camera.intrinsics
        return cls(
            width=camera.width, height=camera.height,
            fx=float(K[0, 0]), fy=float(K[1, 1]), cx=float(K[0, 2]), cy=float(K[1, 2]),
        )  # fmt: skip


class Card(BaseModel):
    """What a person and a program must know of a model beside its weights; `card.yaml` has the same keys."""

    model_config = ConfigDict(extra="forbid")

    format: Literal[1] = 1
    kind: Literal["student", "teacher", "backbone"]
    """A backbone is no detector yet: a LiDAR teacher of its architecture starts from it."""
    architecture: str
    """The name under which `deploy.loading` knows the network."""
    config: dict[str, Any] = Field(default_factory=dict)
    """The network's own settings; its class validates them when the model is built."""
    classes: list[str] = Field(default_factory=list)
    """None for a backbone."""
    score_threshold: float = 0.0
    """Recommended for showing detections; scores are the model's own, in [0, 1] for students."""
    camera: TrainedCamera | None = None
    """None for a model that does not care, such as a LiDAR teacher."""
    lidar: TrainedLidar | None = None
    """The sweeps that a LiDAR teacher was trained on; None where that is not known."""
    metrics: dict[str, float] = Field(default_factory=dict)
    provenance: dict[str, str] = Field(default_factory=dict)
    """Where it comes from: hashes of data, of the teacher, of the recipe; names of files that were imported."""
    licence: str = ""
    """Under which terms the weights, and the data they were trained on, may be used."""
    weights_sha256: str = ""
    """Of `model.safetensors`, in hexadecimal; filled in by `save_bundle`."""

    @model_validator(mode="after")
    def _detectors_have_classes(self) -> Card:
        if not self.classes and self.kind != "backbone":
            raise ValueError(f"classes: a {self.kind} has at least one")
        return self


@dataclass(frozen=True)
class Bundle:
    """A model as read from disk.

    tensors are named as in the module's state dict; half precision is widened to float32. hash (64 hexadecimal digits)
    is the identity of the model: of the weights, architecture, config and classes, not of metrics or remarks.
    """

    path: Path
    card: Card
    tensors: dict[str, Tensor]

    @property
    def hash(self) -> str:
        """The model's identity, sha256 in hexadecimal."""
        identity = self.card.model_dump(mode="json", include={"architecture", "config", "classes", "weights_sha256"})
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def save_bundle(path: str | Path, card: Card, tensors: Mapping[str, Tensor], half: bool = False) -> Bundle:
    """Write a bundle and return it as a reader will see it, except that tensors stay as given.

    With `half` float32 tensors are stored as float16. A bundle already there is replaced; any other non-empty folder is
    refused (ModelError). The folder appears whole or not at all.
    """
    path = Path(path)
    if path.exists() and not (path / CARD).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path}: exists and is not a model bundle; give another place for the bundle")
    plain = {name: _stored(name, tensor, half) for name, tensor in tensors.items()}
    weights = format_tensors(plain)
    card = card.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    text = yaml.safe_dump(card.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    try:
        _write_folder(path, {WEIGHTS: weights, CARD: text.encode()})
    except OSError as error:
        raise ModelError(f"{path}: the bundle cannot be written: {error.strerror}") from error
    return Bundle(path, card, dict(tensors))


def read_card(path: str | Path) -> Card:
    """Read and validate the card of the bundle at `path`, without its weights. ModelError says in words what is wrong."""
    path = Path(path)
    if not path.is_dir():
        raise ModelError(f"{path}: no such folder; a model bundle is a folder with {WEIGHTS} and {CARD}")
    file = path / CARD
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: has no {CARD}, so it is not a model bundle") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{file}: cannot be read: {error}") from error
    return validated(Card, content, str(file))


def load_bundle(path: str | Path) -> Bundle:
    """Read the bundle at `path` and check its hash. ModelError says in words what is wrong."""
    path = Path(path)
    card = read_card(path)
    file = path / WEIGHTS
    try:
        weights = file.read_bytes()
    except FileNotFoundError:
        raise ModelError(f"{path}: has no {WEIGHTS}; copy the whole folder") from None
    except OSError as error:
        raise ModelError(f"{file}: cannot be read: {error.strerror}") from error
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise ModelError(
            f"{file}: wrong hash: the file has sha256 {found[:12]}..., the card says {card.weights_sha256[:12]}...; "
            "it was damaged or belongs to another card; copy the bundle again"
        )
    try:
        tensors = parse_tensors(weights)
    except SafetensorError as error:
        raise ModelError(f"{file}: is not a safetensors file: {error}") from error
    return Bundle(path, card, {name: _widened(tensor) for name, tensor in tensors.items()})


def _stored(name: str, tensor: Tensor, half: bool) -> Tensor:
    # A clone: safetensors refuses tensors that share memory.
    plain = tensor.detach().cpu().contiguous().clone()
    if not half or plain.dtype != torch.float32:
        return plain
    narrow = plain.half()
    if not torch.equal(narrow.isfinite(), plain.isfinite()):
        raise ModelError(f"{name} holds numbers beyond ±65504, so it cannot be stored in half precision")
    return narrow


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _write_folder(path: Path, files: dict[str, bytes]) -> None:
    """Put `files` into the folder `path`: first beside it under another name, then by a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        fresh = work / "new"
        fresh.mkdir()
        for name, content in files.items():
            with open(fresh / name, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        if path.exists():
            path.rename(work / "old")
        fresh.rename(path)
    finally:
        shutil.rmtree(work, ignore_errors=True)
