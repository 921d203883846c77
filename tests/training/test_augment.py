"""Random changes of a picture keep picture, camera and labels together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mono3d_kd_core.frames import Rig
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, apply, inverse, wrap_angle
from mono3d_kd_core.io.kitti_labels import KittiLabels
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.training.augment import augment, crop, flip, shift_colours
from mono3d_kd_core.training.examples import Example
from mono3d_kd_core.training.recipe import AugmentConfig
from mono3d_kd_core.training.reference import Reference

OFFSET = CameraModel.from_projection(320, 96, np.array([[180.0, 0, 160, 11], [0, 180, 48, 0.1], [0, 0, 1, 0.003]]))
DISTORTED = CameraModel(
    320, 96, np.array([[200.0, 0, 155], [0, 205, 50], [0, 0, 1]]), "plumb_bob", np.array([-0.2, 0.05, 0.001, -0.001, 0.0])
)
COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)

NOTHING = KittiLabels.from_boxes(Boxes3D.empty("camera"), OFFSET)


def scene(camera: CameraModel) -> Example:
    """Three objects whose projected centres are painted, each in its own colour, on black."""
    uv = np.array([[120, 55], [210, 40], [150, 30]])
    centre = apply(inverse(T_CAMERA_BODY), camera.unproject(uv, np.array([10.0, 16.0, 22.0])))
    size = np.tile([4.0, 1.6, 1.5], (3, 1))
    boxes = Boxes3D(centre, size, np.array([0.3, -2.0, 1.2]), np.array(["Car"] * 3), frame="camera")
    image = np.zeros((96, 320, 3), np.uint8)
    for (u, v), colour in zip(uv, COLOURS):
        image[v - 2 : v + 3, u - 2 : u + 3] = colour
    annotation = Annotation(boxes, np.column_stack([uv - 2, uv + 2]), ignore=[[5, 5, 30, 20]])
    return Example("000000", image, camera, annotation, Reference(NOTHING, Rig(camera, np.eye(4))), np.eye(4))


def painted(image: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The centre of gravity (u, v) of a colour; NaN where it is not to be seen."""
    share = np.clip((image.astype(float) * (2 * (colour > 0) - 1)).sum(-1) - 60, 0, None)
    v, u = np.mgrid[: image.shape[0], : image.shape[1]]
    total = share.sum()
    return np.array([(share * u).sum(), (share * v).sum()]) / total if total > 500 else np.full(2, np.nan)


@pytest.mark.parametrize("camera", [OFFSET, DISTORTED], ids=["offset", "distorted"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_centres_project_to_where_they_are_seen_after_any_change(camera: CameraModel, seed: int) -> None:
    config = AugmentConfig(flip=0.5, scale_crop=1.0, scale=(0.7, 1.6), colour=0.0)
    changed = augment(scene(camera), config, np.random.default_rng(seed))
    uv = changed.camera.project(apply(T_CAMERA_BODY, changed.annotation.boxes.centre))[0]
    for i, colour in enumerate(COLOURS):
        inside = (uv[i] > 6).all() and (uv[i] < [313, 89]).all()
        if inside:  # also the 2D box stays around the paint
            np.testing.assert_allclose(painted(changed.image, colour), uv[i], atol=0.5)
            np.testing.assert_allclose(changed.annotation.box2d[i].reshape(2, 2).mean(0), uv[i], atol=0.5)


def test_flip_twice_is_nothing() -> None:
    example = scene(DISTORTED)
    twice = flip(flip(example))
    np.testing.assert_array_equal(twice.image, example.image)
    np.testing.assert_allclose(twice.annotation.boxes.centre, example.annotation.boxes.centre)
    np.testing.assert_allclose(twice.annotation.box2d, example.annotation.box2d)
    np.testing.assert_allclose(twice.annotation.ignore, example.annotation.ignore)
    np.testing.assert_allclose(twice.camera.K, example.camera.K)


def test_flip_mirrors_the_observation_angle() -> None:
    example = scene(OFFSET)
    before, after = (e.annotation.boxes.to_kitti_camera()[3] for e in (example, flip(example)))
    assert wrap_angle(after - (np.pi - before)) == pytest.approx(np.zeros(3), abs=1e-9)


def test_a_closer_crop_lengthens_the_focal_length_and_leaves_distances() -> None:
    example = scene(OFFSET)
    closer = crop(example, 80, 24, 160, 48)
    assert closer.camera.intrinsics[0, 0] == pytest.approx(2 * example.camera.intrinsics[0, 0])
    np.testing.assert_array_equal(closer.annotation.boxes.centre, example.annotation.boxes.centre)
    assert closer.annotation.box2d.min() >= 0
    assert closer.annotation.box2d[:, 2].max() <= 319


def test_a_crop_beyond_the_border_is_padded() -> None:
    wide = crop(scene(OFFSET), -160, -48, 640, 192)
    assert wide.image.shape == (96, 320, 3)
    assert tuple(wide.image[2, 2]) == (124, 116, 104)


def test_colours_change_but_little_and_geometry_not() -> None:
    example = scene(OFFSET)
    grey = np.full_like(example.image, 128)
    shifted = shift_colours(grey, np.random.default_rng(0))
    assert shifted.std() < 20
    assert 90 < shifted.mean() < 170
    config = AugmentConfig(flip=0, scale_crop=0, colour=1)
    assert augment(example, config, np.random.default_rng(1)).camera == example.camera
