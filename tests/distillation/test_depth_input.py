"""The depth that privileged teachers see."""

from __future__ import annotations

import numpy as np
import pytest

from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.densify import densify
from mono3d_kd_core.distillation.depth_input import depth_input, object_depth
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.students.base import Annotation

CAMERA = CameraModel.pinhole(192, 64, 108, 108, 96, 27)


def road(sparse: bool) -> np.ndarray:  # type: ignore[type-arg]
    """A road seen from 1.65 m with a wall at 30 m above it; `sparse` keeps what a LiDAR's rings would hit."""
    row = np.arange(128.0)[:, None]
    depth = np.minimum(1.65 * 150 / np.maximum(row - 40, 1e-6), 30) * (row > 20)
    depth = np.broadcast_to(depth, (128, 400)).astype(np.float32).copy()
    if sparse:
        kept = np.zeros_like(depth, bool)
        kept[::4, ::3] = True
        depth[~kept] = 0
    return depth


def test_gaps_between_rings_are_filled_near_the_truth_and_the_sky_stays_empty() -> None:
    dense, truth = densify(road(sparse=True)), road(sparse=False)
    lower = dense[30:120, 5:-5]
    assert (lower > 0).all()
    assert np.median(np.abs(lower / truth[30:120, 5:-5] - 1)) < 0.05
    assert (dense[:14] == 0).all()


def test_nothing_known_stays_nothing() -> None:
    assert not densify(np.zeros((64, 192), np.float32)).any()


def test_of_two_surfaces_the_nearer_fills_the_gap() -> None:
    sparse = np.zeros((40, 40), np.float32)
    sparse[10:30, 10], sparse[10:30, 14] = 5, 50
    assert densify(sparse)[20, 12] == pytest.approx(5)


def test_boxes_are_painted_with_the_depth_of_their_centres_near_over_far() -> None:
    boxes = Boxes3D([[12, 0, 0], [30, 0, 0], [-5, 0, 0]], [[4, 2, 1.5]] * 3, [0.0] * 3, ["Car"] * 3, frame="camera")
    annotation = Annotation(boxes, [[80, 20, 110, 40], [100, 10, 130, 30], [0, 0, 191, 63]])
    depth = object_depth(annotation, CAMERA)
    assert depth[25, 105] == 12
    assert depth[15, 105] == depth[25, 120] == 30
    assert depth[50, 105] == 0


def test_a_frame_without_what_the_source_needs_has_no_depth() -> None:
    annotation = Annotation(Boxes3D.empty("camera"), np.empty((0, 4)))
    assert depth_input(Taught(annotation=annotation, camera=CAMERA), "lidar") is None
    assert depth_input(Taught(depth=np.ones((64, 192), np.float32)), "objects") is None
    assert depth_input(Taught(annotation=annotation, camera=CAMERA), "objects") is not None
