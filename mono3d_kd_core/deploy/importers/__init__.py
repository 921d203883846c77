"""Weights that others published, turned into bundles: one file for each kind of file."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from mono3d_kd_core.deploy.bundle import Card


@dataclass(frozen=True)
class Imported:
    """A model read from a foreign file, ready for `save_bundle`."""

    card: Card
    tensors: dict[str, Tensor]


Importer = Callable[[Path, "Path | None"], Imported]
"""Reads a file of weights, with one that describes the network where the kind needs it. ModelError says what is wrong."""

# Kind, as given to `mono3d-kd import-weights --as` -> module with a function `read`, imported only when needed.
IMPORTERS = {
    "cmkd": "mono3d_kd_core.deploy.importers.cmkd",
    "openpcdet": "mono3d_kd_core.deploy.importers.openpcdet",
    "point_gnn": "mono3d_kd_core.deploy.importers.point_gnn",
}


def importer(kind: str) -> Importer:
    """Return the importer of a kind of file; `kind` is a key of IMPORTERS."""
    read: Importer = importlib.import_module(IMPORTERS[kind]).read
    return read
