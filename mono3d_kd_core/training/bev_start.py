"""What a bird's-eye student takes over from other networks: its shape and its first weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from mono3d_kd_core.deploy.bundle import load_bundle
from mono3d_kd_core.deploy.loading import load_teacher
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.students.bev.config import BevConfig
from mono3d_kd_core.students.bev.student import BevStudent
from mono3d_kd_core.teachers.anchored import AnchorTeacher
from mono3d_kd_core.teachers.centerpoint import CenterTeacher
from mono3d_kd_core.training.weights import NETWORK, load_image_backbone

SHARED = {"layers", "strides", "filters", "up_strides", "up_filters"}
"""Settings that a student takes over from its teacher as they are, and those of either head."""
SHARED_HEAD = {"anchor": {"anchors"}, "center": {"names", "head_width", "bias_before_norm"}}
BevTeacher = AnchorTeacher | CenterTeacher
STARTS = ("backbone_2d.", "dense_head.")
"""What of a teacher's weights a student starts with."""


def bev_teacher(path: Path) -> BevTeacher:
    """Load a LiDAR teacher that has a bird's-eye map. Raises ModelError for others."""
    teacher = load_teacher(path)
    if not isinstance(teacher, AnchorTeacher | CenterTeacher):
        raise ModelError(f"{path}: this needs a teacher with a bird's-eye map, not a {teacher.architecture}")
    return teacher


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


def completed(config: BevConfig, shape: Mapping[str, Any]) -> BevConfig:
    """Return a student's settings, those of `shape` where its recipe does not name them."""
    missing = {name: value for name, value in shape.items() if name not in config.model_fields_set}
    return BevConfig.model_validate(config.model_dump() | missing)


def shape_of(path: Path) -> dict[str, Any]:
    """Return the settings of the network in a bundle, a bird's-eye student's or a LiDAR teacher's that such a one can have.

    Raises ModelError for others.
    """
    card = load_bundle(path).card
    return card.config if card.architecture == BevStudent.architecture else inherited(bev_teacher(path))


def start_from(student: BevStudent, path: Path, part: Literal["student", "image"] = "image") -> None:
    """Give a student its first weights: of a file of public weights the image backbone, see `load_backbone_weights`.

    Of a bird's-eye student's bundle all of it, or its image network, which knows depth; of other students' their image
    backbone. Raises ModelError where it does not fit.
    """
    bundle = load_bundle(path) if path.is_dir() else None
    if bundle is None or not any(name.startswith(NETWORK) for name in bundle.tensors):
        load_image_backbone(student.image_network.get_submodule("backbone"), path)
        return
    found = {name: t for name, t in bundle.tensors.items() if part == "student" or name.startswith(NETWORK)}
    take_over(student, found, str(path))


def take_over(student: BevStudent, found: Mapping[str, Tensor], whose: str) -> None:
    """Copy tensors into a student; every one must have its place and shape. Raises ModelError."""
    wanted = student.state_dict()
    for name, tensor in found.items():
        if name not in wanted or wanted[name].shape != tensor.shape:
            raise ModelError(
                f"{whose}: {name} does not fit the student: give both the same backbone, layers and anchors"
            )
    student.load_state_dict(wanted | dict(found))
