"""`mono3d-kd convert`: a KITTI drive as a bag, a bag as a KITTI folder."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import typer

from mono3d_kd_core.errors import DataError


class Kind(str, Enum):
    """What can be written."""

    bag = "bag"
    kitti = "kitti"
    kitti_raw = "kitti-raw"


def command(
    source: Annotated[Path, typer.Argument(help="Bag, KITTI raw drive or KITTI object folder.")],
    destination: Annotated[Path, typer.Argument(help="Bag or folder to write.")],
    to: Annotated[Optional[Kind], typer.Option(help="Default: bags become kitti, all else a bag.")] = None,  # noqa: UP045
    rig: Annotated[Optional[Path], typer.Option(help="Rig file of a bag: topics, frames, sync.")] = None,  # noqa: UP045
    write_rig: Annotated[Optional[Path], typer.Option(help="Write the rig file that was guessed.")] = None,  # noqa: UP045
    jpeg: Annotated[bool, typer.Option("--jpeg", help="Store pictures as JPEG: smaller, not exact.")] = False,
) -> None:
    """Convert a drive between bags (MCAP, with CameraInfo and tf_static) and KITTI's layouts.

    Example: mono3d-kd convert 2011_09_26/2011_09_26_drive_0052_sync drive_0052_bag
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from mono3d_kd_core.io.bag import BagSource
    from mono3d_kd_core.io.convert import convert, default_kind
    from mono3d_kd_core.io.open import describe, open_source

    opened = open_source(source, rig)
    if write_rig is not None:
        if not isinstance(opened, BagSource):
            raise DataError(f"--write-rig: {source} is no bag, so no rig was guessed")
        opened.rig_file.save(write_rig)
    kind = to.value if to else default_kind(opened)
    with Bar("converting", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), transient=True) as bar:
        task = bar.add_task("", total=len(opened))
        convert(opened, destination, kind, jpeg, lambda done, _total: bar.update(task, completed=done))
    print(f"{source}: {describe(opened)} -> {destination} ({kind})")
    if isinstance(opened, BagSource):
        print(opened.report)
        for note in opened.report.notes:
            print(f"note: {note}")
