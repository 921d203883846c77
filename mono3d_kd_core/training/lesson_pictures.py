"""Pictures of what a distilled student learns, for TensorBoard: boxes of all three, and the maps side by side."""

from __future__ import annotations

from typing import Any

import cv2
import lightning.pytorch as pl
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from numpy.typing import NDArray

from mono3d_kd_core.drawing import draw_boxes
from mono3d_kd_core.students.bev.student import BevOutput
from mono3d_kd_core.teachers.base import TeacherOutput
from mono3d_kd_core.training.data import RecipeData
from mono3d_kd_core.training.lessons import Lesson, collate_lessons

LABELS, TEACHER = (255, 255, 255), (80, 160, 255)
SHOWN_SCORE = 0.3


class LessonPictures(Callback):
    """After each epoch logs the first lessons: student in the classes' colours, teacher in blue, labels in white."""

    def __init__(self, data: RecipeData, count: int = 2) -> None:
        self.data, self.count = data, count

    def on_train_epoch_end(self, trainer: pl.Trainer, module: Any) -> None:
        """Let the student look at them in evaluation mode, and draw."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
        if not loggers or not trainer.is_global_zero:
            return
        was_training = module.student.training
        module.student.eval()
        for number in range(min(self.count, len(self.data.training_examples))):
            lesson = self.data.training_examples[number]
            assert isinstance(lesson, Lesson)
            pictures = _pictures(module, lesson)
            for logger in loggers:
                for name, picture in pictures.items():
                    logger.experiment.add_image(
                        f"{name}/{lesson.id}", picture, trainer.current_epoch, dataformats="HWC"
                    )
        module.student.train(was_training)
        for part in module.distiller.untaught:
            part.eval()


@torch.no_grad()
def _pictures(module: Any, lesson: Lesson) -> dict[str, NDArray[np.uint8]]:
    batch = collate_lessons([lesson])
    output = module.student(batch.images.to(module.device), batch.cameras, batch.poses)
    (found,) = module.student.decode(output, batch.cameras)
    answer = module.answer(lesson) if module.distiller.wants_teacher else None
    image = np.ascontiguousarray(lesson.image)
    truth = lesson.annotation.boxes
    image = draw_boxes(image, truth, lesson.camera, colour=LABELS, texts=[""] * len(truth))
    if answer is not None:
        boxes = lesson.frame().rig.boxes_in_camera(answer.boxes)
        boxes = boxes[boxes.score >= SHOWN_SCORE]
        image = draw_boxes(image, boxes, lesson.camera, colour=TEACHER, texts=[""] * len(boxes))
    pictures = {"lesson": draw_boxes(image, found[found.score >= SHOWN_SCORE], lesson.camera)}
    if isinstance(output, BevOutput):
        pictures["bev_student_teacher"] = _maps(output, answer)
    return pictures


def _maps(output: BevOutput, answer: TeacherOutput | None) -> NDArray[np.uint8]:
    """Draw the mean magnitude of the student's map and, to its right, of the teacher's; forward is up, left is left."""
    maps = [output.bev[0].float().cpu().numpy()]
    if answer is not None and answer.bev is not None:
        maps.append(answer.bev.features)
    top = max(float(np.percentile(np.abs(each).mean(0), 99.5)) for each in maps) or 1.0
    drawn = []
    for each in maps:
        strength = np.clip(np.abs(each).mean(0) / top * 255, 0, 255).astype(np.uint8)
        coloured = cv2.applyColorMap(np.ascontiguousarray(strength.T[::-1, ::-1]), cv2.COLORMAP_VIRIDIS)
        drawn.append(coloured[..., ::-1])
    return np.ascontiguousarray(np.hstack(drawn))
