"""`mono3d-kd import-weights`: weights that others published, as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    file: Annotated[Path, typer.Argument(help="The file of weights.")],
    kind: Annotated[str, typer.Option("--as", help="What the file holds: cmkd, openpcdet or point_gnn.")],
    out: Annotated[Path, typer.Option(help="Folder of the bundle to write.")],
    config: Annotated[Path | None, typer.Option(help="The network's settings, for kinds that need them.")] = None,
) -> None:
    """Turn published weights into a bundle. Every array is accounted for, or refused by name.

    Example: mono3d-kd import-weights point_gnn_car_T1.npz --as point_gnn --out models/point_gnn_T1
    """
    from mono3d_kd_core.deploy.bundle import save_bundle
    from mono3d_kd_core.deploy.importers import IMPORTERS, importer
    from mono3d_kd_core.errors import ModelError

    if kind not in IMPORTERS:
        raise ModelError(f"--as {kind}: unknown; known are {', '.join(IMPORTERS)}")
    imported = importer(kind)(file, config)
    bundle = save_bundle(out, imported.card, imported.tensors)
    card, numbers = bundle.card, sum(tensor.numel() for tensor in imported.tensors.values())
    print(f"{out}: {card.kind} {card.architecture}, {', '.join(card.classes)}; model {bundle.hash[:12]}")
    print(f"{len(imported.tensors)} arrays, {numbers} numbers, none left over")
    if card.licence:
        print(card.licence)
