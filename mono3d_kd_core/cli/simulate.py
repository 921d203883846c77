"""`mono3d-kd simulate`: make streets, drives and data sets out of nothing but a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from mono3d_kd_core.errors import DataError


def command(
    out: Annotated[Path, typer.Option(help="Folder to write (KITTI layout), or bag with --bag.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many frames.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    drive: Annotated[bool, typer.Option("--drive", help="One drive at 10 Hz instead of single scenes.")] = False,
    rig: Annotated[Optional[Path], typer.Option(help="Rig file; default: KITTI's rig.")] = None,  # noqa: UP045
    size: Annotated[str, typer.Option(help="Resolution WxH; default: the rig's.")] = "",
    supersample: Annotated[int, typer.Option(min=1, max=4, help="N x N rays a pixel.")] = 1,
    val: Annotated[bool, typer.Option("--val", help="Shapes, textures and streets that training never shows.")] = False,
    jpeg: Annotated[bool, typer.Option("--jpeg", help="Pictures as JPEG.")] = False,
    dense: Annotated[bool, typer.Option("--dense", help="Also depth maps and instance masks.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Simulate streets with exact labels.

    Example: mono3d-kd simulate --scenes 200 --seed 1 --size 640x192 --supersample 2 --out data/sim
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mono3d_kd_core.simulation.record import Recording, write_kitti
    from mono3d_kd_core.simulation.rig import KITTI, SimulatedRig

    sensors = SimulatedRig.read(rig) if rig else KITTI
    if size:
        sensors = sensors.resized(*_resolution(size))
    sensors.sensors()
    recording = Recording(scenes, seed, sensors, "val" if val else "train", drive, supersample, jpeg, dense)
    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=scenes)
        write_kitti(recording, out, workers, lambda n: progress.update(task, advance=n))
    print(f"{out}: {scenes} frames of seed {seed}")


def _resolution(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise DataError(f'--size "{text}": expected a resolution such as 640x192')
    return int(width), int(height)
