"""The query student: learned queries, guided by a depth map, each of which names at most one object (MonoDETR family).

After Zhang et al., "MonoDETR: Depth-guided Transformer for Monocular 3D Object Detection", ICCV 2023, with the changes of
the keypoint student: depth is learned at a reference focal length, and the score stays a probability.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.students.backbones import build_backbone
from mono3d_kd_core.students.base import Annotation, StudentOutput
from mono3d_kd_core.students.keypoint_targets import STRIDE
from mono3d_kd_core.students.peaks import IMAGENET_MEAN, IMAGENET_STD, PeakStudent, PeakTensors
from mono3d_kd_core.students.query.config import QueryConfig
from mono3d_kd_core.students.query.deformable import DeformableAttention
from mono3d_kd_core.students.query.depth_predictor import DepthPredictor, SeenDepth
from mono3d_kd_core.students.query.heads import Answers, Heads
from mono3d_kd_core.students.query.layers import group_norm, sine_position, tokens
from mono3d_kd_core.students.query.losses import query_losses
from mono3d_kd_core.students.query.targets import QueryTargets, encode
from mono3d_kd_core.students.query.transformer import DecoderLayer, VisualEncoder


@dataclass(frozen=True)
class QueryOutput(StudentOutput):
    """A batch as the query student sees it.

    depth is what its depth branch says; layers are the answers of the decoder's layers, first to last. In training all
    groups of queries answer, one after the other along Q, else the first alone.
    """

    depth: SeenDepth
    layers: tuple[Answers, ...]

    def of(self, images: Sequence[int]) -> QueryOutput:
        """Return what is said of some images of the batch."""
        index = list(images)
        features = {stride: level[index] for stride, level in self.features.items()}
        depth = SeenDepth(*(part[index] for part in vars(self.depth).values()))
        return QueryOutput(features, depth, tuple(Answers(*(part[index] for part in one)) for one in self.layers))


class QueryStudent(PeakStudent):
    """Backbone, depth branch, visual encoder, decoder and heads; see `QueryConfig`."""

    config_type = QueryConfig
    architecture = "query"
    config: QueryConfig
    mean: Tensor
    std: Tensor
    depth_predictor: DepthPredictor
    encoder: VisualEncoder

    def __init__(self, config: QueryConfig) -> None:
        super().__init__()
        c = self.config = config
        self.classes = config.classes
        self.input_size = (config.input_height, config.input_width)
        self.backbone = build_backbone(config.backbone, config.width)
        self.project = _projections(self.backbone.channels, c.channels)
        self.depth_predictor = DepthPredictor(c.channels, c.heads, c.feed_forward, c.dropout, c.bins)
        sizes = (c.channels, c.heads, c.points, c.feed_forward, c.dropout)
        self.encoder = VisualEncoder(c.encoder_layers, *sizes)
        self.decoder_layers = nn.ModuleList(DecoderLayer(*sizes) for _ in range(c.decoder_layers))
        self.query = nn.Embedding(c.queries * c.groups, c.channels)
        self.query_place = nn.Embedding(c.queries * c.groups, c.channels)
        self.reference = nn.Linear(c.channels, 2)
        _initialise(self)
        mean_size = torch.tensor([c.sizes[name] for name in c.classes]).mean(0)
        self.heads = nn.ModuleList(Heads(c.channels, len(c.classes), mean_size) for _ in range(c.decoder_layers))
        with torch.no_grad():
            # A first box is an eighth of the picture wide and high, on each side of its centre.
            self.heads.get_parameter("0.box.4.bias")[2:] = -2
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor, cameras: Sequence[CameraModel] = (), poses: Sequence[Matrix] = ()) -> QueryOutput:
        """Run the network on (B,3,H,W) images; the cameras matter to `decode` only."""
        features = self.backbone((images.float() - self.mean) / self.std)
        levels = self.levels(features)
        return self.answer(features, levels, self.depth_predictor(levels, self.middle_place(levels)))

    def levels(self, features: Mapping[int, Tensor]) -> list[Tensor]:
        """Bring the backbone's strides 8, 16, 32 to one width, and add stride 64."""
        known = [features[8], features[16], features[32], features[32]]
        return [project(level) for project, level in zip(self.project, known)]

    def middle_place(self, levels: Sequence[Tensor]) -> Tensor:
        """Return the encoding of the places of stride 16, (1,C,h,w)."""
        rows, columns = levels[1].shape[-2:]
        return sine_position(rows, columns, self.config.channels, levels[1].device)

    def answer(self, features: dict[int, Tensor], levels: Sequence[Tensor], depth: SeenDepth) -> QueryOutput:
        """Let the queries ask the levels and the depth."""
        groups = self.config.groups if self.training else 1
        count = groups * self.config.queries
        batch, height = len(levels[0]), features[STRIDE].shape[2] * STRIDE
        shapes = [(level.shape[2], level.shape[3]) for level in levels]
        memory, near = self.encoder(levels), tokens(depth.embedding)
        place = self.query_place.weight[None, :count].expand(batch, -1, -1)
        hidden = self.query.weight[None, :count].expand(batch, -1, -1)
        reference = self.reference(place).sigmoid()
        layers = []
        for layer, heads in zip(self.decoder_layers, self.heads):
            assert isinstance(heads, Heads)
            hidden = layer(hidden, place, groups, reference, near, memory, shapes)
            box = heads.refined(hidden, reference)
            layers.append(heads(hidden, box, depth.metres, self.config.reference_focal, height))
            reference = box.detach()
        return QueryOutput(features, depth, tuple(layers))

    def peaks(self, output: QueryOutput) -> PeakTensors:
        """Return the best pairs of query and class of the last layer, at most as many as queries."""
        said, count = output.layers[-1], self.config.queries
        classes = said.logits.shape[-1]
        score, index = said.logits[:, :count].sigmoid().flatten(1).topk(count)
        chosen = index // classes

        def of(column: Tensor) -> Tensor:
            return column.gather(1, chosen[..., None].expand(-1, -1, column.shape[-1]))

        rows, columns = output.features[STRIDE].shape[-2:]
        cell = of(said.box)[..., :2] * said.box.new_tensor([columns, rows]) - 0.5 / STRIDE
        return PeakTensors(
            score, index % classes, cell, said.depth.gather(1, chosen), said.log_std.gather(1, chosen),
            torch.zeros_like(cell), of(said.size), of(said.heading),
        )  # fmt: skip

    def losses(
        self, output: StudentOutput, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]
    ) -> dict[str, Tensor]:
        """Return the terms of `query_losses`."""
        assert isinstance(output, QueryOutput)
        targets = self.targets(annotations, cameras).to(output.depth.logits.device)
        return query_losses(output.layers, output.depth.logits, targets, self.config.queries, self.config.bins)

    def targets(self, annotations: Sequence[Annotation], cameras: Sequence[CameraModel]) -> QueryTargets:
        """Return what the queries should say about a batch."""
        return encode(annotations, cameras, self.classes, self.config.reference_focal, self.config.depth_range)


def _projections(channels: Mapping[int, int], width: int) -> nn.ModuleList:
    """Return what brings the strides 8, 16, 32 to one width, and makes stride 64 of stride 32."""
    convolutions = [nn.Conv2d(channels[stride], width, 1) for stride in (8, 16, 32)]
    convolutions.append(nn.Conv2d(channels[32], width, 3, 2, 1))
    return nn.ModuleList(nn.Sequential(convolution, group_norm(width)) for convolution in convolutions)


def _initialise(student: QueryStudent) -> None:
    """Xavier's initialisation of all matrices but the backbone's, unit normal embeddings (Zhu et al., Carion et al.)."""
    for name, parameter in student.named_parameters():
        if name.startswith(("query", "encoder.level")) or "depth_position" in name:
            nn.init.normal_(parameter)
        elif parameter.dim() > 1 and not name.startswith("backbone."):
            nn.init.xavier_uniform_(parameter)
    for name, parameter in student.named_parameters():
        if name.startswith("project.") and name.endswith("0.bias"):
            nn.init.zeros_(parameter)
    nn.init.zeros_(student.reference.bias)
    for part in student.modules():
        if isinstance(part, DeformableAttention):
            part.reset()
