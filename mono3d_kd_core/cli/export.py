"""`mono3d-kd export`: a bundle's network as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    bundle: Annotated[Path, typer.Argument(help="Folder of a student's bundle; model.onnx is written into it.")],
) -> None:
    """Write a student's network as ONNX into its bundle, for the onnx backend.

    Example: mono3d-kd export runs/mine/bundle
    """
    from mono3d_kd_core.deploy.export import export_onnx

    print(export_onnx(bundle))
