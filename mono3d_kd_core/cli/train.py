"""`mono3d-kd train`: a student, a LiDAR teacher, or one taught by the other, from a recipe and folders of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    recipe: Annotated[str, typer.Argument(help="A YAML file, or the name of a packaged recipe such as keypoint_small.")],
    data: Annotated[
        list[Path] | None,
        typer.Option(help="KITTI folder with labels, target store, or drive file of a bag and its labels; repeatable."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run: checkpoints, logs, bundle. Default: runs/RECIPE.")
    ] = None,
    val: Annotated[list[Path] | None, typer.Option(help="Like --data, to validate on; repeatable.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last whole epoch of the run in --out.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a key: schedule.epochs=5; repeatable.")] = None,
    licence: Annotated[str, typer.Option(help="Terms of the weights, noted in the bundle's card.")] = "",
) -> None:
    """Train a student, a LiDAR teacher, or one by the other; the bundle is the result. TensorBoard reads OUT/logs.

    Example: mono3d-kd train keypoint_resnet18 --data targets/0052 --out runs/0052 --set schedule.epochs=40
    """
    from mono3d_kd_core.training.choice import planned_run

    bundle = planned_run(recipe, set_, data or [], val or [], out, licence).train(resume)
    for name, value in bundle.card.metrics.items():
        print(f"{name:28s} {value:.3f}")
    trial = {
        "student": f"detect SOURCE --model {bundle.path} --out DIR",
        "teacher": f"targets SOURCE --teacher {bundle.path} --out DIR",
        "backbone": f"train LIDAR_RECIPE --data LABELLED --set backbone_weights={bundle.path}",
    }[bundle.card.kind]
    print(f"{bundle.path}: the trained model; try: mono3d-kd {trial}")
