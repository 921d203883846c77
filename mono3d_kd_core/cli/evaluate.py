"""`mono3d-kd evaluate`: how good detections are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    labels: Annotated[Path, typer.Option(help="Folder of KITTI labels, or the KITTI folder that has label_2.")],
    detections: Annotated[Path, typer.Option(help="Folder of KITTI result files, 16 columns with score.")],
    split: Annotated[Optional[Path], typer.Option(help="Frame ids, one a line; default: all with a result file.")] = None,  # noqa: UP045
    json: Annotated[Optional[Path], typer.Option(help="Write the figures and curves here.")] = None,  # noqa: UP045
) -> None:
    """Evaluate detections as the KITTI object benchmark does.

    Example: mono3d-kd evaluate --labels kitti/training --detections runs/a/detections --split val.txt --json ap.json
    """
    from mono3d_kd_core.evaluation.inputs import choose_frames, detection_folder, read_tables
    from mono3d_kd_core.evaluation.kitti_ap import evaluate_kitti
    from mono3d_kd_core.evaluation.report import ap_report

    truth, found = read_tables(labels, detections, choose_frames(detection_folder(detections), split))
    result = evaluate_kitti(truth, found)
    print(ap_report(result))
    if json:
        from json import dumps

        from mono3d_kd_core.io.files import write_atomically

        write_atomically(json, dumps(result.as_json(), indent=1).encode())
