"""`mono3d-kd agree`: how far a student agrees with its teacher, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer


def command(
    student: Annotated[Path, typer.Option(help="Folder of the student's KITTI result files.")],
    teacher: Annotated[Path, typer.Option(help="Folder of the teacher's, or a target store.")],
    split: Annotated[Optional[Path], typer.Option(help="Frame ids, one a line; default: all that both have.")] = None,  # noqa: UP045
    student_min_score: Annotated[float, typer.Option(help="Leave out the student's lower scores.")] = 0.3,
    teacher_min_score: Annotated[float, typer.Option(help="Leave out the teacher's lower scores.")] = 0.3,
    json: Annotated[Optional[Path], typer.Option(help="Write the figures here.")] = None,  # noqa: UP045
) -> None:
    """Compare the detections of two detectors on the same frames: recall, precision and errors by distance.

    Example: mono3d-kd agree --student runs/a/detections --teacher data/targets
    """
    from mono3d_kd_core.errors import DataError
    from mono3d_kd_core.evaluation.agreement import agreement, agreement_report
    from mono3d_kd_core.evaluation.box_table import BoxTable
    from mono3d_kd_core.evaluation.inputs import detection_folder, read_split, write_json
    from mono3d_kd_core.io.kitti_table import LabelTable, frame_ids

    folders = [detection_folder(path) for path in (student, teacher)]
    ids = read_split(split) if split else sorted(set(frame_ids(folders[0])) & set(frame_ids(folders[1])))
    if not ids:
        raise DataError(f"{student} and {teacher} have no frame in common")
    mine, other = (BoxTable.of_labels(LabelTable.read(folder, ids, scored=True)) for folder in folders)
    result = agreement(mine, other, student_min_score=student_min_score, teacher_min_score=teacher_min_score)
    print(agreement_report(result))
    if json:
        write_json(json, result.as_json())
