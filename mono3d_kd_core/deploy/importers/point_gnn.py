"""Point-GNN's published weights, as an .npz of the original's variables."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.deploy.bundle import Card
from mono3d_kd_core.deploy.importers import Imported
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.point_gnn import PointGNN, PointGNNConfig

LICENCE = (
    "Weights: Point-GNN (Shi & Rajkumar, CVPR 2020; github.com/WeijingShi/Point-GNN), MIT licence. They were trained on the "
    "KITTI Vision Benchmark Suite, whose data is licensed CC BY-NC-SA 3.0, for non-commercial use."
)
SCORE_THRESHOLD = 5.0
"""On KITTI nearly every car it can find is above, and a third of the false alarms."""

# The original's scope of a stack of dense layers -> our module, and how far apart the numbers of its linear layers are.
_POOLING = {
    "layer1/extract_vertex_features": ("network.pooling.point_mlp", 1),
    "layer1/combined_features": ("network.pooling.update", 2),
}
_STEP = {
    "layer{number}": ("network.steps.{index}.offset", 2),
    "layer{number}/extract_vertex_features": ("network.steps.{index}.edge_mlp", 1),
    "layer{number}/combined_features": ("network.steps.{index}.update", 2),
}
_OUTPUT = {"output/predictor/cls": ("network.classifier", 2)} | {
    f"output/predictor/loc/cls_{kind}": (f"network.localisers.{kind}", 2) for kind in range(4)
}


def read(path: Path, config: Path | None = None) -> Imported:
    """Read the car detector T0, T1, ... from an .npz; how many graph steps it has follows from its variables.

    Dense layers are stored (in, out) and named `<scope>/fully_connected[_<n>]/{weights,biases}`. Every array must have its
    place and shape. Raises ModelError otherwise.
    """
    if config is not None:
        raise ModelError(f"{config}: Point-GNN's weights describe themselves; leave --config out")
    arrays = _arrays(path)
    num_steps = len({name.split("/")[0] for name in arrays if name.startswith("layer")} - {"layer1"})
    expected = PointGNN(PointGNNConfig(num_steps=num_steps)).state_dict()
    names = _original_names(num_steps)
    tensors = {ours: _tensor(path, arrays, original, expected[ours]) for ours, original in names.items()}
    left = sorted(set(arrays) - set(names.values()))
    if left:
        raise ModelError(f"{path}: {_listed(left)} has no place in a Point-GNN with {num_steps} graph steps")
    card = Card(
        kind="teacher",
        architecture=PointGNN.architecture,
        config=PointGNNConfig(num_steps=num_steps).model_dump(mode="json"),
        classes=list(PointGNN.classes),
        score_threshold=SCORE_THRESHOLD,
        provenance={"imported_from": path.name, "imported_sha256": hashlib.sha256(path.read_bytes()).hexdigest()},
        licence=LICENCE,
    )
    return Imported(card, tensors)


def _arrays(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise ModelError(f"{path}: is not an .npz of plain arrays (pickles are never read), or is damaged") from error


def _original_names(num_steps: int) -> dict[str, str]:
    """Return our name of every tensor with the original's."""
    stacks = dict(_POOLING)
    for index in range(num_steps):
        place = {"index": index, "number": index + 2}
        stacks |= {scope.format(**place): (module.format(**place), apart) for scope, (module, apart) in _STEP.items()}
    modules = {module: (scope, apart) for scope, (module, apart) in (stacks | _OUTPUT).items()}
    names = {}
    for ours in PointGNN(PointGNNConfig(num_steps=num_steps)).state_dict():
        module, number, kind = ours.rsplit(".", 2)
        scope, apart = modules[module]
        layer = int(number) // apart
        suffix = f"_{layer}" if layer else ""
        names[ours] = f"{scope}/fully_connected{suffix}/{'weights' if kind == 'weight' else 'biases'}"
    return names


def _tensor(path: Path, arrays: dict[str, NDArray[np.generic]], name: str, expected: Tensor) -> Tensor:
    if name not in arrays:
        raise ModelError(f"{path}: {name} is missing")
    array = arrays[name]
    if array.shape != tuple(expected.shape)[::-1] or array.dtype.kind != "f":
        shape = tuple(expected.shape)[::-1]
        raise ModelError(f"{path}: {name} is {array.dtype} {array.shape}, expected float32 {shape}")
    if not np.isfinite(array).all():
        raise ModelError(f"{path}: {name} holds a value that is not finite")
    return torch.from_numpy(np.ascontiguousarray(array.T, np.float32))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
