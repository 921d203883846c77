"""The drive that the demo replays: the user's, or a short simulated one, as a bag."""

from __future__ import annotations

import shutil
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.bag_file import is_bag
from mono3d_kd_core.io.convert import convert_source
from mono3d_kd_core.simulation.output.record import Recording
from mono3d_kd_core.simulation.output.write_bag import write_bag
from mono3d_kd_core.simulation.rig import KITTI

FRAMES, SEED, SIZE, WORKERS = 60, 7, (832, 256), 2


def drive_as_bag(drive: Path | None, out: Path, console: Console) -> Path:
    """Return the bag to replay: `drive` itself, or what it was converted to in `out`; None means a simulated drive."""
    if drive is None:
        return simulated_drive(out / "simulated_drive", console)
    if not drive.exists():
        raise DataError(f"{drive}: no such drive; give a bag or a KITTI raw drive, such as 2011_09_26_drive_0052_sync")
    if is_bag(drive):
        return drive
    console.print(f"converting {drive} to a bag")
    return _converted(drive, out / "bag" / drive.name)


def _converted(source: Path, bag: Path) -> Path:
    shutil.rmtree(bag, ignore_errors=True)  # of an earlier demo
    bag.parent.mkdir(parents=True, exist_ok=True)
    return convert_source(source, bag, to="bag")


def simulated_drive(bag: Path, console: Console) -> Path:
    """Simulate a short drive through a street that the shipped model has not been trained on; one made before is kept."""
    if is_bag(bag):
        return bag
    recording = Recording(FRAMES, SEED, KITTI.resized(*SIZE), "val", drive=True)
    columns = (TextColumn("simulating a drive"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=FRAMES)
        write_bag(recording, bag, WORKERS, lambda n: progress.update(task, advance=n))
    return bag


def path_or_none(text: str) -> Path | None:
    """Read a path from the command line; empty means none."""
    # `make demo` passes an empty DRIVE on.
    return Path(text) if text else None
