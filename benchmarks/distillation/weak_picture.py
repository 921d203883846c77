"""Draw what SKD-WM3D is taught, what its self-teacher makes of it, and what the student has learned.

    PYTHONPATH=. python benchmarks/distillation/weak_picture.py RECIPE RUN FOLDER FRAME OUT.jpg

RUN is a run of RECIPE, finished or not, on frames of a camera like FOLDER's. From top to bottom: the picture with the 2D
boxes that are all its labels; the depth prior, with the distance in metres that it hints at for each object; the
self-teacher's own depth map, with how much its word counts; and the student's detections, if any.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.distillation.picture import FARTHEST, coloured
from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.boxes2d import Boxes2D
from mono3d_kd_core.distillation.pseudo import pseudo_objects
from mono3d_kd_core.distillation.skd_wm3d import SkdWm3d
from mono3d_kd_core.distillation.weak_targets import learnable
from mono3d_kd_core.drawing import draw_boxes
from mono3d_kd_core.students.keypoint import KeypointStudent
from mono3d_kd_core.students.keypoint_targets import network_focal
from mono3d_kd_core.training.choice import planned_run
from mono3d_kd_core.training.data import collate
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.weak.lessons import WeakLesson, WeakLessons
from mono3d_kd_core.training.weak.recipe import WeakSourceConfig
from mono3d_kd_core.training.weak.run import WeakRun

Picture = NDArray[np.uint8]
WHITE, YELLOW = (255, 255, 255), (255, 220, 60)
SHOWN_SCORE = 0.3
WIDTH = 640
LEGIBLE = 30
"""Pixels; narrower boxes have no text."""


def enlarged(picture: Picture) -> Picture:
    """Return the picture at the width of the sheet."""
    height, width = picture.shape[:2]
    return np.asarray(cv2.resize(picture, (WIDTH, height * WIDTH // width)), np.uint8)


def with_frames(picture: Picture, seen: Boxes2D, texts: list[str] | None = None) -> Picture:
    """Draw the 2D boxes, and in each a text."""
    drawn = enlarged(picture)
    boxes = seen.box * WIDTH / picture.shape[1]
    for k, (left, top, right, bottom) in enumerate(boxes.round().astype(int).tolist()):
        cv2.rectangle(drawn, (left, top), (right, bottom), YELLOW, 1)
        if texts and right - left > LEGIBLE:
            cv2.putText(drawn, texts[k], (left + 3, bottom - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, WHITE, 1, cv2.LINE_AA)
    return drawn


def seen_depth(
    distiller: SkdWm3d, lesson: WeakLesson, student: KeypointStudent
) -> tuple[NDArray[np.floating], list[str]]:
    """Return the self-teacher's depth map (H,W) in metres, and the weight of its word about each object."""
    batch = collate([lesson])
    with torch.no_grad():
        output = student(batch.images, batch.cameras)
        stretch = network_focal(lesson.camera) / student.config.reference_focal
        depth = distiller.teacher(output.features).depth[0].numpy() * stretch
        certain = distiller.certain(
            output, [Taught(depth=lesson.prior(), camera=lesson.camera, boxes2d=lesson.boxes2d())]
        )
    return cv2.resize(depth, lesson.image.shape[1::-1]), [f"{weight:.2f}" for weight in certain.tolist()]


def main() -> None:
    """Draw one frame."""
    recipe, run, folder, frame, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4], sys.argv[5]
    plan = planned_run(recipe, None, [folder], [], run)
    assert isinstance(plan, WeakRun)
    lessons = WeakLessons([WeakSourceConfig(path=folder)], plan.recipe, Guard())
    lesson = next(lesson for lesson in lessons if lesson.id == frame)
    student = KeypointStudent(plan.recipe.student.model_copy(update={"reference_focal": network_focal(lesson.camera)}))
    distiller = SkdWm3d(student, plan.recipe.teach)
    state = torch.load(run / "checkpoints" / "last.ckpt", "cpu", weights_only=True)["state_dict"]
    for name, module in (("student.", student), ("distiller.", distiller)):
        module.load_state_dict({n.removeprefix(name): t for n, t in state.items() if n.startswith(name)})
        module.eval()
    image, prior = np.ascontiguousarray(lesson.image), lesson.prior()
    assert prior is not None
    seen = learnable(lesson.boxes2d(), student.classes)
    hints = pseudo_objects(seen, prior, lesson.camera, student.config.sizes).depth
    said = ["" if np.isnan(hint) else f"{hint:.1f} m" for hint in hints]
    depth, certain = seen_depth(distiller, lesson, student)
    batch = collate([lesson])
    (found,) = student.decode(student(batch.images, batch.cameras), batch.cameras)
    ground, height = np.zeros_like(image), image.shape[0] * WIDTH // image.shape[1]
    shown = found[found.score >= SHOWN_SCORE]
    rows = [
        with_frames(image, seen),
        with_frames(coloured(1 - prior / FARTHEST, prior > 0, ground), seen, said),
        with_frames(coloured(1 - depth / FARTHEST, depth > 0, ground), seen, certain),
    ]
    if len(shown):
        rows.append(draw_boxes(enlarged(image), shown, lesson.camera.resized(WIDTH, height)))
    cv2.imwrite(out, np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
