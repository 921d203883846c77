"""Recipes of students that learn from 2D boxes: SKD-WM3D."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from mono3d_kd_core.distillation.skd_wm3d import SkdWeights
from mono3d_kd_core.training.recipe import KeypointLearning, Section


class DepthPriorConfig(Section):
    """Where the depth maps come from that the self-teacher is shown."""

    source: Literal["lidar", "maps"] = "lidar"
    """lidar: the sweeps, made dense. maps: pictures of depth, by whatever made them."""
    folder: Path | None = None
    """16-bit PNG of frames <id>.png, 0 where unknown; default: depth_2/ of the source, as the simulator writes."""
    topic: str | None = None
    """Of bags: depth images (REP-118: 32FC1, 16UC1, or compressed) with the pictures' stamps, as a depth network's node
    publishes. They are written to depth/ beside the run; pictures without one are passed over."""
    per_metre: float = Field(default=256.0, gt=0)
    """What one metre is in them; KITTI's and the simulator's 256, ROS's 1000."""


class WeakSourceConfig(Section):
    """Frames to learn from: a bag, a KITTI raw drive, or a folder in KITTI's layout."""

    path: Path
    rig: Path | None = None
    """Rig file of a bag; guessed without."""
    boxes: Path | None = None
    """KITTI label files <id>.txt, of which class, 2D box, truncation and occlusion are read; default: the
    drive file's, or label_2/."""
    depth: Path | None = None
    """Instead of depth.folder."""


class SkdRecipe(KeypointLearning):
    """SKD-WM3D. --data replaces `sources`; `boxes` is for sources that name none."""

    architecture: Literal["skd_wm3d"]
    sources: tuple[WeakSourceConfig, ...] = ()
    boxes: Path | None = None
    depth: DepthPriorConfig = DepthPriorConfig()
    teach: SkdWeights = SkdWeights()
