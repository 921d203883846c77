"""What all LiDAR detectors here share: the volume they look at, and how a frame becomes boxes, features and responses."""

from __future__ import annotations

import hashlib
import math
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.heads.selection import Selection
from mono3d_kd_core.teachers.base import BevFeatures, Responses, TeacherOutput, Want
from mono3d_kd_core.teachers.bev_backbone import BevBackbone
from mono3d_kd_core.teachers.pillars import map_of
from mono3d_kd_core.teachers.sparse_tensor import SparseTensor
from mono3d_kd_core.teachers.voxels import VoxelGrid, Voxels, voxelise

FULL_SCALE = 1.5
"""An intensity above this cannot come from a sensor whose scale ends at 1."""
Dense = TypeVar("Dense")
"""What a head answers at every place of the map."""


class LidarConfig(BaseModel):
    """Settings of every LiDAR detector: volume, 2D backbone, choice among the answers."""

    model_config = ConfigDict(extra="forbid")

    low: tuple[float, float, float]
    """Nearest corner of the volume looked at, metres, LiDAR frame."""
    high: tuple[float, float, float]
    max_points: int = Field(gt=0)
    """Points kept of each voxel."""
    layers: tuple[int, ...]
    """2D backbone: convolutions of each level after the first; see `BevBackbone`."""
    strides: tuple[int, ...]
    filters: tuple[int, ...]
    up_strides: tuple[int, ...]
    up_filters: tuple[int, ...]
    camera_view: bool = True
    """Look only at the points that the camera sees, as training on KITTI's labels does."""
    score_threshold: float = Field(0.1, ge=0, le=1)
    nms_iou: float = Field(0.01, ge=0, le=1)
    nms_before: int = Field(4096, gt=0)
    nms_after: int = Field(500, gt=0)

    @property
    def selection(self) -> Selection:
        """Which of the answers become boxes."""
        return Selection(self.score_threshold, self.nms_iou, self.nms_before, self.nms_after)

    @property
    def grid(self) -> VoxelGrid:
        """The voxels."""
        raise NotImplementedError

    @property
    def bev_stride(self) -> int:
        """Voxels along a cell of the bird's-eye map."""
        raise NotImplementedError

    def capacity(self, training: bool) -> int:
        """Return how many voxels a cloud may fill."""
        raise NotImplementedError

    @property
    def response_shape(self) -> tuple[int, int]:
        """Rows and columns of the map on which the head answers."""
        columns, rows, _ = self.grid.shape
        return (
            rows // self.bev_stride // self.strides[0] * self.up_strides[0],
            columns // self.bev_stride // self.strides[0] * self.up_strides[0],
        )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        step = self.bev_stride * math.prod(self.strides)
        for axis, cells in zip("xy", self.grid.shape):
            if cells <= 0 or cells % step:
                raise ValueError(f"the range along {axis} holds {cells} voxels; it must be a multiple of {step}")
        return self


def usable_points(frame: SensorFrame) -> NDArray[np.float32]:
    """Return a frame's points (N,4), unknown intensities being 0. Raises DataError as `LidarTeacher.observe`."""
    if frame.points is None:
        raise DataError(f"frame {frame.id}: has no LiDAR points, so a LiDAR teacher cannot look at it")
    intensity = np.nan_to_num(frame.points[:, 3], nan=0, posinf=0, neginf=0)
    if intensity.max(initial=0) > FULL_SCALE:
        raise DataError(
            f"frame {frame.id}: the points' intensity reaches {intensity.max():g}, but this teacher was trained on "
            "intensities from 0 to 1; divide it by the sensor's full scale, such as 255"
        )
    return np.column_stack([frame.points[:, :3], intensity])


