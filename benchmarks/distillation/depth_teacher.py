"""Write what a teacher that sees depth finds, as result files: how much there is to learn from it.

    PYTHONPATH=. python benchmarks/distillation/depth_teacher.py FRAMES TEACHER_BUNDLE OUT [--depth objects]
    mono3d-kd evaluate --labels FRAMES --detections OUT

FRAMES is a labelled folder in KITTI's layout with LiDAR; TEACHER_BUNDLE the `teacher/bundle` of a run of MonoSTL or ADD.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.progress import track

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.detector import OVERLAP
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.distillation.add_bev import DepthAidedBev
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.privileged import DepthAidedKeypoint, DepthKeypoint
from mono3d_kd_core.distillation.privileged_query import DepthAidedQuery, DepthQuery
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.overlap import nms_bev
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.students.base import Student
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lessons, SourceConfig
from mono3d_kd_core.training.privileged.run import DepthPictures
from mono3d_kd_core.training.recipe import DataConfig

KINDS = (DepthKeypoint, DepthAidedKeypoint, DepthQuery, DepthAidedQuery, DepthAidedBev)
TEACHERS = {kind.architecture: kind for kind in KINDS}
MOST = 100
"""Detections of a frame, as the bench takes of students."""


def load(path: Path) -> Student:
    """Build a teacher that sees depth from its bundle. Raises ModelError for another."""
    bundle = load_bundle(path)
    kind = TEACHERS.get(bundle.card.architecture)
    if kind is None:
        raise ModelError(f"{path}: holds a {bundle.card.architecture}, which sees no depth; known are {', '.join(TEACHERS)}")
    teacher: Student = kind(validated(kind.config_type, bundle.card.config, f"{path}/card.yaml"))
    teacher.load_state_dict(bundle.tensors)
    return teacher.eval()


@torch.inference_mode()
def observe(teacher: Student, frames: Path, out: Path, depth: DepthSource = "lidar") -> None:
    """Write what the teacher finds in each frame."""
    lessons = Lessons([SourceConfig(path=frames, labels=True)], teacher.classes, teacher.input_size, DataConfig(), Guard())
    join = DepthPictures(depth)
    for lesson in track(lessons, f"asking {out.name}"):
        batch = join([lesson])
        boxes = teacher.decode(teacher(batch.images, batch.cameras, batch.poses), batch.cameras)[0]
        boxes = boxes[nms_bev(boxes.bev(), boxes.score, OVERLAP, limit=MOST)]
        KittiLabels.from_boxes(boxes, lesson.reference.rig.camera).write(out / f"{lesson.id}.txt")


def main() -> None:
    """Ask one teacher."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("frames", type=Path)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--depth", choices=("lidar", "objects"), default="lidar", help="as in the recipe: teach.depth")
    options = parser.parse_args()
    observe(load(options.bundle), options.frames, options.out, options.depth)


if __name__ == "__main__":
    main()
