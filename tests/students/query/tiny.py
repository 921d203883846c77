"""A tiny query network, and objects for it to see."""

from __future__ import annotations

import numpy as np
import torch

from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.heads import Answers
from mono3d_kd_core.students.query.targets import QueryTargets

KITTI = CameraModel.from_projection(
    1280, 384, np.array([[721.5, 0, 640, 44.9], [0, 721.5, 180, 0.2], [0, 0, 1, 0.0027]])
)
CLASSES = ("Car", "Pedestrian")
TINY = QueryConfig(
    classes=("Car",), backbone="resnet18", width=0.125, channels=16, feed_forward=16, heads=2, points=2, encoder_layers=1,
    decoder_layers=2, queries=10, groups=3, input_height=64, input_width=192, reference_focal=108,
)  # fmt: skip


def some_boxes() -> Boxes3D:
    """Three objects within the range, and one beyond it."""
    return Boxes3D(
        np.array([[12.0, 3.0, -0.8], [30.0, -8.0, -0.5], [20.0, 5.0, -0.7], [90.0, 0.0, 0.0]]),
        np.array([[3.9, 1.6, 1.5], [4.2, 1.7, 1.6], [0.8, 0.6, 1.8], [4.0, 1.6, 1.5]]),
        np.array([0.4, -2.9, 1.7, 0.0]), np.array(["Car", "Car", "Pedestrian", "Car"]), frame="camera",
    )  # fmt: skip


def annotated(boxes: Boxes3D, camera: CameraModel) -> Annotation:
    return Annotation(boxes, project_boxes(boxes, camera)[0])


def targets(box: list[list[float]], image: list[int], label: list[int] | None = None, **changed: object) -> QueryTargets:
    """Targets of unit weight at these boxes, 10 m away, 4 x 2 x 1 m, heading along the first bin."""
    count = len(box)
    zeros = torch.zeros(count)
    values: dict[str, object] = {
        "image": torch.tensor(image, dtype=torch.long), "row": torch.arange(count), "weight": torch.ones(count),
        "label": torch.tensor(label or [0] * count, dtype=torch.long), "box": torch.tensor(box).view(-1, 6),
        "depth": zeros + 10, "size": torch.tensor([[4.0, 2.0, 1.0]]).expand(count, 3), "heading_bin": zeros.long(),
        "heading_residual": zeros, "doubt": torch.zeros(0, 5),
    }  # fmt: skip
    return QueryTargets(**(values | changed))  # type: ignore[arg-type]


def answers(box: list[list[list[float]]], logits: list[list[list[float]]], **changed: torch.Tensor) -> Answers:
    """Answers with these boxes (B,Q,6) and logits (B,Q,classes), all else zero."""
    boxes = torch.tensor(box)
    none = torch.zeros(boxes.shape[:2])
    said = Answers(
        torch.tensor(logits), boxes, none[..., None].repeat(1, 1, 3), none, none, none[..., None].repeat(1, 1, 24)
    )
    return said._replace(**changed)
