"""`mono3d-kd evaluate`: how good detections are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    labels: Annotated[Path, typer.Option(help="Folder of KITTI labels, or the KITTI folder that has label_2.")],
    detections: Annotated[Path, typer.Option(help="Folder of KITTI result files, 16 columns with score.")],
    split: Annotated[Optional[Path], typer.Option(help="Frame ids, one a line; default: all with a result file.")] = None,  # noqa: UP045
    json: Annotated[Optional[Path], typer.Option(help="Write the average precisions and curves here.")] = None,  # noqa: UP045
    plots: Annotated[Optional[Path], typer.Option(help="Write pictures into this folder.")] = None,  # noqa: UP045
    details: Annotated[Optional[Path], typer.Option(help="Write errors, calibration and latency here, as JSON.")] = None,  # noqa: UP045
    min_score: Annotated[float, typer.Option(help="For errors by distance, leave out lower scores.")] = float("-inf"),
    latency: Annotated[Optional[Path], typer.Option(help="Milliseconds a frame: numbers, or a JSON list.")] = None,  # noqa: UP045
    nuscenes: Annotated[bool, typer.Option("--nuscenes", help="Also the nuScenes metrics.")] = False,
) -> None:
    """Evaluate detections as the KITTI object benchmark does, and say what average precision hides.

    Example: mono3d-kd evaluate --labels kitti/training --detections runs/a/detections --split val.txt --json ap.json
    """
    from mono3d_kd_core.evaluation.details import LEGEND, detail_kitti, details_report
    from mono3d_kd_core.evaluation.inputs import (
        choose_frames,
        detection_folder,
        label_folder,
        read_latency,
        read_tables,
        write_json,
    )
    from mono3d_kd_core.evaluation.kitti_ap import evaluate_kitti
    from mono3d_kd_core.evaluation.report import ap_report
    from mono3d_kd_core.io.depth_std import read_depth_std
    from mono3d_kd_core.io.kitti_table import frame_ids

    folder = detection_folder(detections)
    truth, found = read_tables(labels, detections, choose_frames(folder, split))
    result = evaluate_kitti(truth, found)
    hidden = detail_kitti(truth, found, read_depth_std(folder, found), min_score)
    times = read_latency(latency) if latency else None
    print(ap_report(result), details_report(hidden), LEGEND, sep="\n\n")
    unused = 0 if split else len(set(frame_ids(label_folder(labels))) - set(found.ids))
    if unused:
        print(f"\n{unused} labelled frames have no result file and were left out; --split names the frames that count.")
    content = {"classes": {name: each.as_json() for name, each in hidden.items()}}
    if times:
        print(f"\nLatency: median {times.p50:.1f} ms, 95 % below {times.p95:.1f} ms, worst {times.worst:.1f} ms")
        content["latency_ms"] = vars(times)
    if nuscenes:
        from mono3d_kd_core.evaluation.box_table import BoxTable
        from mono3d_kd_core.evaluation.nuscenes_metrics import evaluate_nuscenes, nuscenes_report

        present = [name for name, each in result.classes.items() if each.objects[-1] > 0]
        metrics = evaluate_nuscenes(BoxTable.of_labels(truth), BoxTable.of_labels(found), present)
        print("", nuscenes_report(metrics), sep="\n")
        content["nuscenes"] = metrics.as_json()
    if json:
        write_json(json, result.as_json())
    if details:
        write_json(details, content)
    if plots:
        from mono3d_kd_core.evaluation.plots import plot_evaluation

        print("", *plot_evaluation(plots, result, hidden), sep="\n")
