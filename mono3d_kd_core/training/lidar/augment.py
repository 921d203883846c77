"""Random changes of a cloud and its boxes together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydantic import Field

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.rigid import rotation_z
from mono3d_kd_core.training.lidar.clouds import CloudExample
from mono3d_kd_core.training.recipe import Section


class WorldAugmentConfig(Section):
    """Random changes of cloud and boxes together, about the LiDAR (SECOND, Yan et al. 2018, section 3.3)."""

    flip: float = Field(default=0.5, ge=0, le=1)
    """Probability of mirroring left to right."""
    rotation: float = Field(default=0.7854, ge=0)
    """At most so many radians about the vertical axis, either way."""
    scale: tuple[float, float] = (0.95, 1.05)


def change_world(example: CloudExample, config: WorldAugmentConfig, random: np.random.Generator) -> CloudExample:
    """Mirror, turn and scale the world about the LiDAR; cloud and boxes alike."""
    points, boxes = example.points.astype(np.float64), example.boxes
    centre, yaw = boxes.centre, boxes.yaw
    if random.random() < config.flip:
        mirror = np.array([1.0, -1.0, 1.0])
        points[:, :3] *= mirror
        centre, yaw = centre * mirror, -yaw
    turn = random.uniform(-config.rotation, config.rotation)
    scale = random.uniform(*config.scale)
    rotation = rotation_z(turn) * scale
    points[:, :3] = points[:, :3] @ rotation.T
    changed = Boxes3D(centre @ rotation.T, boxes.size * scale, yaw + turn, boxes.label, frame="lidar")
    return replace(example, points=points.astype(np.float32), boxes=changed)
