"""Checkpoints of OpenPCDet (and of CMKD's teachers, which are made with it): SECOND, PointPillars, CenterPoint."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Card
from mono3d_kd_core.deploy.importers import Imported
from mono3d_kd_core.deploy.importers.openpcdet_config import describe
from mono3d_kd_core.deploy.loading import new_teacher
from mono3d_kd_core.deploy.trained_lidar import KITTI_LIDAR
from mono3d_kd_core.errors import ModelError

LICENCE = (
    "Weights imported from an OpenPCDet checkpoint (its code: Apache-2.0). What the weights and the data behind them allow "
    "is not in the file: KITTI is CC BY-NC-SA 3.0, for non-commercial use."
)
_PASSED_OVER = ("global_step",)
"""Counts the steps of training; no part of the network."""

# How versions of spconv lay out the weights of a convolution -> our layout, which is that of spconv 2.2 and later.
LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "spconv 2.2 (out, z, y, x, in)": lambda weight: weight,
    "spconv 1 (z, y, x, in, out)": lambda weight: weight.permute(4, 0, 1, 2, 3),
    "spconv 2.0 (z, y, x, out, in)": lambda weight: weight.permute(3, 0, 1, 2, 4),
}


def read(path: Path, config: Path | None = None) -> Imported:
    """Read a .pth with the YAML file that describes its network. Raises ModelError, naming keys and tensors.

    Nothing is unpickled but tensors and plain values. Every tensor must have its place and shape.
    """
    if config is None:
        raise ModelError(f"{path}: OpenPCDet's weights do not describe their network; give its YAML file with --config")
    described = describe(config)
    network = new_teacher(described.architecture, described.config, str(config))
    tensors = _placed(path, _tensors(path), network.state_dict())
    card = Card(
        kind="teacher",
        architecture=described.architecture,
        config=network.config.model_dump(mode="json"),
        classes=described.classes,
        score_threshold=0.3,
        lidar=KITTI_LIDAR if described.kitti else None,
        provenance={
            "imported_from": path.name,
            "imported_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "config": config.name,
        },
        licence=LICENCE,
    )
    return Imported(card, tensors)


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        first = str(error).splitlines()[0]
        raise ModelError(
            f"{path}: holds more than tensors and plain values, or is damaged; not read ({first}). Make a "
            'file of the weights alone, where you trust it: torch.save({"model_state": checkpoint["model_state"]}, FILE)'
        ) from error
    weights = content.get("model_state", content.get("state_dict", content)) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not weights or not all(isinstance(value, Tensor) for value in weights.values()):
        raise ModelError(f"{path}: has no model_state with tensors, so it is no checkpoint of OpenPCDet")
    return dict(weights)


def _placed(path: Path, found: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under our names, which are OpenPCDet's, in our layout."""
    found = {name: value for name, value in found.items() if name not in _PASSED_OVER}
    left = sorted(found.keys() - expected.keys())
    missing = sorted(n for n in expected.keys() - found.keys() if not n.endswith(".num_batches_tracked"))
    if left or missing:
        problems = ([f"no place for {_listed(left)}"] if left else []) + ([f"missing {_listed(missing)}"] if missing else [])
        raise ModelError(f"{path}: does not fit the network of the --config file: {'; '.join(problems)}")
    relaid = _layout(path, found, expected)
    placed = {}
    for name, place in expected.items():
        value = relaid(found[name]) if place.dim() == 5 else found.get(name, place)
        if value.shape != place.shape:
            raise ModelError(f"{path}: {name} is {tuple(value.shape)}, expected {tuple(place.shape)}")
        if not torch.isfinite(value).all():
            raise ModelError(f"{path}: {name} holds a value that is not finite")
        placed[name] = value.to(place.dtype)
    return placed


def _layout(path: Path, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Callable[[Tensor], Tensor]:
    """Return the one layout in which all sparse convolutions have their shape.

    Square layers fit two layouts; the first convolution, of 4 channels, never does.
    """
    sparse = {name: place.shape for name, place in expected.items() if place.dim() == 5}
    for relaid in LAYOUTS.values():
        if all(found[name].dim() == 5 and relaid(found[name]).shape == shape for name, shape in sparse.items()):
            return relaid
    name, shape = next(iter(sparse.items()))
    raise ModelError(
        f"{path}: {name} is {tuple(found[name].shape)}, expected {tuple(shape)}; its layout is none of {', '.join(LAYOUTS)}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
