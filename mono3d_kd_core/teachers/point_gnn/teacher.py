"""Point-GNN as a teacher: frame in, boxes out."""

from __future__ import annotations

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.box_projection import project_boxes
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth import depth_map
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.teachers.base import Responses, TeacherOutput, Want
from mono3d_kd_core.teachers.point_gnn.decoding import ORIGINAL_IMAGE, candidates, confidence, original_truncation
from mono3d_kd_core.teachers.point_gnn.graph import choose_keypoints, radius_graph
from mono3d_kd_core.teachers.point_gnn.merging import Rows, merge
from mono3d_kd_core.teachers.point_gnn.network import CODE_SIZE, NUM_CLASSES, PointGNNNetwork, Scene
from mono3d_kd_core.teachers.point_gnn.view import View, finite_points, view_of


class PointGNNConfig(BaseModel):
    """Settings of the detector; the defaults are the published car detector's at inference."""

    model_config = ConfigDict(extra="forbid")

    num_steps: int = Field(default=1, ge=0, le=10)
    """Graph steps: 1 in T1, none in T0."""
    cell_size: float = Field(default=0.4, gt=0)
    """Metres between keypoints."""
    near_radius: float = Field(default=1.0, gt=0)
    """Metres around a keypoint whose points it sees."""
    far_radius: float = Field(default=4.0, gt=0)
    """Metres within which keypoints exchange messages."""
    merge_overlap: float = Field(default=0.01, ge=0, lt=1)
    """Boxes that overlap more are one car."""
    max_truncation: float | None = Field(default=0.4, ge=0, le=1)
    """Boxes that the image cuts off more are dropped, as the original does; None keeps them, near cars among them."""
    x_bias: float = 0.0
    """Metres taken off x. The published weights place cars 0.035 m too far right."""
    max_camera_offset: float = Field(default=0.1, ge=0)
    """See `view.view_of`."""


class PointGNN(nn.Module):
    """A `Teacher` of cars. Scores are the original's, not bounded by 1; headings are known modulo 180 degrees."""

    architecture = "point_gnn"
    config_type = PointGNNConfig
    classes = ("Car",)
    fingerprint = ""
    trusted_score = 0.0

    def __init__(self, config: PointGNNConfig) -> None:
        super().__init__()
        self.config = config
        self.network = PointGNNNetwork(config.num_steps)

    @torch.inference_mode()
    def observe(self, frame: SensorFrame, want: Want = Want.BOXES) -> TeacherOutput:
        """Look at a frame's points; boxes are in "camera". Raises DataError when it has none or on another scale."""
        view = view_of(frame, self.config.max_camera_offset)
        responses = self._responses(view)
        depth = None
        if Want.DEPTH in want and frame.points is not None:
            depth = depth_map(finite_points(frame.points), frame.rig.camera, frame.rig.T_camera_lidar)
        boxes = self._boxes(view, responses, frame.rig.camera)
        in_body = Responses(view.body_points(responses.position), responses.logits, responses.codes)
        return TeacherOutput(boxes, responses=in_body if Want.RESPONSES in want else None, depth=depth)

    def _responses(self, view: View) -> Responses:
        """Run the network; positions are in the frame of the view."""
        keypoints = view.points[choose_keypoints(view.points, self.config.cell_size)]
        if len(keypoints) == 0:
            return Responses(keypoints, np.empty((0, NUM_CLASSES), "f4"), np.empty((0, NUM_CLASSES, CODE_SIZE), "f4"))
        device = next(self.parameters()).device
        scene = Scene(
            points=torch.from_numpy(view.points).to(device),
            intensity=torch.from_numpy(view.intensity).to(device),
            keypoints=torch.from_numpy(keypoints).to(device),
            near=radius_graph(view.points, keypoints, self.config.near_radius),
            far=radius_graph(keypoints, keypoints, self.config.far_radius),
        )
        logits, codes = self.network(scene)
        return Responses(keypoints, logits.cpu().numpy(), codes.cpu().numpy())

    def _boxes(self, view: View, responses: Responses, camera: CameraModel) -> Boxes3D:
        found = candidates(responses.position, responses.logits, responses.codes)
        merged = merge(found.rows, found.probability, self.config.merge_overlap)
        rows = merged.rows.astype(np.float64)
        rows[:, 0] -= self.config.x_bias
        boxes = view.boxes(rows[:, :3], rows[:, 3:6], rows[:, 6], self.classes[0], confidence(merged, found))
        if self.config.max_truncation is None:
            return boxes
        return boxes[~(_truncation(merged.rows, boxes, camera) > self.config.max_truncation)]


def _truncation(rows: Rows, boxes: Boxes3D, camera: CameraModel) -> Matrix:
    """Return the share (M,) of each box outside the picture: the original's figure for pictures of KITTI's size."""
    width, height = ORIGINAL_IMAGE
    if camera.rectified and width - 20 <= camera.width <= width and height - 10 <= camera.height <= height + 10:
        return original_truncation(rows, camera.intrinsics)
    return project_boxes(boxes, camera)[1]
