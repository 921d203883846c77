"""Turn annotations into what the keypoint student's heads should say. Needed in training only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, apply
from mono3d_kd_core.heads.heatmap import draw_gaussian, gaussian_radius
from mono3d_kd_core.heads.keypoint import HEADING_BINS
from mono3d_kd_core.students.base import Annotation

STRIDE = 4


@dataclass(frozen=True)
class KeypointTargets:
    """Targets of a batch: the heatmap (B,classes,H,W) with its cell weights (B,1,H,W), and M object slots per image.

    cell (B,M) flat index; weight (B,M), 0 for an empty slot; label (B,M); offset2d, size2d, offset3d (B,M,2) in cells; depth
    (B,M) metres at the reference focal length; size3d (B,M,3) length, width, height in metres; heading_bin (B,M);
    heading_residual (B,M) radians.
    """

    heatmap: Tensor
    heatmap_weight: Tensor
    cell: Tensor
    weight: Tensor
    label: Tensor
    offset2d: Tensor
    size2d: Tensor
    offset3d: Tensor
    depth: Tensor
    size3d: Tensor
    heading_bin: Tensor
    heading_residual: Tensor

    def to(self, device: torch.device) -> KeypointTargets:
        """Return the same targets on another device."""
        return KeypointTargets(*(getattr(self, part.name).to(device) for part in fields(self)))


def network_focal(camera: CameraModel) -> float:
    """Return the focal length in pixels that rules apparent size: the geometric mean of fx and fy."""
    return float(np.sqrt(camera.intrinsics[0, 0] * camera.intrinsics[1, 1]))


def heading_code(alpha: Matrix) -> tuple[Matrix, Matrix]:
    """Split angles into the nearest of 12 bins (centres at multiples of 30 degrees) and the residual in radians."""
    step = 2 * np.pi / HEADING_BINS
    nearest = np.round(alpha / step)
    return nearest % HEADING_BINS, alpha - nearest * step


def encode(
    annotations: Sequence[Annotation], cameras: Sequence[CameraModel], classes: Mapping[str, int],
    reference_focal: float, depth_range: tuple[float, float],
) -> KeypointTargets:  # fmt: skip
    """Encode a batch, all images of one size.

    An object is learned when its class is known, its centre projects into the image and its depth is in `depth_range`
    (metres). An object of a known class that is too near or too far is neither learned nor held to be background.
    """
    height, width = cameras[0].height // STRIDE, cameras[0].width // STRIDE
    heatmap = np.zeros((len(annotations), len(classes), height, width), np.float32)
    weight = np.ones((len(annotations), 1, height, width), np.float32)
    rows = [
        _encode_image(heatmap[i], weight[i, 0], annotation, camera, classes, reference_focal, depth_range)
        for i, (annotation, camera) in enumerate(zip(annotations, cameras))
    ]
    slots = np.zeros((len(rows), max(1, *(len(row) for row in rows)), _COLUMNS), np.float64)
    for i, row in enumerate(rows):
        slots[i, : len(row)] = row
    return _split(torch.from_numpy(heatmap), torch.from_numpy(weight), torch.from_numpy(slots))


_COLUMNS = 15


def _encode_image(
    heatmap: Matrix, weight: Matrix, annotation: Annotation, camera: CameraModel, classes: Mapping[str, int],
    reference_focal: float, depth_range: tuple[float, float],
) -> Matrix:  # fmt: skip
    """Draw one image's objects and return their slots (N,15), far objects first, so that near ones win a shared cell."""
    for region in annotation.ignore:
        weight[_cells_of(region, weight.shape)] = 0
    boxes = annotation.boxes
    points = apply(T_CAMERA_BODY, boxes.centre)
    uv, visible = camera.project(points)
    _, _, _, alpha = boxes.to_kitti_camera()
    heading_bin, heading_residual = heading_code(alpha)
    # The depth that size and focal length speak of is the one before the image plane of *this* camera.
    depth = points @ _plane_normal(camera) + camera.offset[2]
    slots = []
    for i in np.argsort(-depth):
        if boxes.label[i] not in classes:
            continue
        if not depth_range[0] <= depth[i] <= depth_range[1]:
            weight[_cells_of(annotation.box2d[i], weight.shape)] = 0
            continue
        if not visible[i] or annotation.weight[i] <= 0:
            continue
        x, y = uv[i] / STRIDE
        column, row = min(int(x), heatmap.shape[2] - 1), min(int(y), heatmap.shape[1] - 1)
        left, top, right, bottom = annotation.box2d[i] / STRIDE
        label = classes[str(boxes.label[i])]
        draw_gaussian(heatmap[label], row, column, gaussian_radius(max(bottom - top, 1), max(right - left, 1)))
        weight[row, column] = annotation.weight[i]
        slots.append(
            [
                row * heatmap.shape[2] + column, annotation.weight[i], label,
                (left + right) / 2 - column, (top + bottom) / 2 - row, right - left, bottom - top,
                x - column, y - row, depth[i] * reference_focal / network_focal(camera),
                *boxes.size[i], heading_bin[i], heading_residual[i],
            ]
        )  # fmt: skip
    return np.array(slots, np.float64).reshape(-1, _COLUMNS)


def _plane_normal(camera: CameraModel) -> Matrix:
    """Return the (3,) direction along which the camera measures depth, in its optical frame."""
    return np.asarray(camera.R[2] if camera.rectified else np.array([0.0, 0.0, 1.0]))


def _cells_of(region: Matrix, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the cells that an image region (4,) touches."""
    left, top, right, bottom = region / STRIDE
    return (
        slice(max(0, int(np.floor(top))), max(0, min(shape[0], int(np.ceil(bottom))))),
        slice(max(0, int(np.floor(left))), max(0, min(shape[1], int(np.ceil(right))))),
    )


def _split(heatmap: Tensor, weight: Tensor, slots: Tensor) -> KeypointTargets:
    """Name the columns of the slots (B,M,15)."""
    number = slots.float()
    return KeypointTargets(
        heatmap=heatmap, heatmap_weight=weight, cell=slots[..., 0].long(), weight=number[..., 1],
        label=slots[..., 2].long(), offset2d=number[..., 3:5], size2d=number[..., 5:7], offset3d=number[..., 7:9],
        depth=number[..., 9], size3d=number[..., 10:13], heading_bin=slots[..., 13].long(),
        heading_residual=number[..., 14],
    )  # fmt: skip
