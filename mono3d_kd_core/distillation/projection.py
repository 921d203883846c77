"""Boxes in space, projected so that gradients pass: what weak labels in the image are compared with."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from mono3d_kd_core.geometry.boxes import CORNER_SIGNS
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.keypoint_targets import STRIDE, network_focal

NEAR = 0.5
"""Metres. Corners nearer to the image plane are projected as if they were so far."""
_SIGNS = torch.tensor(CORNER_SIGNS[:, [0, 2, 1]], dtype=torch.float32)
"""Signs of length, height, width at the eight corners: the axes of a box in the optical frame, unturned."""


@dataclass(frozen=True)
class Views:
    """How the cameras see K objects, each linearised around its own cell (exact for a pinhole).

    origin (K,2) ideal coordinates x/z, y/z of the cell; slope (K,2,2) their change by one pixel; rotation (K,3,3) and
    offset (K,3) take the optical frame to that of the image plane; focal (K,2) and principal (K,2) in pixels; stretch (K,)
    brings depth from the reference focal length to this camera's.
    """

    origin: Tensor
    slope: Tensor
    rotation: Tensor
    offset: Tensor
    focal: Tensor
    principal: Tensor
    stretch: Tensor

    def to(self, device: torch.device) -> Views:
        """Return the same on another device."""
        return Views(*(getattr(self, part.name).to(device) for part in fields(self)))


def views_of(camera: CameraModel, cell: Matrix, reference_focal: float) -> Views:
    """Return how a camera sees objects whose cells (K,2) are column, row at stride 4."""
    pixel = np.asarray(cell, np.float64).reshape(-1, 2) * STRIDE
    rotation = camera.R if camera.rectified else np.eye(3)
    at, right, down = ((camera.rays(pixel + step) @ rotation.T)[:, :2] for step in ([0, 0], [1, 0], [0, 1]))
    M = camera.intrinsics
    columns = [
        at, np.stack([right - at, down - at], -1), rotation, camera.offset, M[[0, 1], [0, 1]], M[:2, 2],
        np.array(network_focal(camera) / reference_focal),
    ]  # fmt: skip
    count = len(pixel)
    whole = columns[:2] + [np.broadcast_to(column, (count, *column.shape)) for column in columns[2:]]
    return Views(*(torch.from_numpy(np.array(column, np.float32)) for column in whole))


def joined(views: list[Views]) -> Views:
    """Join the views of several pictures."""
    return Views(*(torch.cat([getattr(each, part.name) for each in views]) for part in fields(Views)))


def ideal_boxes(camera: CameraModel, box: Matrix) -> Matrix:
    """Return boxes (K,4) as an ideal lens of the same focal length would show them; a pinhole's stay as they are."""
    left, top, right, bottom = np.asarray(box, np.float64).reshape(-1, 4).T
    x, y = (left + right) / 2, (top + bottom) / 2
    middles = [np.column_stack(pair) for pair in ((left, y), (x, top), (right, y), (x, bottom))]
    M = camera.intrinsics
    straight = []
    for axis, middle in zip((0, 1, 0, 1), middles):
        xy = camera.undistort((middle - M[:2, 2]) @ np.linalg.inv(M[:2, :2]).T)
        straight.append(xy[:, axis] * M[axis, axis] + M[axis, 2])
    return np.column_stack(straight)


def placed(views: Views, depth: Tensor, offset3d: Tensor) -> Tensor:
    """Return the boxes' centres (K,3) in the optical frame, of depths (K,) at the reference focal length and offsets
    (K,2) in cells: what `BoxDecoder` does."""
    xy = views.origin + (views.slope @ (offset3d * STRIDE)[..., None])[..., 0]
    seen = torch.cat([xy, torch.ones_like(xy[:, :1])], 1) * (depth * views.stretch)[:, None]
    return ((seen - views.offset)[:, None] @ views.rotation)[:, 0]


def project(views: Views, centre: Tensor, size: Tensor, alpha: Tensor) -> Tensor:
    """Return the 2D boxes (K,A,4) in ideal pixels that hold the eight projected corners, for A headings each.

    centre (K,3) optical frame; size (K,3) length, width, height; alpha (K,A) observation angles. Not clipped to the image.
    """
    turn = alpha + torch.atan2(centre[:, 0], centre[:, 2])[:, None]
    half = size[:, None, [0, 2, 1]] / 2 * _SIGNS.to(size.device)
    c, s = turn.cos()[..., None], turn.sin()[..., None]
    along, down, across = half[:, None].unbind(-1)
    corner = torch.stack([c * along + s * across, down.expand(c.shape[0], c.shape[1], 8), -s * along + c * across], -1)
    seen = (corner + centre[:, None, None]) @ views.rotation.mT[:, None] + views.offset[:, None, None]
    xy = seen[..., :2] / seen[..., 2:].clamp_min(NEAR)
    uv = xy * views.focal[:, None, None] + views.principal[:, None, None]
    return torch.cat([uv.amin(-2), uv.amax(-2)], -1)
