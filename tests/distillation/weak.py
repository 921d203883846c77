"""Made-up pictures whose objects are known by their 2D boxes and a depth map alone, for tests of weak supervision."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.boxes2d import Boxes2D, cut_edges
from mono3d_kd_core.geometry.boxes import Boxes3D
from tests.distillation.privileged import CAMERA, lesson

SURFACE = 1.2
"""Metres by which what the depth map shows is nearer than the cars' centres."""


def truth(seed: int) -> Boxes3D:
    """The boxes in space of `weak_lesson`, which it does not tell."""
    annotation = lesson(seed).annotation
    assert annotation is not None
    return annotation.boxes


def weak_lesson(seed: int, depth: bool = True) -> Taught:
    """One picture of noise with two cars in their 2D boxes, and a depth map in which they stand before a wall at 40 m."""
    known = lesson(seed)
    assert known.annotation is not None
    box = known.annotation.box2d
    image = np.array([0, 0, CAMERA.width - 1, CAMERA.height - 1])
    seen = Boxes2D(known.annotation.boxes.label, box, cut_edges(box, image), np.empty((0, 4)))
    shown = None if known.depth is None else np.where(known.depth < 39, known.depth - SURFACE, known.depth)
    return Taught(depth=shown if depth else None, image=known.image, camera=CAMERA, boxes2d=seen)
