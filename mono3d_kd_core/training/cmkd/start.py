"""What a bird's-eye student takes over: its shape and its first weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from mono3d_kd_core.deploy.bundle import Bundle
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.anchored import AnchorTeacher
from mono3d_kd_core.teachers.centerpoint import CenterTeacher
from mono3d_kd_core.training.weights import image_backbone

SHARED = {"layers", "strides", "filters", "up_strides", "up_filters"}
"""Settings that a student takes over from its teacher as they are, and those of either head."""
SHARED_HEAD = {"anchor": {"anchors"}, "center": {"names", "head_width", "bias_before_norm"}}
BevTeacher = AnchorTeacher | CenterTeacher
STARTS = ("backbone_2d.", "dense_head.")
"""What of a teacher's weights a student starts with."""


def inherited(teacher: BevTeacher) -> dict[str, Any]:
    """Return the settings of a student's map, 2D backbone and head that make it the teacher's."""
    config = teacher.config
    first = teacher.backbone_2d.get_submodule("blocks.0.1")
    head = "center" if isinstance(teacher, CenterTeacher) else "anchor"
    settings = config.model_dump(include=SHARED | SHARED_HEAD[head])
    return settings | {
        "head": head, "low": config.low, "high": config.high, "cell": config.grid.size[0] * config.bev_stride,
        "bev_channels": first.in_channels,
    }  # fmt: skip


def pretrained(bundle: Bundle, wanted: Mapping[str, Tensor], part: str) -> dict[str, Tensor]:
    """Return what of a student's bundle a bird's-eye student starts with: of a keypoint student, its backbone."""
    tensors = bundle.tensors
    if bundle.card.architecture == "keypoint":
        tensors = {f"image_network.backbone.{name}": tensor for name, tensor in image_backbone(bundle).items()}
    if part == "image":
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith("image_network.")}
    return fitting(tensors, wanted, str(bundle.path))


def fitting(found: dict[str, Tensor], wanted: Mapping[str, Tensor], whose: str) -> dict[str, Tensor]:
    """Return the tensors of `found`; every one must have its place and shape in the student."""
    for name, tensor in found.items():
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise ModelError(
                f"{whose}: {name} does not fit the student: give both the same backbone, layers and anchors"
            )
    return found
