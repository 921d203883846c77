"""`mono3d-kd simulate`: make streets, drives and data sets out of nothing but a seed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from mono3d_kd_core.errors import DataError

if TYPE_CHECKING:
    from mono3d_kd_core.simulation.output.record import Recording


def command(
    out: Annotated[Path, typer.Option(help="Folder to write (KITTI layout), or the bag with --bag.")],
    scenes: Annotated[int, typer.Option(min=1, help="How many frames.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same bytes.")] = 0,
    drive: Annotated[bool, typer.Option("--drive", help="One drive at 10 Hz instead of single scenes.")] = False,
    bag: Annotated[bool, typer.Option("--bag", help="Write the drive as an MCAP bag.")] = False,
    dataset: Annotated[str, typer.Option(help="A named data set: sim-mini, sim-small or sim-full.")] = "",
    rig: Annotated[Optional[Path], typer.Option(help="Rig file; default: KITTI's rig.")] = None,  # noqa: UP045
    size: Annotated[str, typer.Option(help="Resolution WxH; default: the rig's.")] = "",
    supersample: Annotated[int, typer.Option(min=1, max=4, help="N x N rays a pixel.")] = 1,
    val: Annotated[bool, typer.Option("--val", help="Shapes, textures and streets that training never shows.")] = False,
    jpeg: Annotated[bool, typer.Option("--jpeg", help="Pictures as JPEG.")] = False,
    dense: Annotated[bool, typer.Option("--dense", help="Also depth maps and instance masks.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 2,
) -> None:
    """Simulate streets with exact labels, as a KITTI folder or a bag.

    A killed run goes on where it stopped.

    Example: mono3d-kd simulate --scenes 200 --seed 1 --size 640x192 --out data/sim

    Example: mono3d-kd simulate --bag --scenes 80 --size 640x192 --out data/drive

    Example: mono3d-kd simulate --dataset sim-mini --out data/sim-mini
    """
    from mono3d_kd_core.simulation.datasets import DATA_SETS
    from mono3d_kd_core.simulation.output.record import Recording
    from mono3d_kd_core.simulation.rig import KITTI, SimulatedRig

    if dataset:
        if dataset not in DATA_SETS:
            raise DataError(f'--dataset "{dataset}": known are {", ".join(DATA_SETS)}')
        for folder, recording in DATA_SETS[dataset].recordings().items():
            _record(recording, out / folder, workers)
        return
    sensors = SimulatedRig.read(rig) if rig else KITTI
    if size:
        sensors = sensors.resized(*_resolution(size))
    sensors.sensors()
    recording = Recording(scenes, seed, sensors, "val" if val else "train", drive or bag, supersample, jpeg, dense)
    _record(recording, out, workers, bag)


def _record(recording: Recording, out: Path, workers: int, bag: bool = False) -> None:
    """Write one recording with a progress bar, and a contact sheet beside a folder."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mono3d_kd_core.simulation.output.sheet import write_sheet
    from mono3d_kd_core.simulation.output.write_bag import write_bag
    from mono3d_kd_core.simulation.output.write_kitti import write_kitti

    columns = (TextColumn("simulating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("", total=recording.frames)
        write = write_bag if bag else write_kitti
        write(recording, out, workers, lambda n: progress.update(task, advance=n))
    what = f"{out}: {recording.frames} frames of seed {recording.seed}"
    if not bag:
        what += f"; {write_sheet(out)} shows some"
    print(what)


def _resolution(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise DataError(f'--size "{text}": expected a resolution such as 640x192')
    return int(width), int(height)
