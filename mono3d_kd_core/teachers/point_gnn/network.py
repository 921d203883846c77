"""The Point-GNN network: point set pooling, graph steps with auto-registration, and the output heads."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from mono3d_kd_core.teachers.point_gnn.graph import Graph
from mono3d_kd_core.teachers.point_gnn.neighbours import neighbour_maximum
from mono3d_kd_core.teachers.workers import rowwise

WIDTH = 300
NUM_CLASSES = 4
CODE_SIZE = 7


@dataclass(frozen=True)
class Scene:
    """What the network looks at: P points, K keypoints among them, and two graphs.

    points (P,3) and intensity (P,) in [0, 1]; keypoints (K,3); metres, x right, y down, z forward. near connects points to
    keypoints (1 m), far keypoints to keypoints (4 m, each to itself too).
    """

    points: Tensor
    intensity: Tensor
    keypoints: Tensor
    near: Graph
    far: Graph


class PointGNNNetwork(nn.Module):
    """Shi & Rajkumar, "Point-GNN", CVPR 2020: eq. 2-6, with `num_steps` graph steps (0 in T0, 1 in T1).

    There is no normalisation anywhere, and no dropout.
    """

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.pooling = PointSetPooling()
        self.steps = nn.ModuleList(GraphStep() for _ in range(num_steps))
        self.classifier = _mlp(WIDTH, 64, NUM_CLASSES)
        self.localisers = nn.ModuleList(_mlp(WIDTH, 64, 64, CODE_SIZE) for _ in range(NUM_CLASSES))

    def forward(self, scene: Scene) -> tuple[Tensor, Tensor]:
        """Return class logits (K,4) and box codes of every class (K,4,7)."""
        features = self.pooling(scene)
        for step in self.steps:
            features = step(features, scene)
        codes = [rowwise(localiser, features) for localiser in self.localisers]
        return rowwise(self.classifier, features), torch.stack(codes, 1)


class PointSetPooling(nn.Module):
    """Initial state of a keypoint: a PointNet over the points around it (section 3.1)."""

    def __init__(self) -> None:
        super().__init__()
        self.point_mlp = _layers(4, 32, 64, 128, WIDTH)
        self.update = _mlp(WIDTH, WIDTH, WIDTH)

    def forward(self, scene: Scene) -> Tensor:
        """Return features (K,300) of the keypoints."""
        points = torch.cat([scene.intensity[:, None], scene.points], 1)
        # Only positions are relative to the keypoint.
        keypoints = torch.cat([torch.zeros_like(scene.keypoints[:, :1]), scene.keypoints], 1)
        pooled = neighbour_maximum(points, keypoints, scene.near, self.point_mlp, rectify_input=False)
        return rowwise(self.update, pooled).relu_()


class GraphStep(nn.Module):
    """One step of the graph network; each keypoint first moves its own reference point (section 3.2, eq. 5 and 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = _mlp(WIDTH, 64, 3)
        self.edge_mlp = _layers(WIDTH + 3, WIDTH, WIDTH)
        self.update = _mlp(WIDTH, WIDTH, WIDTH)

    def forward(self, features: Tensor, scene: Scene) -> Tensor:
        """Return the updated features (K,300)."""
        # Centring keeps the numbers small that are about to be subtracted from each other.
        centred = scene.keypoints - scene.keypoints.mean(0)
        ends = rowwise(self._edge_ends, torch.cat([features, centred], 1))
        source, destination = ends[:, :WIDTH], ends[:, WIDTH:]
        message = neighbour_maximum(source, destination, scene.far, self.edge_mlp[1:], rectify_input=True)
        return rowwise(self.update, message) + features

    def _edge_ends(self, states: Tensor) -> Tensor:
        """Split the first edge layer into what the source and what the destination of an edge contribute, (K,2x300).

        The layer is linear in [h_j, x_j - (x_k + o_k)], so both need computing once a keypoint instead of once an edge; an
        edge is then the difference of the two.
        """
        features, positions = states[:, :WIDTH], states[:, WIDTH:]
        first = cast("nn.Linear", self.edge_mlp[0])
        destination = (positions + self.offset(features)) @ first.weight[:, WIDTH:].T
        return torch.cat([first(states), destination], 1)


def _layers(*widths: int) -> nn.ModuleList:
    return nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))


def _mlp(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them, none after the last."""
    modules: list[nn.Module] = []
    for layer in _layers(*widths):
        modules += [layer, nn.ReLU()]
    return nn.Sequential(*modules[:-1])
