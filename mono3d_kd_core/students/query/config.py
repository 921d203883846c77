"""Settings of the query student."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from mono3d_kd_core.geometry.depth_bins import DepthBins
from mono3d_kd_core.students.backbones import BackboneName
from mono3d_kd_core.students.peaks import PeakConfig

NEAREST = 1e-3
"""Metres at which the first depth bin starts."""


class QueryConfig(PeakConfig):
    """What makes a query student; kept in the bundle's card. The defaults are those of MonoDETR as released."""

    backbone: BackboneName = "resnet50"
    channels: int = Field(default=256, gt=0, multiple_of=8)
    """Width of the transformer."""
    feed_forward: int = Field(default=256, gt=0)
    heads: int = Field(default=8, gt=0)
    points: int = Field(default=4, gt=0)
    """Places that each head of a deformable attention reads on each level."""
    encoder_layers: int = Field(default=3, gt=0)
    decoder_layers: int = Field(default=3, gt=0)
    queries: int = Field(default=50, gt=0)
    """At most so many detections an image."""
    groups: int = Field(default=11, gt=0)
    """Sets of queries in training, each matched for itself; only the first is used otherwise (Chen et al., "Group DETR")."""
    dropout: float = Field(default=0.1, ge=0, lt=1)
    depth_bins: int = Field(default=80, gt=0)
    farthest: float = Field(default=60.0, gt=1)
    """Metres at the reference focal length at which the last depth bin ends."""

    alike: ClassVar[tuple[str, ...]] = (
        *PeakConfig.alike, "channels", "feed_forward", "heads", "points", "encoder_layers", "decoder_layers", "queries",
        "groups", "depth_bins", "farthest",
    )  # fmt: skip

    @model_validator(mode="after")
    def _heads_share_the_channels(self) -> QueryConfig:
        if self.channels % self.heads:
            raise ValueError(f"channels ({self.channels}) must be a multiple of heads ({self.heads})")
        return self

    @property
    def bins(self) -> DepthBins:
        """The bins of the foreground depth map."""
        return DepthBins(self.depth_bins, NEAREST, self.farthest)
