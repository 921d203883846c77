"""Random changes of a picture. Each changes the picture, its camera and its labels together, so none can go stale."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.letterbox import PADDING
from mono3d_kd_core.training.examples import Example
from mono3d_kd_core.training.recipe import AugmentConfig

Random = np.random.Generator
_MIRROR_CAMERA, _MIRROR_LIDAR = np.diag([-1.0, 1.0, 1.0, 1.0]), np.diag([1.0, -1.0, 1.0, 1.0])


def augment(example: Example, config: AugmentConfig, random: Random) -> Example:
    """Apply the recipe's changes, each with its probability."""
    if random.random() < config.flip:
        example = flip(example)
    if random.random() < config.scale_crop:
        example = crop(example, *_random_window(example, config, random))
    if random.random() < config.colour:
        example = replace(example, image=shift_colours(example.image, random))
    return example


def flip(example: Example) -> Example:
    """Mirror the picture, and with it the world: boxes change the side they are on and the way they turn."""
    width = example.camera.width
    annotation, boxes = example.annotation, example.annotation.boxes
    mirrored = Boxes3D(
        boxes.centre * [1, -1, 1], boxes.size, -boxes.yaw, boxes.label, boxes.score, boxes.depth_std, boxes.frame
    )

    def across(box2d: Matrix) -> Matrix:
        return np.column_stack([width - 1 - box2d[:, 2], box2d[:, 1], width - 1 - box2d[:, 0], box2d[:, 3]])

    return replace(
        example,
        image=np.ascontiguousarray(example.image[:, ::-1]),
        camera=example.camera.flipped(),
        annotation=replace(annotation, boxes=mirrored, box2d=across(annotation.box2d), ignore=across(annotation.ignore)),
        pose=_MIRROR_CAMERA @ example.pose @ _MIRROR_LIDAR,
        mirrored=not example.mirrored,
    )


def crop(example: Example, x: int, y: int, width: int, height: int) -> Example:
    """Show the window whose top left pixel is (x, y) at the picture's size; it may reach outside (padding).

    A window smaller than the picture makes everything larger and the focal length longer; distances stay what they are.
    """
    old = example.camera
    window = old.cropped(x, y, width, height)
    scale = np.tile([old.width / width, old.height / height], 2)
    limit = np.tile([old.width - 1, old.height - 1], 2)

    def moved(box2d: Matrix) -> Matrix:
        return np.asarray(np.clip((box2d - [x, y, x, y] + 0.5) * scale - 0.5, 0, limit))

    annotation = example.annotation
    return replace(
        example,
        image=_window_of(example.image, x, y, width, height),
        camera=window.resized(old.width, old.height),
        annotation=replace(annotation, box2d=moved(annotation.box2d), ignore=moved(annotation.ignore)),
    )


def _window_of(image: NDArray[np.uint8], x: int, y: int, width: int, height: int) -> NDArray[np.uint8]:
    """Cut a window, pad where it reaches outside, and resize it to the image's size."""
    rows, columns = image.shape[:2]
    inner = image[max(0, y) : y + height, max(0, x) : x + width]
    top, left = max(0, -y), max(0, -x)
    padded = cv2.copyMakeBorder(
        inner, top, height - top - inner.shape[0], left, width - left - inner.shape[1], cv2.BORDER_CONSTANT, value=PADDING
    )
    return np.asarray(cv2.resize(padded, (columns, rows), interpolation=cv2.INTER_LINEAR), np.uint8)


def _random_window(example: Example, config: AugmentConfig, random: Random) -> tuple[int, int, int, int]:
    columns, rows = example.camera.width, example.camera.height
    scale = random.uniform(*config.scale)
    width, height = round(columns / scale), round(rows / scale)
    shift_x, shift_y = random.uniform(-config.shift, config.shift, 2)
    return round((columns - width) / 2 + shift_x * columns), round((rows - height) / 2 + shift_y * rows), width, height


def shift_colours(image: NDArray[np.uint8], random: Random) -> NDArray[np.uint8]:
    """Change brightness, contrast, saturation and tint a little, the camera's doing rather than the scene's."""
    brightness, contrast, saturation = random.uniform(-25, 25), random.uniform(0.75, 1.3), random.uniform(0.5, 1.3)
    tint = random.uniform(0.92, 1.08, 3)
    grey = np.array([0.299, 0.587, 0.114])
    # One 3x4 map of colours does it all: mixing with grey, then gain about the middle, then offset.
    mix = saturation * np.eye(3) + (1 - saturation) * np.tile(grey, (3, 1))
    gain = contrast * tint[:, None] * mix
    offset = 128 - contrast * 128 + brightness
    return np.asarray(cv2.transform(image, np.column_stack([gain, np.full(3, offset)])), np.uint8)
