"""Who counts in the KITTI object benchmark (Geiger et al., CVPR 2012; the evaluation code of its development kit)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti_labels import DONT_CARE, KittiLabels

Use = NDArray[np.int8]
"""What a row is for one class at one level: COUNTED, IGNORED (neither right nor wrong) or ABSENT."""
COUNTED, IGNORED, ABSENT = 0, 1, -1

Space = Literal["2d", "bev", "3d"]


@dataclass(frozen=True)
class Level:
    """A difficulty: what an object must at least show to be asked for."""

    name: str
    min_height: int
    max_occlusion: int
    max_truncation: float


LEVELS = (Level("easy", 40, 0, 0.15), Level("moderate", 25, 1, 0.3), Level("hard", 25, 2, 0.5))
NEIGHBOUR = {"Car": "Van", "Pedestrian": "Person_sitting", "Cyclist": ""}
"""The evaluated classes, each with the class whose objects may be taken for it without blame."""
CLASSES = tuple(NEIGHBOUR)


@dataclass(frozen=True)
class Metric:
    """A name such as "3d@0.7" and what it asks: overlaps in `space` above `min_overlap`."""

    space: Space
    min_overlap: float
    orientation: bool = False

    @property
    def name(self) -> str:
        return f"{'aos' if self.orientation else self.space}@{self.min_overlap:g}"


def metrics_of(name: str) -> tuple[Metric, ...]:
    """Return the six metrics of a class: 2D, orientation, BEV and 3D at the strict overlap, BEV and 3D at the loose one."""
    strict, loose = (0.7, 0.5) if name == "Car" else (0.5, 0.25)
    return (
        Metric("2d", strict), Metric("2d", strict, orientation=True), Metric("bev", strict), Metric("3d", strict),
        Metric("bev", loose), Metric("3d", loose),
    )  # fmt: skip


def is_type(labels: KittiLabels, name: str) -> NDArray[np.bool_]:
    """Say which rows are of a class; the case of letters does not matter, as in the official code."""
    types, position = np.unique(labels.type, return_inverse=True)
    return np.asarray(np.char.lower(types) == name.lower())[position.reshape(-1)]


def truth_use(labels: KittiLabels, name: str, level: Level) -> Use:
    """Say of each labelled row (N,) whether it must be found, may be found, or does not exist for this class.

    An object as high as the limit, to the hundredth of a pixel, is still too small.
    """
    too_hard = (
        (labels.occluded > level.max_occlusion)
        | (labels.truncated > level.max_truncation)
        | (labels.bbox[:, 3] - labels.bbox[:, 1] <= level.min_height)
    )
    own, neighbour = is_type(labels, name), is_type(labels, NEIGHBOUR[name])
    return np.where(own & ~too_hard, COUNTED, np.where(own | neighbour, IGNORED, ABSENT)).astype(np.int8)


def found_use(detections: KittiLabels, name: str, level: Level) -> Use:
    """Say of each detection (N,) whether it counts for this class.

    One that is too small is ignored *whatever its class*: the official code looks at the height first, so that a small
    cyclist may stand on an ignored car.
    """
    too_small = np.abs(detections.bbox[:, 3] - detections.bbox[:, 1]) < level.min_height
    return np.where(too_small, IGNORED, np.where(is_type(detections, name), COUNTED, ABSENT)).astype(np.int8)


def has_orientation(detections: KittiLabels) -> bool:
    """Say whether the orientation is evaluated: not when a single detection of any class has alpha = -10.

    DontCare rows, which have no orientation, are passed over: they are no detections.
    """
    return not bool((detections.alpha[~is_type(detections, DONT_CARE)] == -10).any())


def is_evaluated(detections: KittiLabels, name: str, space: Space) -> bool:
    """Say whether the detections of a class have boxes in this space at all; -1 and -1000 stand for none.

    Without a single detection of the class this is true: then nothing was found, which is an average precision of 0.
    """
    rows = detections[is_type(detections, name)]
    if len(rows) == 0:
        return True
    if space == "2d":
        return bool((rows.bbox[:, 0] >= 0).any())
    needed = [0, 2] if space == "bev" else [0, 1, 2]
    sizes = [1, 2] if space == "bev" else [0, 1, 2]
    placed: NDArray[np.bool_] = (rows.location[:, needed] != -1000).all(1) & (rows.dimensions[:, sizes] > 0).all(1)
    return bool(placed.any())


def footprints(labels: KittiLabels) -> Matrix:
    """Return (N,5) x, z, length, width, angle of the boxes seen from above, counter-clockwise from x towards z."""
    sizes = labels.dimensions[:, [2, 1]]
    # Rows without a box carry -1 twice: for the official polygons, the same as 1 twice.
    sizes = np.where((sizes < 0).all(1, keepdims=True), -sizes, sizes)
    return np.column_stack([labels.location[:, [0, 2]], sizes, -labels.rotation_y])
