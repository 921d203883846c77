"""Draw what MonoSTL's teacher sees, and where the student would imitate it.

    PYTHONPATH=. python benchmarks/distillation/picture.py FOLDER FRAME STUDENT_BUNDLE OUT.jpg

From top to bottom: the picture with its labels, the densified LiDAR depth, and the weight of each object's features: bright
where the student's own uncertainty of depth asks for imitation, dark where it is sure.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from mono3d_kd_core.deploy.loading import load_student
from mono3d_kd_core.distillation.densify import densify
from mono3d_kd_core.distillation.monostl_losses import transfer_weight
from mono3d_kd_core.distillation.regions import inside_boxes, objects_of, regressions_of
from mono3d_kd_core.drawing import draw_boxes
from mono3d_kd_core.students.keypoint import KeypointStudent
from mono3d_kd_core.training.data import collate
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lesson, Lessons, SourceConfig
from mono3d_kd_core.training.recipe import DataConfig

STRIDE = 8
FARTHEST = 60.0
Picture = NDArray[np.uint8]


@torch.inference_mode()
def weights(student: KeypointStudent, lesson: Lesson) -> NDArray[np.float32]:
    """Return the weight of the features at stride 8, at the picture's size; negative outside all boxes."""
    batch = collate([lesson])
    output = student(batch.images, batch.cameras)
    objects = objects_of(batch.annotations, batch.cameras, student.classes, output.neck.device)
    log_std = regressions_of(student.head, output.neck, objects).depth[:, 1]
    weight = transfer_weight(log_std, log_std, objects.visible, "student_uncertainty")
    rows, columns = lesson.image.shape[0] // STRIDE, lesson.image.shape[1] // STRIDE
    painted = inside_boxes(objects, weight + 1, 1, rows, columns, STRIDE)[0].numpy() - 1
    return np.asarray(cv2.resize(painted, lesson.image.shape[1::-1], interpolation=cv2.INTER_NEAREST))


def coloured(value: NDArray[np.floating], shown: NDArray[np.bool_], ground: Picture) -> Picture:
    """Return values in [0, 1] as colours where they are shown, over a darkened picture."""
    colours = cv2.applyColorMap((255 * np.clip(value, 0, 1)).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.where(shown[..., None], colours, ground // 4).astype(np.uint8)


def main() -> None:
    """Draw one frame."""
    folder, frame, bundle, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])
    student = load_student(bundle)
    assert isinstance(student, KeypointStudent)
    source = SourceConfig(path=folder, labels=True)
    lessons = Lessons([source], student.classes, student.input_size, DataConfig(min_height=6), Guard())
    lesson = next(lesson for lesson in lessons if lesson.id == frame)
    sweep = lesson.depth()
    assert sweep is not None
    depth, weight = densify(sweep), weights(student.eval(), lesson)
    image = np.ascontiguousarray(lesson.image)
    boxes = lesson.annotation.boxes
    rows = [
        draw_boxes(image, boxes, lesson.camera, texts=[""] * len(boxes)),
        coloured(1 - depth / FARTHEST, depth > 0, np.zeros_like(image)),
        coloured(weight, weight >= 0, image),
    ]
    cv2.imwrite(str(out), np.vstack(rows)[..., ::-1])


if __name__ == "__main__":
    main()
