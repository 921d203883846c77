"""ADD on the bird's-eye student: the teacher's image features are lifted by the true depth instead of a predicted one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from mono3d_kd_core.distillation import add_losses, cmkd_losses
from mono3d_kd_core.distillation.add import AddWeights
from mono3d_kd_core.distillation.add_modules import SelfAttention3D, TargetAttention
from mono3d_kd_core.distillation.base import Taught
from mono3d_kd_core.distillation.depth_input import depth_input
from mono3d_kd_core.distillation.privileged_distiller import PrivilegedDistiller, Scene
from mono3d_kd_core.distillation.regions import Objects, inside_boxes, roi_align
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, Matrix, inverse
from mono3d_kd_core.heads.anchor import CODE_SIZE, ROTATIONS, AnchorResponses
from mono3d_kd_core.heads.anchor_loss import box_residual, quality_focal
from mono3d_kd_core.heads.center import CenterResponses
from mono3d_kd_core.students.base import StudentOutput
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.image import ImageFeatures
from mono3d_kd_core.students.bev.student import BevOutput, BevStudent

TOKENS = 2048
"""Attention works on a map pooled 4 times, and again by 2 until it has no more cells than this."""
UNLIKELY = 1e-9
"""Probability of the depths that the true one is not; a softmax has no zeros."""


class AddBevWeights(AddWeights):
    """Those of ADD, and of the depth that such students are taught beside boxes (Reading et al., "CaDDN")."""

    depth_labels: float = Field(default=3.0, ge=0)
    """Weight of the student's own depth against the depth that the teacher is shown."""


class DepthAidedBev(BevStudent):
    """ADD's teacher: the student, whose predicted depth gives way to the bin of the true one.

    It takes pictures (B,4,H,W): RGB in [0, 255], then depth in metres, 0 where unknown; unknown is out of range.
    """

    architecture = "bev_with_depth"

    def forward(self, images: Tensor, cameras: Sequence[CameraModel], poses: Sequence[Matrix] = ()) -> BevOutput:
        """Run the network on pictures with depth; poses as the student's."""
        poses = tuple(poses) or (self.trained_pose,) * len(cameras)
        seen = self.image_network((images[:, :3] - self.mean) / self.std)
        given = self.given_depth(images[:, 3], seen.depth_logits.shape[-2:])
        bev = self.adaptation(self._bird_s_eye(ImageFeatures(seen.backbone, seen.features, given), cameras, poses))
        return BevOutput(seen.backbone, bev, given, self.dense_head(self.backbone_2d(bev)), poses)

    def given_depth(self, depth: Tensor, size: Sequence[int]) -> Tensor:
        """Return the logits (B,D+1,h,w) that stand for the depth (B,H,W): all probability in its bin."""
        known = torch.from_numpy(depth_bins(self.config, depth, size)).to(depth.device)
        label = torch.where(known < 0, self.config.depth_bins, known)
        sure = functional.one_hot(label, self.config.depth_bins + 1).permute(0, 3, 1, 2).float()
        return sure.clamp(min=UNLIKELY).log()


def depth_bins(config: BevConfig, depth: Tensor, size: Sequence[int]) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """Return the bin (B,h,w) of the mean known depth (B,H,W) in each cell: the last where out of range, -1 where unknown."""
    rows, columns = size
    pooled = cmkd_losses.pooled_depth(depth, rows, columns).cpu().numpy()
    return np.where(pooled > 0, config.bins.label(pooled), -1)


