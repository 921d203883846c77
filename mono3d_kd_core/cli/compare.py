"""`mono3d-kd compare`: is one detector better than another, and how sure is that."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    runs: Annotated[list[str], typer.Argument(help="NAME=DIR[,DIR...], or DIR; a DIR of result files for each seed.")],
    labels: Annotated[Path, typer.Option(help="Folder of KITTI labels, or the KITTI folder that has label_2.")],
    split: Annotated[Optional[Path], typer.Option(help="Frame ids, one a line; default: all of the first run.")] = None,  # noqa: UP045
    metric: Annotated[Optional[list[str]], typer.Option(help="Such as Car/3d@0.7/moderate; may be repeated.")] = None,  # noqa: UP045
    samples: Annotated[int, typer.Option(min=100, help="Bootstrap samples.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap: same seed, same intervals.")] = 0,
    groups: Annotated[Optional[Path], typer.Option(help='Lines "id drive": draw whole drives, not frames.')] = None,  # noqa: UP045
    json: Annotated[Optional[Path], typer.Option(help="Write figures, intervals and verdicts here.")] = None,  # noqa: UP045
    markdown: Annotated[Optional[Path], typer.Option(help="Write the tables here as well.")] = None,  # noqa: UP045
) -> None:
    """Compare runs: mean ± std over seeds, paired differences with an interval, and a verdict.

    Example: mono3d-kd compare --labels kitti/training plain=runs/p0,runs/p1,runs/p2 distilled=runs/d0,runs/d1,runs/d2
    """
    from rich.progress import Progress

    from mono3d_kd_core.evaluation.comparison import compare_runs
    from mono3d_kd_core.evaluation.comparison_report import comparison_report
    from mono3d_kd_core.evaluation.comparison_result import Target
    from mono3d_kd_core.evaluation.inputs import choose_frames, label_folder, write_json
    from mono3d_kd_core.evaluation.runs import default_targets, parse_runs, read_groups
    from mono3d_kd_core.io.files import write_atomically
    from mono3d_kd_core.io.kitti_table import LabelTable

    entries = parse_runs(runs)
    ids = choose_frames(entries[0].folders[0], split)
    truth = LabelTable.read(label_folder(labels), ids, scored=False)
    tables = {run.name: [LabelTable.read(folder, ids, scored=True) for folder in run.folders] for run in entries}
    targets = [Target.parse(text) for text in metric] if metric else default_targets(truth)
    drives = read_groups(groups, ids) if groups else None
    with Progress(transient=True) as bar:
        task = bar.add_task("drawing frames", total=sum(map(len, tables.values())))
        result = compare_runs(
            truth, tables, targets, samples=samples, seed=seed, groups=drives, progress=lambda: bar.advance(task)
        )
    report = comparison_report(result)
    print(report)
    if json:
        write_json(json, result.as_json())
    if markdown:
        write_atomically(markdown, f"{report}\n".encode())
