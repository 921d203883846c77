"""A student that sees the world from above: image → depth distribution → bird's-eye map → boxes.

CaDDN (Reading et al., CVPR 2021) as CMKD distils it (Hong, Dai & Ding, ECCV 2022): the map has the geometry of a LiDAR
detector's, whose 2D backbone and head it shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mono3d_kd_core.errors import CalibrationError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse, transform
from mono3d_kd_core.heads.anchor import AnchorResponses
from mono3d_kd_core.heads.center import CenterResponses
from mono3d_kd_core.students.base import Annotation, Student, StudentOutput
from mono3d_kd_core.students.bev.answers import answers_of
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.image import Adaptation, DeepLabImage, FpnImage, ImageFeatures
from mono3d_kd_core.students.bev.lift import Lift
from mono3d_kd_core.students.layers import conv_bn_relu
from mono3d_kd_core.students.peaks import IMAGENET_MEAN, IMAGENET_STD
from mono3d_kd_core.teachers.bev_backbone import BevBackbone


@dataclass(frozen=True)
class BevOutput(StudentOutput):
    """A batch as the bird's-eye student sees it.

    bev (B,C,rows,columns) is the map after adaptation, rows along y, columns along x; depth_logits (B,D+1,h,w);
    poses (4,4) are the T_camera_bev by which each image was lifted.
    """

    bev: Tensor
    depth_logits: Tensor
    responses: AnchorResponses | CenterResponses
    poses: tuple[Matrix, ...]

    def of(self, images: Sequence[int]) -> BevOutput:
        """Return what is said of some images of the batch."""
        index = list(images)
        return BevOutput(
            {stride: level[index] for stride, level in self.features.items()}, self.bev[index], self.depth_logits[index],
            self.responses.of(index), tuple(self.poses[i] for i in index),
        )  # fmt: skip


class BevStudent(Student):
    """See `BevConfig`. Images need the camera's intrinsics and its pose over the ground; nothing of either is baked in."""

    config_type = BevConfig
    architecture = "bev"

    def __init__(self, config: BevConfig) -> None:
        super().__init__()
        c = self.config = config
        self.classes = c.classes
        self.input_size = (c.input_height, c.input_width)
        self.image_network: nn.Module = (
            DeepLabImage(c.feature_channels, c.depth_bins, c.width)
            if c.image_network == "deeplab_resnet50"
            else FpnImage(c.feature_channels, c.depth_bins, c.width, c.neck_channels, c.stride)
        )
        self.lift = Lift(c.lift, c.grid, c.bins, c.depth_threshold)
        self.collapse = conv_bn_relu(c.feature_channels * c.heights, c.bev_channels, 1)
        self.adaptation = Adaptation(c.bev_channels, c.adaptation_blocks)
        self.backbone_2d = BevBackbone(c.bev_channels, c.layers, c.strides, c.filters, c.up_strides, c.up_filters)
        self.answers = answers_of(c)
        self.dense_head = self.answers.head(self.backbone_2d.channels)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def trained_pose(self) -> Matrix:
        """T_camera_bev (4,4) of the cameras trained on."""
        return np.vstack([np.reshape(self.config.pose, (3, 4)), [0.0, 0.0, 0.0, 1.0]])

    def pose_over_ground(self, T_camera_ground: Matrix) -> Matrix:
        """Return T_camera_bev of a camera whose place over the road is known; see `Student`.

        The map lies level, as high over the road as the teacher's LiDAR was, ahead of where the camera looks. Raises
        CalibrationError for a camera that looks straight up or down.
        """
        T_ground_camera = inverse(T_camera_ground)
        ahead = T_ground_camera[:3, 2] * [1.0, 1.0, 0.0]
        length = float(np.linalg.norm(ahead))
        if length < 0.1:
            raise CalibrationError("the camera looks straight up or down: there is no road ahead of it")
        x, z = ahead / length, np.array([0.0, 0.0, 1.0])
        level = np.column_stack([x, np.cross(z, x), z])
        trained = inverse(self.trained_pose)[:3, 3] * [1.0, 1.0, 0.0]
        origin = T_ground_camera[:3, 3] * [1.0, 1.0, 0.0] - level @ trained + z * self.config.lidar_height
        return np.asarray(T_camera_ground @ transform(level, origin))

    def forward(self, images: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix] = ()) -> BevOutput:
        """Run the network; poses are T_camera_bev, by default those of training."""
        poses = tuple(poses) or (self.trained_pose,) * len(cameras)
        seen = self.image_network((images.float() - self.mean) / self.std)
        bev = self.adaptation(self._bird_s_eye(seen, cameras, poses))
        responses = self.dense_head(self.backbone_2d(bev))
        return BevOutput(seen.backbone, bev, seen.depth_logits, responses, poses)

    def _bird_s_eye(self, seen: ImageFeatures, cameras: Sequence[CameraModel], poses: Sequence[Matrix]) -> Tensor:
        """Lift and collapse: the first layer of `collapse` is done by the lift, which needs no voxels for it."""
        convolution, *rest = self.collapse
        bev = self.lift.collapsed(seen.features, seen.depth, cameras, poses, torch.as_tensor(convolution.weight))
        if convolution.bias is not None:  # of a normalisation folded into it
            bev = bev + torch.as_tensor(convolution.bias)[:, None, None]
        for layer in rest:
            bev = layer(bev)
        return bev

    @torch.no_grad()
    def decode(self, output: StudentOutput, cameras: Sequence[CameraModel]) -> list[Boxes3D]:
        """Return each image's boxes in the frame "camera", best first."""
        assert isinstance(output, BevOutput)
        found = self.answers.boxes(output.responses)  # type: ignore[arg-type]  # the head and its answers go together
        T_body_camera = inverse(T_CAMERA_BODY)
        return [boxes.transformed(T_body_camera @ pose, "camera") for boxes, pose in zip(found, output.poses)]

    def losses(
        self, output: StudentOutput, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]
    ) -> dict[str, Tensor]:
        """Return the losses of the head taught by boxes, SECOND's or CenterPoint's; the objects' weights are not used."""
        assert isinstance(output, BevOutput)
        boxes = [
            annotation.boxes.transformed(inverse(pose) @ T_CAMERA_BODY, "lidar")
            for annotation, pose in zip(annotations, output.poses, strict=True)
        ]
        return self.answers.losses(output.responses, boxes)  # type: ignore[arg-type]
