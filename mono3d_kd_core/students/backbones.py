"""Backbones by name."""

from __future__ import annotations

from typing import Literal

from mono3d_kd_core.students.dla import Dla34
from mono3d_kd_core.students.resnet import BasicBlock, Bottleneck, ResNet

BackboneName = Literal["resnet18", "resnet34", "resnet50", "dla34"]
Backbone = ResNet | Dla34


def build_backbone(name: BackboneName, width: float = 1.0) -> Backbone:
    """Return a backbone with random weights; it maps images (B,3,H,W) to features by stride {4, 8, 16, 32}."""
    if name == "dla34":
        return Dla34(width)
    if name == "resnet50":
        return ResNet(Bottleneck, (3, 4, 6, 3), width)
    return ResNet(BasicBlock, (2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3), width)
