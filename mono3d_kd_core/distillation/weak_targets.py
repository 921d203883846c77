"""What 2D boxes and a depth map say to a keypoint network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.distillation.boxes2d import Boxes2D
from mono3d_kd_core.distillation.densify import DepthMap
from mono3d_kd_core.distillation.projection import Views, ideal_boxes, joined, views_of
from mono3d_kd_core.distillation.pseudo import pseudo_objects
from mono3d_kd_core.distillation.regions import Objects
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.heads.heatmap import draw_gaussian, gaussian_radius
from mono3d_kd_core.students.keypoint_targets import STRIDE


@dataclass(frozen=True)
class WeakTargets:
    """Targets of a batch: the heatmap (B,classes,H,W), its cell weights (B,1,H,W), and K objects, image by image.

    image (K,) index in the batch; cell (K,) flat cell of the 2D box's centre; label (K,) class index; offset2d and size2d
    (K,2) in cells; box (K,4) in ideal pixels and cut (K,4), see `Boxes2D`; views of the objects; depth (K,) metres at the
    reference focal length and alpha (K,) radians as a depth map has them, NaN where it does not tell.
    """

    heatmap: Tensor
    heatmap_weight: Tensor
    image: Tensor
    cell: Tensor
    label: Tensor
    offset2d: Tensor
    size2d: Tensor
    box: Tensor
    cut: Tensor
    depth: Tensor
    alpha: Tensor
    views: Views

    def __len__(self) -> int:
        return len(self.image)

    @property
    def objects(self) -> Objects:
        """The objects by their boxes in the picture's pixels."""
        columns = self.heatmap.shape[-1]
        middle = torch.stack([self.cell % columns, self.cell // columns], -1) + self.offset2d
        box = torch.cat([middle - self.size2d / 2, middle + self.size2d / 2], -1) * STRIDE
        return Objects(self.image, box, self.cell, torch.ones_like(self.cell, dtype=torch.bool), self.label)

    def to(self, device: torch.device) -> WeakTargets:
        """Return the same targets on another device."""
        return WeakTargets(*(getattr(self, part.name).to(device) for part in fields(self)))


def encode_weak(
    seen: Sequence[Boxes2D], cameras: Sequence[CameraModel], depths: Sequence[DepthMap | None],
    sizes: Mapping[str, tuple[float, float, float]], classes: Sequence[str], reference_focal: float,
) -> WeakTargets:  # fmt: skip
    """Encode a batch, all pictures of one size, with their depth maps (H,W) where there are any.

    An object's cell is that of its 2D box's centre, since where its 3D centre projects to nobody said.
    """
    height, width = cameras[0].height // STRIDE, cameras[0].width // STRIDE
    heatmap = np.zeros((len(seen), len(classes), height, width), np.float32)
    weight = np.ones((len(seen), 1, height, width), np.float32)
    tables, views = [], []
    for i, (boxes, camera, depth) in enumerate(zip(seen, cameras, depths, strict=True)):
        boxes = learnable(boxes, classes)
        table = _rows(i, boxes, camera, list(classes), heatmap[i], weight[i, 0])
        hint = np.full((len(boxes), 2), np.nan)
        if depth is not None and len(boxes):
            pseudo = pseudo_objects(boxes, depth, camera, sizes)
            hint = np.column_stack([pseudo.depth, pseudo.alpha])
        one = views_of(camera, np.column_stack([table[:, 1] % width, table[:, 1] // width]), reference_focal)
        hint[:, 0] /= one.stretch.numpy()
        tables.append(np.hstack([table, hint]))
        views.append(one)
    rows = torch.from_numpy(np.concatenate(tables))
    number = rows.float()
    return WeakTargets(
        torch.from_numpy(heatmap), torch.from_numpy(weight), rows[:, 0].long(), rows[:, 1].long(), rows[:, 2].long(),
        number[:, 3:5], number[:, 5:7], number[:, 7:11], rows[:, 11:15] > 0, number[:, 15], number[:, 16], joined(views),
    )  # fmt: skip


def learnable(boxes: Boxes2D, classes: Sequence[str]) -> Boxes2D:
    """Return the boxes of the learned classes; slivers, which a crop has left over, become regions to ignore."""
    learned = np.isin(boxes.label, list(classes))
    sliver = (boxes.box[:, 2:] - boxes.box[:, :2] < STRIDE).any(1)
    keep = learned & ~sliver
    ignore = np.concatenate([boxes.ignore, boxes.box[learned & sliver]])
    return Boxes2D(boxes.label[keep], boxes.box[keep], boxes.cut[keep], ignore)


def _rows(
    index: int, boxes: Boxes2D, camera: CameraModel, classes: list[str], heatmap: Matrix, weight: Matrix
) -> Matrix:
    """Draw one picture's objects; return image, cell, label, offset2d, size2d, ideal box and cut edges (K,15)."""
    rows, columns = weight.shape
    for left, top, right, bottom in np.maximum(boxes.ignore / STRIDE, 0):
        weight[int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))] = 0
    table = []
    straight = ideal_boxes(camera, boxes.box)
    for k, (box, name) in enumerate(zip(boxes.box / STRIDE, boxes.label)):
        (x, y), (w, h) = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        column, row = min(max(int(x), 0), columns - 1), min(max(int(y), 0), rows - 1)
        label = classes.index(str(name))
        draw_gaussian(heatmap[label], row, column, gaussian_radius(max(h, 1), max(w, 1)))
        weight[row, column] = 1
        table.append(
            [index, row * columns + column, label, x - column, y - row, w, h, *straight[k], *boxes.cut[k].astype(float)]
        )
    return np.array(table, np.float64).reshape(-1, 15)
