"""Made-up pictures with labels and depth, a tiny network, and what every host of a privileged teacher is put through."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from mono3d_kd_core.distillation.base import Distiller, Taught
from mono3d_kd_core.distillation.depth_input import DepthSource
from mono3d_kd_core.distillation.privileged import PrivilegedKeypoint, shown
from mono3d_kd_core.distillation.privileged_distiller import PrivilegedDistiller
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation, Student
from mono3d_kd_core.students.keypoint import KeypointConfig

CAMERA = CameraModel.pinhole(192, 64, 108, 108, 96, 27)
TINY = KeypointConfig(
    classes=("Car",),
    width=0.125,
    neck_channels=8,
    head_channels=8,
    input_height=64,
    input_width=192,
    reference_focal=108,
)


def lesson(seed: int, depth: bool = True) -> Taught:
    """One picture of noise with two cars, and a depth map in which they stand before a wall at 40 m."""
    random = np.random.default_rng(seed)
    centre = np.column_stack([random.uniform(8, 14, 2), [-2.0, 2.0], [-0.8, -0.8]])
    boxes = Boxes3D(centre, np.tile([3.9, 1.6, 1.5], (2, 1)), random.uniform(-3, 3, 2), ["Car"] * 2, frame="camera")
    box2d, _ = project_boxes(boxes, CAMERA)
    image = random.integers(0, 255, (64, 192, 3), np.uint8)
    sweep = np.full((64, 192), 40, np.float32)
    for (left, top, right, bottom), x in zip(box2d.round().astype(int).tolist(), centre[:, 0]):
        sweep[top:bottom, left:right] = x
    return Taught(None, None, sweep if depth else None, image, CAMERA, Annotation(boxes, box2d))


def images(taught: list[Taught]) -> Tensor:
    return torch.from_numpy(np.stack([one.image for one in taught if one.image is not None])).permute(0, 3, 1, 2)


def terms(distiller: Distiller, student: Student, taught: list[Taught]) -> dict[str, Tensor]:
    return distiller.losses(student.forward(images(taught), [CAMERA] * len(taught)), taught)


def learning(module: nn.Module) -> set[str]:
    """The first words of the names of the parameters that have a gradient other than zero."""
    return {
        name.split(".")[0] for name, p in module.named_parameters() if p.grad is not None and bool((p.grad != 0).any())
    }


def check_reach(distiller: PrivilegedDistiller[Any, Any], term: str, reached: set[str], own: set[str]) -> None:
    """Nothing but `reached` of the student and `own` of the distiller learns; the teacher rests, statistics included."""
    before = {name: tensor.clone() for name, tensor in distiller.teacher.state_dict().items()}
    student = distiller.student.train()
    terms(distiller.train(), student, [lesson(0), lesson(1)])[term].backward()
    assert learning(student) == reached
    assert learning(distiller) == own
    assert all(p.grad is None for p in distiller.teacher.parameters())
    assert not distiller.teacher.training
    for name, tensor in distiller.teacher.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def check_weights(distiller: PrivilegedDistiller[Any, Any], weights: BaseModel, changes: dict[str, float]) -> None:
    """With its weights changed by these factors, each of the teacher's terms changes by its own, and no other."""
    student, taught = distiller.student.eval(), [lesson(0)]
    distiller.eval()
    before = terms(distiller, student, taught)
    distiller.weights = weights.model_copy(update={name: by * getattr(weights, name) for name, by in changes.items()})
    after = terms(distiller, student, taught)
    for name, value in before.items():
        torch.testing.assert_close(after[name], changes.get(name.removeprefix("transfer_"), 1.0) * value, msg=name)
    assert all(before[f"transfer_{name}"] > 0 for name in changes)


def overfit_teacher(teacher: PrivilegedKeypoint, taught: list[Taught], source: DepthSource, steps: int = 40) -> None:
    """Train a teacher on the labels of a few frames."""
    pictures = torch.stack(shown(taught, source)[1])
    annotations = [one.annotation for one in taught if one.annotation is not None]
    optimiser = torch.optim.Adam(teacher.parameters(), 1e-2)
    for _ in range(steps):
        found = teacher.losses(teacher(pictures, [CAMERA] * len(taught)), annotations, [CAMERA] * len(taught))
        optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        optimiser.step()


def overfit(
    distiller: Distiller, student: Student, taught: list[Taught], steps: int = 40, rate: float = 1e-2
) -> list[dict[str, float]]:
    """Train a student on a few frames; returns the terms of each step."""
    optimiser = torch.optim.Adam([*student.parameters(), *distiller.parameters()], rate)
    history = []
    for _ in range(steps):
        found = terms(distiller.train(), student.train(), taught)
        optimiser.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        optimiser.step()
        history.append({name: value.item() for name, value in found.items()})
    return history


def check_learned(history: list[dict[str, float]], share: float) -> None:
    """All terms together fall below a share of their start, and each of the teacher's well below its highest."""
    first, last = history[0], history[-1]
    assert sum(last.values()) < share * sum(first.values())
    transferred = [name for name in first if name.startswith("transfer_")]
    assert transferred
    for name in transferred:
        assert last[name] < 0.7 * max(each[name] for each in history), name
