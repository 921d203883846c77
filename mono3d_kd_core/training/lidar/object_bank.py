"""Ground-truth sampling: objects of other frames, put with their points where there is room (Yan et al. 2018)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.overlap import bev_intersection
from mono3d_kd_core.training.lidar.clouds import CloudExample

CLEARANCE = 0.1
"""Metres around an object put in from which the scene's own points go."""


@dataclass(frozen=True)
class BankedObject:
    """One object cut out of its cloud: its points (N,4), and its box alone in a `Boxes3D`, frame "lidar"."""

    points: NDArray[np.float32]
    box: Boxes3D


class ObjectBank:
    """Objects by class. They are put where they were seen, so that density and viewing angle stay true."""

    def __init__(self, objects: Mapping[str, list[BankedObject]]) -> None:
        self.objects = objects

    @classmethod
    def gather(cls, examples: Iterable[CloudExample], classes: Iterable[str]) -> ObjectBank:
        """Cut every object of some classes out of its cloud."""
        objects: dict[str, list[BankedObject]] = {name: [] for name in classes}
        for example in examples:
            boxes = example.boxes[np.isin(example.boxes.label, list(objects))]
            for i, inside in enumerate(boxes.contains(example.points[:, :3])):
                objects[str(boxes.label[i])].append(BankedObject(example.points[inside], boxes[[i]]))
        return cls(objects)

    def fill(self, example: CloudExample, wanted: Mapping[str, int], random: np.random.Generator) -> CloudExample:
        """Put objects in until there are `wanted` of each class, skipping those that would stand in another one."""
        boxes, added = example.boxes, []
        for name, count in wanted.items():
            bank = self.objects.get(name, [])
            missing = count - int((boxes.label == name).sum())
            for index in random.permutation(len(bank))[: max(missing, 0)]:
                chosen = bank[index]
                if not bev_intersection(chosen.box.bev(), boxes.bev()).any():
                    boxes = Boxes3D.concatenate([boxes, chosen.box])
                    added.append(chosen)
        if not added:
            return example
        inside = Boxes3D.concatenate([one.box for one in added]).contains(example.points[:, :3], CLEARANCE).any(0)
        points = np.concatenate([example.points[~inside], *(one.points for one in added)])
        return replace(example, points=points, boxes=boxes)
