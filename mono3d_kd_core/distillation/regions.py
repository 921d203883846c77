"""Objects of a batch, and what feature maps say inside their 2D boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply
from mono3d_kd_core.heads.keypoint import KeypointHead, Regressions
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.keypoint_targets import STRIDE


@dataclass(frozen=True)
class Objects:
    """The K annotated objects of a batch, image by image.

    image (K,) index in the batch; box2d (K,4) left, top, right, bottom in pixels; cell (K,) flat cell of the projected 3D
    centre at stride 4, 0 where `visible` (K,) says that the centre is outside the image; label (K,) class index.
    """

    image: Tensor
    box2d: Tensor
    cell: Tensor
    visible: Tensor
    label: Tensor

    def __len__(self) -> int:
        return len(self.image)

    def chosen(self, index: Tensor) -> Objects:
        """Return the objects at an index or mask."""
        return Objects(*(part[index] for part in vars(self).values()))


def objects_of(
    annotations: Sequence[Annotation], cameras: Sequence[CameraModel], classes: Sequence[str], device: torch.device
) -> Objects:
    """Gather the objects of known classes of all images, whatever their distance."""
    columns = [_columns(i, *pair, list(classes)) for i, pair in enumerate(zip(annotations, cameras, strict=True))]
    rows = torch.from_numpy(np.concatenate(columns)).to(device)
    image, label, cell, visible = rows[:, 0].long(), rows[:, 1].long(), rows[:, 2].long(), rows[:, 3] > 0
    return Objects(image, rows[:, 4:].float(), cell, visible, label)


def _columns(index: int, annotation: Annotation, camera: CameraModel, classes: list[str]) -> Matrix:
    """Return image, label, cell, visible and 2D box of one image's objects (K,8)."""
    boxes = annotation.boxes
    known = np.isin(boxes.label, classes)
    uv, visible = camera.project(apply(T_CAMERA_BODY, boxes.centre))
    columns, rows = camera.width // STRIDE, camera.height // STRIDE
    uv = np.where(visible[:, None], uv, 0)
    cell = np.minimum(uv[:, 1] // STRIDE, rows - 1) * columns + np.minimum(uv[:, 0] // STRIDE, columns - 1)
    label = [classes.index(str(name)) if name in classes else -1 for name in boxes.label]
    table = np.column_stack([np.full(len(boxes), index), label, cell, visible, annotation.box2d]).reshape(-1, 8)
    return np.asarray(table[known], np.float64)


def regressions_of(head: KeypointHead, neck: Tensor, objects: Objects) -> Regressions:
    """Evaluate the head's regressions (K,C) at the objects' cells; those of invisible centres are meaningless."""
    cells, slot = padded_cells(objects.image, objects.cell, len(neck))
    at = head.at_cells(neck, cells)
    return Regressions(*(part[objects.image, slot] for part in at))


def padded_cells(image: Tensor, cell: Tensor, batch: int) -> tuple[Tensor, Tensor]:
    """Arrange flat cells (K,) of images (K,), sorted by image, as (B,M) padded with 0, and their columns (K,) in that."""
    count = torch.bincount(image, minlength=batch)
    slot = torch.arange(len(image), device=image.device) - (count.cumsum(0) - count)[image]
    cells = cell.new_zeros(batch, max(1, int(count.max())))
    cells[image, slot] = cell
    return cells, slot


def inside_boxes(objects: Objects, value: Tensor, batch: int, rows: int, columns: int, stride: int) -> Tensor:
    """Paint each object's value (K,) over the cells (B,rows,columns) of stride `stride` that its 2D box touches, else 0.

    Where boxes overlap, the later object counts.
    """
    canvas = value.new_zeros(batch, rows, columns)
    corner = (objects.box2d / stride).cpu().numpy()
    first = np.maximum(np.floor(corner[:, :2]), 0).astype(int)
    last = np.maximum(np.ceil(corner[:, 2:]), 0).astype(int)
    for k, image in enumerate(objects.image.tolist()):
        canvas[image, first[k, 1] : last[k, 1], first[k, 0] : last[k, 0]] = value[k]
    return canvas


def roi_align(features: Tensor, objects: Objects, stride: int, size: int = 7, samples: int = 2) -> Tensor:
    """Average features (B,C,h,w) in `size` x `size` parts of each object's box: (K,C,size,size) (He et al., ICCV 2017).

    Each part is the mean of `samples` x `samples` bilinear readings; pixels are points at whole numbers, and what lies
    outside the map is read at its border.
    """
    channels, rows, columns = features.shape[1:]
    points = size * samples
    step = (torch.arange(points, device=features.device) + 0.5) / points
    # Continuous coordinates, in which pixel 0 reaches from 0 to 1, as shares of the map from -1 to 1.
    box = (objects.box2d + 0.5) / stride / features.new_tensor([columns, rows] * 2) * 2 - 1
    x = box[:, None, 0] + (box[:, None, 2] - box[:, None, 0]) * step
    y = box[:, None, 1] + (box[:, None, 3] - box[:, None, 1]) * step
    grid = torch.stack([x[:, None].expand(-1, points, -1), y[:, :, None].expand(-1, -1, points)], -1)
    found = features.new_zeros(len(objects), channels, size, size)
    for image in sorted(set(objects.image.tolist())):
        mine = objects.image == image
        at = grid[mine].flatten(0, 1)[None]
        read = functional.grid_sample(features[image][None], at, "bilinear", "border", align_corners=False)
        parts = read.view(channels, -1, points, points).transpose(0, 1)
        found[mine] = functional.avg_pool2d(parts, samples)
    return found