class LidarTeacher(nn.Module, Generic[Dense]):
    """Points -> voxels -> bird's-eye map -> 2D backbone -> dense head. A `Teacher`; parameter names equal OpenPCDet's.

    Points are x, y, z in metres and intensity in [0, 1], LiDAR frame, with the sensor at the height it was trained at
    (KITTI: 1.73 m above the road). A subclass makes the map (`bev`) and knows its head's answers.
    """

    architecture: str
    fingerprint = ""
    trusted_score = 0.0
    backbone_2d: BevBackbone
    dense_head: nn.Module

    def __init__(self, config: LidarConfig, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.config, self.classes = config, classes

    def voxels(self, points: NDArray[np.float32]) -> Voxels:
        """Cut a cloud (N,4) into voxels, as many as training or inference allows."""
        return voxelise(points, self.config.grid, self.config.max_points, self.config.capacity(self.training))

    def ground(self, clouds: list[Voxels]) -> Tensor | SparseTensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch, or its occupied cells: what the 2D backbone reads."""
        raise NotImplementedError

    def bev(self, clouds: list[Voxels]) -> Tensor:
        """Return the bird's-eye map (B,C,rows,columns) of a batch: what CMKD's student imitates."""
        return map_of(self.ground(clouds))

    def answer(self, ground: Tensor | SparseTensor) -> Dense:
        """Return the head's answers to a bird's-eye map."""
        answers: Dense = self.dense_head(self.backbone_2d(ground))
        return answers

    def forward(self, clouds: list[Voxels]) -> tuple[Dense, Tensor]:
        """Return the head's answers and the bird's-eye map of a batch of voxelised clouds."""
        ground = self.ground(clouds)
        return self.answer(ground), map_of(ground)

    def losses(self, answers: Dense, boxes: list[Boxes3D]) -> dict[str, Tensor]:
        """Return the weighted terms of the training loss; boxes are in "lidar", one `Boxes3D` a sample."""
        raise NotImplementedError

    def decode(self, answers: Dense) -> list[Boxes3D]:
        """Turn answers into boxes in "lidar": best class a place, one suppression for all classes."""
        raise NotImplementedError

    def responses(self, answers: Dense) -> Responses:
        """Return the dense answers of the first sample as they are stored."""
        raise NotImplementedError

    @torch.no_grad()
    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        """Look at a frame's points. Raises DataError when it has none, or intensities on another scale than [0, 1]."""
        points = usable_points(frame)
        if self.config.camera_view:
            points = points[points_in_view(points, frame.rig.camera, frame.rig.T_camera_lidar)]
        ground = self.ground([self.voxels(points)])
        answers = self.answer(ground)
        return TeacherOutput(
            self.decode(answers)[0],
            bev=self._features(map_of(ground)) if Want.BEV_FEATURES in want else None,
            responses=self.responses(answers) if Want.RESPONSES in want else None,
        )

    def _features(self, bev: Tensor) -> BevFeatures:
        low, high = self.config.low, self.config.high
        return BevFeatures(bev[0].float().cpu().numpy(), (low[0], high[0]), (low[1], high[1]))

    def cropped(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> Self:
        """Return this detector looking at another part of the ground, with the same weights in the same memory.

        The network is convolutional, so a student's smaller range needs no training. Ranges are in metres and must hold
        a whole number of cells. Raises ModelError.
        """
        (x0, x1), (y0, y1), (_, _, z0), (_, _, z1) = x_range, y_range, self.config.low, self.config.high
        settings = self.config.model_dump() | {"low": (x0, y0, z0), "high": (x1, y1, z1)}
        try:
            config = type(self.config).model_validate(settings)
        except ValueError as error:
            raise ModelError(f"the range x {x_range}, y {y_range} does not fit the network: {error}") from error
        crop = type(self)(config)  # type: ignore[call-arg]  # every subclass is built from its settings alone
        crop.load_state_dict(self.state_dict(), assign=True)
        crop.trusted_score = self.trusted_score
        crop.fingerprint = hashlib.sha256(f"{self.fingerprint} {x_range} {y_range}".encode()).hexdigest()
        return crop.train(self.training)
