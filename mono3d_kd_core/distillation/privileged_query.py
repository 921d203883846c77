"""Teachers that are the query student with depth to look at. Both take (B,4,H,W) float, as those of the keypoint student."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mono3d_kd_core.distillation.privileged import DEPTH_MEAN, DEPTH_STD, depth_at
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.depth_predictor import STRIDE, SeenDepth
from mono3d_kd_core.students.query.student import QueryOutput, QueryStudent


class DepthQuery(QueryStudent):
    """MonoSTL's and MonoDistill's teacher: the student's own architecture on nothing but the depth map, three times."""

    architecture = "query_on_depth"

    def forward(self, images: Tensor, cameras: Sequence[CameraModel] = (), poses: Sequence[Matrix] = ()) -> QueryOutput:
        """Run the network on (B,4,H,W) pictures with depth, taken by `cameras`; the colours are left aside."""
        depth = depth_at(images, cameras, self.config.reference_focal)
        features = self.backbone(((depth - DEPTH_MEAN) / DEPTH_STD).expand(-1, 3, -1, -1))
        levels = self.levels(features)
        return self.answer(features, levels, self.depth_predictor(levels, self.middle_place(levels)))


class DepthAidedQuery(QueryStudent):
    """ADD's teacher: the student, whose foreground depth map and depth embedding come from the true depth.

    What is shown as unknown is "no object, or out of range", as in the labels of the student's own depth map.
    """

    architecture = "query_with_depth"

    def __init__(self, config: QueryConfig) -> None:
        super().__init__(config)
        self.given = nn.Conv2d(config.depth_bins + 1, config.channels, 1)

    def forward(self, images: Tensor, cameras: Sequence[CameraModel] = (), poses: Sequence[Matrix] = ()) -> QueryOutput:
        """Run the network on (B,4,H,W) pictures with depth, taken by `cameras`."""
        features = self.backbone((images[:, :3] - self.mean) / self.std)
        levels = self.levels(features)
        share = bin_shares(depth_at(images, cameras, self.config.reference_focal)[:, 0], self.config.bins)
        branch = self.depth_predictor
        joined = branch.joined(levels) + self.given(share)
        metres = (share * branch.bin_depth).sum(1)
        embedding = branch.encoded(joined, self.middle_place(levels), metres)
        return self.answer(features, levels, SeenDepth(branch.classify(joined).float(), metres, embedding))


def bin_shares(depth: Tensor, bins: DepthBins) -> Tensor:
    """Return which share of each 16x16 cell's pixels lies in each bin (B,bins+1,H/16,W/16), of depth (B,H,W) in metres.

    The last bin is that of depth 0 (unknown) and of depth out of range.
    """
    batch, height, width = depth.shape
    rows, columns = height // STRIDE, width // STRIDE
    label = torch.from_numpy(bins.label(depth.cpu().numpy())).to(depth.device)
    blocks = label.view(batch, rows, STRIDE, columns, STRIDE).permute(0, 2, 4, 1, 3).reshape(batch, -1, rows, columns)
    shares = depth.new_zeros(batch, bins.count + 1, rows, columns)
    return shares.scatter_add_(1, blocks, torch.full(blocks.shape, 1 / STRIDE**2, device=depth.device))