def pooling(config: BevConfig) -> int:
    """Return how many times attention's map is coarser than the map."""
    columns, rows, _ = config.grid.shape
    pool = 4
    while (columns // pool) * (rows // pool) > TOKENS:
        pool *= 2
    return pool


class BevPosition(nn.Module):
    """The 3D-aware encoding of a map: each cell's points at the voxels' heights, as shares of the volume, through a small
    network (what the points of a ray are to a picture's cell)."""

    points: Tensor

    def __init__(self, config: BevConfig) -> None:
        super().__init__()
        columns, rows, heights = config.grid.shape
        pool = pooling(config)
        x, y, z = ((torch.arange(count) + 0.5) / count for count in (columns // pool, rows // pool, heights))
        grid = torch.stack(torch.meshgrid(z, y, x, indexing="ij")).flatten(0, 1)[None]
        self.register_buffer("points", grid, persistent=False)
        width = config.bev_channels
        self.encode = nn.Sequential(
            nn.Conv2d(3 * heights, 2 * width, 1), nn.ReLU(inplace=True), nn.Conv2d(2 * width, width, 1)
        )

    def forward(self, batch: int) -> Tensor:
        """Return (B,C,rows/pool,columns/pool)."""
        return torch.as_tensor(self.encode(self.points)).expand(batch, -1, -1, -1)


class AddBev(PrivilegedDistiller[BevStudent, BevOutput]):
    """The student's own losses, and what the teacher adds, all on the bird's-eye map. Encoding and attention stay here."""

    def __init__(self, student: BevStudent, teacher: DepthAidedBev, weights: AddBevWeights) -> None:
        super().__init__(student, teacher, weights.depth)
        if student.config.head != "anchor":
            raise ModelError("ADD on a bird's-eye student compares what anchors say: its head must be `anchor`")
        self.weights = weights
        self.pool = pooling(student.config)
        if weights.attention:
            width, classes = student.config.bev_channels, len(student.classes)
            self.position = BevPosition(student.config) if weights.position else None
            self.self_attention = SelfAttention3D(width, pool=self.pool)
            values = len(ROTATIONS) * (CODE_SIZE + 2 + classes) - classes
            self.target_attention = TargetAttention(width, classes, values=values, pool=self.pool)

    def poses(self, output: BevOutput) -> Sequence[Matrix]:
        """Return the poses by which the student lifted."""
        return output.poses

    def losses(self, output: StudentOutput, taught: Sequence[Taught]) -> dict[str, Tensor]:
        """Add what the student learns of depth itself to the terms of all such methods."""
        assert isinstance(output, BevOutput)
        terms = super().losses(output, taught)
        maps = [depth_input(one, self.depth) for one in taught]
        chosen = [i for i, depth in enumerate(maps) if depth is not None]
        if chosen and self.weights.depth_labels:
            logits = output.depth_logits[chosen]
            known = torch.from_numpy(np.stack([depth for depth in maps if depth is not None]))
            label = torch.from_numpy(depth_bins(self.student.config, known, logits.shape[-2:])).to(logits.device)
            share = len(chosen) / len(taught)
            terms["depth"] = self.weights.depth_labels * share * cmkd_losses.depth_loss(logits, label)
        return terms

    def transfer(self, output: BevOutput, seen: BevOutput, scene: Scene) -> dict[str, Tensor]:
        """Return the weighted terms of distillation."""
        mine, theirs = output.bev.float(), seen.bev.float()
        objects = self.objects(scene, output.poses, mine.device)
        position = self._position(mine) if self.weights.attention else None
        terms = {}
        if self.weights.features:
            adapted = mine if position is None else self.self_attention(mine, position)
            rows, columns = mine.shape[-2:]
            inside = inside_boxes(objects, mine.new_ones(len(objects)), len(mine), rows, columns, 1) > 0
            terms["features"] = self.weights.features * add_losses.feature_loss(adapted, theirs, inside)
        if self.weights.responses:
            own, wanted = (self._answers(each.responses, objects) for each in (output, seen))
            if position is not None and len(objects):
                size = mine.new_tensor([mine.shape[-1], mine.shape[-2]])
                correction = self.target_attention(mine, position, roi_align(theirs, objects, 1), objects, size)
                own = own + correction.view(own.shape)
            terms["responses"] = self.weights.responses * response_loss(own, wanted, objects.label)
        return terms

    def objects(self, scene: Scene, poses: Sequence[Matrix], device: torch.device) -> Objects:
        """Return the objects on the map: their boxes are footprints along its axes, in cells, their cells the head's."""
        c = self.student.config
        columns, rows, _ = c.grid.shape
        tables = []
        for i, (annotation, pose) in enumerate(zip(scene.annotations, poses, strict=True)):
            boxes = annotation.boxes.transformed(inverse(pose) @ T_CAMERA_BODY, "lidar")
            boxes = boxes[np.isin(boxes.label, self.student.classes)]
            corners = (boxes.corners()[..., :2] - c.low[:2]) / c.cell - 0.5
            middle = (boxes.centre[:, :2] - c.low[:2]) / c.cell
            inside = ((middle >= 0) & (middle < [columns, rows])).all(1)
            label = [self.student.classes.index(str(name)) for name in boxes.label]
            table = np.column_stack([np.full(len(boxes), i), label, middle, corners.min(1), corners.max(1)])
            tables.append(table.reshape(-1, 8)[inside])
        table = np.concatenate(tables)
        head_rows, head_columns = c.response_shape
        row, column = table[:, 3] * head_rows / rows, table[:, 2] * head_columns / columns
        cell = row.astype(np.int64) * head_columns + column.astype(np.int64)
        number = torch.from_numpy(table).to(device)
        return Objects(
            number[:, 0].long(), number[:, 4:].float(), torch.from_numpy(cell).to(device),
            torch.ones(len(table), dtype=torch.bool, device=device), number[:, 1].long(),
        )  # fmt: skip

    def _answers(self, responses: AnchorResponses | CenterResponses, objects: Objects) -> Answers:
        """Return what the two anchors of the object's class at its cell say, (K,2,7+2+classes)."""
        assert isinstance(responses, AnchorResponses)  # the constructor takes no other head
        said = torch.cat([responses.codes, responses.directions, responses.logits], -1).float()
        classes = len(self.student.classes)
        cells = said.view(len(said), -1, classes, len(ROTATIONS), said.shape[-1])
        return cells[objects.image, objects.cell, objects.label]

    def _position(self, bev: Tensor) -> Tensor:
        """Return where the cells of the pooled map are (B,C,rows/pool,columns/pool); zeros without the encoding."""
        if self.position is None:
            return functional.avg_pool2d(torch.zeros_like(bev), self.pool)
        return torch.as_tensor(self.position(len(bev)))


class Parted(NamedTuple):
    """The parts of K targets' answers, two anchors each."""

    code: Tensor
    direction: Tensor
    logit: Tensor


Answers = Tensor


def parted(answers: Answers) -> Parted:
    """Name the parts of (K,2,7+2+classes)."""
    return Parted(answers[..., :CODE_SIZE], answers[..., CODE_SIZE : CODE_SIZE + 2], answers[..., CODE_SIZE + 2 :])


def response_loss(student: Answers, teacher: Answers, label: Tensor) -> Tensor:
    """Compare what the anchors (K,2) of K targets of classes `label` say, as CMKD compares dense answers.

    Smooth L1 of the codes and Kullback-Leibler divergence of the directions, both means over the anchors weighted by the
    teacher's score for the target's class, since an anchor that turned away says nothing of its box; and quality focal loss
    of the scores, summed over anchors and classes, a mean over the targets.
    """
    if len(student) == 0:
        return student.sum()
    mine, theirs = parted(student), parted(teacher)
    own_class = label[:, None, None].expand(-1, theirs.logit.shape[1], 1)
    weight = theirs.logit.gather(-1, own_class)[..., 0].sigmoid()
    weight = weight / weight.sum().clamp(min=1e-6)
    log_mine, log_theirs = (part.log_softmax(-1) for part in (mine.direction, theirs.direction))
    turns = functional.kl_div(log_mine, log_theirs, reduction="none", log_target=True).sum(-1)
    scores = quality_focal(mine.logit, theirs.logit.sigmoid()).sum((1, 2)).mean()
    return (weight * (box_residual(mine.code, theirs.code) + turns)).sum() + scores
