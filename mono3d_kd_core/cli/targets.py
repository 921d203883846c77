"""`mono3d-kd targets`: what a teacher says of every frame of a drive, for a student to learn from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from mono3d_kd_core.targets import Report


def command(
    source: Annotated[Path, typer.Argument(help="Bag, KITTI raw drive or KITTI object folder, with LiDAR.")],
    teacher: Annotated[Path, typer.Option(help="Folder of the teacher's bundle.")],
    out: Annotated[Path, typer.Option(help="Folder of the target store; a stopped run goes on where it was.")],
    rig: Annotated[Optional[Path], typer.Option(help="Rig file of a bag: topics, frames, sync.")] = None,  # noqa: UP045
    min_score: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Leave out boxes below; the scale is the teacher's own. Default: keep all."),
    ] = None,
    responses: Annotated[bool, typer.Option(help="Keep the dense responses as soft targets.")] = True,
    bev: Annotated[bool, typer.Option(help="Keep the bird's-eye features.")] = False,
    depth: Annotated[bool, typer.Option(help="Keep depth maps of the LiDAR points as 16-bit PNG.")] = False,
    device: Annotated[str, typer.Option(help="Where the teacher runs: cpu, cuda, ...")] = "cpu",
    summary: Annotated[Optional[Path], typer.Option(help="Write the account of all frames as JSON.")] = None,  # noqa: UP045
) -> None:
    """Make distillation targets: KITTI label files with scores, and soft targets, beside pictures, points and calibration.

    Example: mono3d-kd targets drive_0052_bag --teacher models/point_gnn_T1 --out targets_0052
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from mono3d_kd_core.deploy.bundle import read_card
    from mono3d_kd_core.deploy.loading import load_teacher
    from mono3d_kd_core.io.kitti import KittiObjectSource
    from mono3d_kd_core.io.open import describe, open_source
    from mono3d_kd_core.targets import Provenance, Report, TargetSettings, TargetStore, make_targets

    opened = open_source(source, rig)
    loaded = load_teacher(teacher, device)
    lidar, first = read_card(teacher).lidar, (opened[i].points for i in range(min(len(opened), 3)))
    for remark in lidar.remarks([points for points in first if points is not None]) if lidar else []:
        print(f"note: {remark}")
    settings = TargetSettings(min_score=min_score, responses=responses, bev=bev, depth=depth)
    report = Report(len(opened), 0)
    # KITTI's object frames come from many drives: each has its own calibration.
    store = TargetStore(out, Provenance.of(loaded, settings), many_rigs=isinstance(opened, KittiObjectSource))
    bar = Bar("targets", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    task = bar.add_task("", total=len(opened))
    try:
        with store, bar:
            make_targets(opened, loaded, store, lambda done, _total: bar.update(task, completed=done), report)
    except KeyboardInterrupt:
        print(f"stopped after {report.processed} frames; the same command goes on from there")
        raise
    print(f"{source}: {describe(opened)} -> {out}")
    print(report)
    for note in report.notes:
        print(f"note: {note}")
    if summary is not None:
        _write_summary(summary, report)


def _write_summary(path: Path, report: Report) -> None:
    import json

    from mono3d_kd_core.io.files import write_atomically

    counts = {
        "in_source": report.in_source, "processed": report.processed, "already_stored": report.already_stored,
        "dropped": dict(report.dropped), "objects": sum(report.objects),
    }  # fmt: skip
    write_atomically(path, (json.dumps(counts, indent=1) + "\n").encode())
