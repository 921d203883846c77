"""`mono3d-kd detect`: run a bundle over a drive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    source: Annotated[Path, typer.Argument(help="A bag, a KITTI raw drive, or a KITTI object folder.")],
    model: Annotated[Path, typer.Option(help="A student's bundle.")],
    out: Annotated[Path, typer.Option(help="Folder to write <id>.txt into.")],
    rig: Annotated[Optional[Path], typer.Option(help="Rig file of a bag; default: guessed.")] = None,  # noqa: UP045
    pictures: Annotated[bool, typer.Option("--pictures", help="Also write pictures with the boxes drawn.")] = False,
    video: Annotated[bool, typer.Option("--video", help="Also write video.mp4.")] = False,
    backend: Annotated[str, typer.Option(help="torch, or onnx after mono3d-kd export.")] = "torch",
    score: Annotated[Optional[float], typer.Option(help="Least score; default: the card's.")] = None,  # noqa: UP045
    limit: Annotated[int, typer.Option(min=1, help="Most boxes a frame.")] = 50,
    threads: Annotated[Optional[int], typer.Option(min=1, help="Cores for the network.")] = None,  # noqa: UP045
) -> None:
    """Detect in every frame; write KITTI rows of 16 columns with score.

    Example: mono3d-kd detect drive.mcap --model config/models/keypoint_sim --out results --video
    """
    import numpy as np
    from rich.progress import Progress

    from mono3d_kd_core.deploy.detector import Detector
    from mono3d_kd_core.deploy.results import write_detections
    from mono3d_kd_core.io.open import open_source

    drive = open_source(source, rig)
    detector = Detector.load(model, backend, score, limit, threads=threads)  # type: ignore[arg-type]
    with Progress(transient=True) as progress:
        task = progress.add_task("detecting", total=len(drive))
        summary = write_detections(detector, drive, out, pictures, video, lambda: progress.advance(task))
    for line in summary.warnings:
        print(f"this camera is not the one trained on: {line}")
    rate = f"{np.median(summary.milliseconds):.0f} ms a frame" if summary.frames else ""
    print(f"{out}: {summary.boxes} boxes in {summary.frames} frames, {rate}")
