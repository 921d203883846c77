"""`mono3d-kd doctor`: whether a drive can be worked with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from mono3d_kd_core.doctor import Report

STYLES = {"fine": "green", "note": "cyan", "warning": "yellow", "error": "red"}
EXIT_CODES = {"fine": 0, "note": 0, "warning": 1, "error": 2}


def command(
    source: Annotated[Path, typer.Argument(help="Bag, KITTI raw drive or KITTI object folder.")],
    rig: Annotated[Optional[Path], typer.Option(help="Rig file of a bag; guessed from its topics without.")] = None,  # noqa: UP045
    out: Annotated[Optional[Path], typer.Option(help="Folder for doctor.png and doctor.json.")] = None,  # noqa: UP045
    samples: Annotated[int, typer.Option(min=1, help="How many moments are looked at closely.")] = 10,
) -> None:
    """Examine a drive: streams, synchronisation, calibration, and whether LiDAR and image fit each other.

    Exit code 0: fine. 1: it works, but look at the warnings. 2: it cannot work.

    Example: mono3d-kd doctor drive.mcap --rig rig.yaml --out check
    """
    from rich.console import Console
    from rich.progress import Progress

    from mono3d_kd_core.doctor import examine

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        report = examine(source, rig, samples, show)
    _print(report, Console())
    if out is not None:
        _write(report, out)
        print(f"\n{out / 'doctor.json'}" + (f" and {out / 'doctor.png'}" if report.picture is not None else ""))
    raise typer.Exit(EXIT_CODES[report.severity])


def _print(report: Report, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    console.print(f"[bold]{escape(report.name)}[/bold]  {report.kind}", soft_wrap=True)
    if report.topics:
        table = Table("topic", "type", "messages")
        for topic in report.topics:
            table.add_row(topic.name, topic.type, str(topic.count))
        console.print(table)
    if report.streams:
        table = Table("stream", "messages", "seconds", "rate Hz", "jitter ms", "gaps", "longest s")
        table.columns[0].overflow = "fold"
        for s in report.streams:
            figures = f"{s.duration:.1f}", f"{s.rate:.2f}", f"{1e3 * s.jitter:.1f}", str(s.gaps), f"{s.longest:.2f}"
            table.add_row(s.name, str(s.count), *figures)
        console.print(table)
    if report.sync is not None:
        console.print("[bold]sync error[/bold]: image stamp less offset less cloud stamp")
        for row in report.sync.histogram():
            console.print(f"  {row}", highlight=False, soft_wrap=True)
    for title, lines in (("camera", report.camera), ("extrinsics", report.extrinsics)):
        for line in lines:
            console.print(f"[bold]{title}[/bold]  {escape(line)}", highlight=False, soft_wrap=True)
    console.print()
    for finding in report.findings:
        style = STYLES[finding.severity]
        line = f"[{style}]{finding.severity:7}[/{style}] {finding.about}: {escape(finding.text)}"
        console.print(line, highlight=False, soft_wrap=True)


def _write(report: Report, out: Path) -> None:
    import json

    from mono3d_kd_core.io.files import write_atomically, write_image

    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "doctor.json", json.dumps(report.as_json(), indent=1).encode())
    if report.picture is not None:
        write_image(out / "doctor.png", report.picture)
