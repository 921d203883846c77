"""Turn annotations into what the query student should say. Needed in training only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.keypoint_targets import heading_code, network_focal

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class QueryTargets:
    """The K objects of a batch that are learned, image by image, and the regions in doubt.

    image (K,) index in the batch; row (K,) index among all objects of known classes of the batch, learned or not; weight
    (K,); label (K,); box (K,6) as `Answers.box`, shares of the picture; depth (K,) metres at the reference focal length;
    size (K,3) length, width, height in metres; heading_bin and heading_residual (K,) as the keypoint student's. doubt (R,5)
    is image, left, top, right, bottom of regions that are neither object nor background, shares of the picture.
    """

    image: Tensor
    row: Tensor
    weight: Tensor
    label: Tensor
    box: Tensor
    depth: Tensor
    size: Tensor
    heading_bin: Tensor
    heading_residual: Tensor
    doubt: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device) -> QueryTargets:
        """Return the same targets on another device."""
        return QueryTargets(*(getattr(self, part.name).to(device) for part in fields(self)))


def encode(
    annotations: Sequence[Annotation], cameras: Sequence[CameraModel], classes: Sequence[str], reference_focal: float,
    depth_range: tuple[float, float],
) -> QueryTargets:  # fmt: skip
    """Encode a batch.

    An object is learned when its class is known, its centre projects into the image and its depth is in `depth_range`
    (metres); other objects of known classes and the annotations' regions are in doubt. A centre outside its 2D box, as
    truncation brings about, is given distances of at least 0 to the box's edges.
    """
    rows, doubts, known_before = [], [], 0
    for i, (annotation, camera) in enumerate(zip(annotations, cameras, strict=True)):
        columns, learned, known = _columns(annotation, camera, list(classes), reference_focal, depth_range)
        order = known_before + np.cumsum(known) - 1
        table = np.column_stack([np.full(len(known), i), order, annotation.weight, columns])
        rows.append(table[learned])
        doubt = _shares(np.concatenate([annotation.box2d[known & ~learned], annotation.ignore]), camera)
        doubts.append(np.column_stack([np.full(len(doubt), i), doubt]))
        known_before += int(known.sum())
    number = torch.from_numpy(np.concatenate(rows))
    return QueryTargets(
        number[:, 0].long(), number[:, 1].long(), number[:, 2].float(), number[:, 3].long(), number[:, 4:10].float(),
        number[:, 10].float(), number[:, 11:14].float(), number[:, 14].long(), number[:, 15].float(),
        torch.from_numpy(np.concatenate(doubts)).float(),
    )  # fmt: skip


def _columns(
    annotation: Annotation, camera: CameraModel, classes: list[str], reference_focal: float,
    depth_range: tuple[float, float],
) -> tuple[Matrix, Mask, Mask]:  # fmt: skip
    """Return label, box, depth, size and heading (N,13) of one image's objects, which are learned and which known (N,)."""
    boxes = annotation.boxes
    points = apply(T_CAMERA_BODY, boxes.centre)
    uv, visible = camera.project(points)
    depth = (points - camera.optical_centre) @ camera.forward
    known = np.isin(boxes.label, classes)
    learned = known & visible & (depth >= depth_range[0]) & (depth <= depth_range[1]) & (annotation.weight > 0)
    label = [classes.index(str(name)) if name in classes else -1 for name in boxes.label]
    centre = (np.where(visible[:, None], uv, 0) + 0.5) / [camera.width, camera.height]
    left, top, right, bottom = _shares(annotation.box2d, camera).T
    x, y = centre.T
    reach = np.column_stack([x - left, right - x, y - top, bottom - y]).clip(0, 1)
    _, _, _, alpha = boxes.to_kitti_camera()
    table = np.column_stack(
        [label, centre, reach, depth * reference_focal / network_focal(camera), boxes.size, *heading_code(alpha)]
    )
    return table, learned, known


def _shares(box2d: Matrix, camera: CameraModel) -> Matrix:
    """Return image boxes (N,4) in pixels as shares of the picture, in which pixel 0 reaches from 0 to 1."""
    return np.asarray((box2d + 0.5) / np.tile([camera.width, camera.height], 2))
