"""Random changes of a picture and the sweep that belongs to it; which point is on which pixel never changes."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from pydantic import Field, model_validator

from mono3d_kd_core.distillation.hvdistill import Pair
from mono3d_kd_core.geometry.rigid import inverse, rotation_z, transform
from mono3d_kd_core.training.recipe import Section

Random = np.random.Generator


class PairAugmentConfig(Section):
    """Random changes; the defaults are for one camera that looks ahead."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring the picture."""
    crop: float = Field(default=0.5, ge=0, le=1)
    """Probability of enlarging a part of the picture."""
    scale: tuple[float, float] = (1.0, 1.3)
    """By how much; the part lies anywhere in the picture."""
    rotation: float = Field(default=0.7854, ge=0)
    """The sweep is turned about the vertical by at most so many radians, either way."""
    mirror: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring the sweep left to right, whatever the picture does."""
    drop: float = Field(default=0.5, ge=0, le=1)
    """Probability of emptying a cuboid around some point, of up to a tenth of the sweep's extent either way."""

    @model_validator(mode="after")
    def _enlarges(self) -> PairAugmentConfig:
        if not 1 <= self.scale[0] <= self.scale[1]:
            raise ValueError(f"scale {self.scale}: expected the least and the greatest enlargement, 1 or more")
        return self


def change_pair(pair: Pair, config: PairAugmentConfig, random: Random) -> Pair:
    """Apply the recipe's changes, each with its probability."""
    if random.random() < config.flip:
        pair = flip_picture(pair)
    if random.random() < config.crop:
        pair = enlarge(pair, random.uniform(*config.scale), random.random(), random.random())
    turn = random.uniform(-config.rotation, config.rotation)
    pair = turn_sweep(pair, turn, random.random() < config.mirror)
    if random.random() < config.drop and len(pair.points):
        pair = empty_cuboid(pair, random)
    return pair


def flip_picture(pair: Pair) -> Pair:
    """Mirror the picture and, so that it stays a camera's, the world with it: points change sides."""
    across = np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(
        pair,
        image=np.ascontiguousarray(pair.image[:, ::-1]),
        superpixels=np.ascontiguousarray(pair.superpixels[:, ::-1]),
        camera=pair.camera.flipped(),
        pose=across @ pair.pose,
    )


def enlarge(pair: Pair, scale: float, right: float, down: float) -> Pair:
    """Show a 1/scale part of the picture at the picture's size; right and down in [0, 1] say where it lies."""
    height, width = pair.image.shape[:2]
    inner_width, inner_height = round(width / scale), round(height / scale)
    x, y = round(right * (width - inner_width)), round(down * (height - inner_height))
    part = (slice(y, y + inner_height), slice(x, x + inner_width))
    image = cv2.resize(pair.image[part], (width, height), interpolation=cv2.INTER_LINEAR)
    numbers = cv2.resize(pair.superpixels[part].astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST)
    camera = pair.camera.cropped(x, y, inner_width, inner_height).resized(width, height)
    return replace(pair, image=np.asarray(image, np.uint8), superpixels=numbers.astype(np.int64), camera=camera)


def turn_sweep(pair: Pair, turn: float, mirrored: bool) -> Pair:
    """Turn the sweep about the vertical, and mirror it; the pose undoes it, so the picture sees the same."""
    change = np.diag([1.0, -1.0 if mirrored else 1.0, 1.0]) @ rotation_z(turn)
    T = transform(change, np.zeros(3))
    points = pair.points.copy()
    points[:, :3] = pair.points[:, :3] @ change.T
    # The closed form holds for mirrored frames too: the matrix is orthogonal.
    return replace(pair, points=points, pose=pair.pose @ inverse(T))


def empty_cuboid(pair: Pair, random: Random) -> Pair:
    """Leave out the points of a cuboid around one of them (DropCuboids of Zhang et al., "DepthContrast", ICCV 2021)."""
    xyz = pair.points[:, :3]
    centre = xyz[random.integers(len(xyz))]
    half = random.uniform(0, 0.1) * (xyz.max(0) - xyz.min(0))
    return replace(pair, points=pair.points[~(np.abs(xyz - centre) <= half).all(1)])
