"""From a bundle to a running model: one small mapping for teachers, one for students."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from torch import nn

from mono3d_kd_core.deploy.bundle import Bundle, load_bundle
from mono3d_kd_core.deploy.validation import validated
from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.teachers.base import Teacher

if TYPE_CHECKING:
    from mono3d_kd_core.students.base import Student
    from mono3d_kd_core.teachers.lidar import LidarTeacher

# Architecture name -> module and class, imported only when needed. Each class is a torch module with `config_type`, its
# pydantic settings, and is built as `Class(config)`.
TEACHERS = {
    "centerpoint": "mono3d_kd_core.teachers.centerpoint:CenterPoint",
    "centerpoint_pillar": "mono3d_kd_core.teachers.centerpoint:CenterPillars",
    "point_gnn": "mono3d_kd_core.teachers.point_gnn:PointGNN",
    "pointpillars": "mono3d_kd_core.teachers.pointpillars:PointPillars",
    "second": "mono3d_kd_core.teachers.second:Second",
}
STUDENTS = {
    "bev": "mono3d_kd_core.students.bev.student:BevStudent",
    "keypoint": "mono3d_kd_core.students.keypoint:KeypointStudent",
    "query": "mono3d_kd_core.students.query.student:QueryStudent",
}


def load_teacher(path: str | Path, device: str = "cpu") -> Teacher:
    """Load the teacher in the bundle at `path`, in evaluation mode. Raises ModelError in words."""
    bundle = load_bundle(path)
    teacher = cast("Teacher", _build(bundle, "teacher", TEACHERS, device))
    teacher.fingerprint, teacher.trusted_score = bundle.hash, bundle.card.score_threshold
    return teacher


def new_teacher(architecture: str, config: Any, where: str) -> LidarTeacher[Any]:
    """Build the untrained LiDAR detector of these settings, as read from `where`. Raises ModelError in words."""
    kind = _architecture(TEACHERS[architecture])
    teacher: LidarTeacher[Any] = kind(validated(kind.config_type, config, where))
    return teacher


def load_student(path: str | Path, device: str = "cpu") -> Student:
    """Load the student in the bundle at `path`, in evaluation mode. Raises ModelError in words."""
    return cast("Student", _build(load_bundle(path), "student", STUDENTS, device))


def build_student(bundle: Bundle, device: str = "cpu") -> Student:
    """Build the student of a bundle that has been read already."""
    return cast("Student", _build(bundle, "student", STUDENTS, device))


def _build(bundle: Bundle, kind: Literal["teacher", "student"], known: Mapping[str, str], device: str) -> nn.Module:
    card, where = bundle.card, str(bundle.path)
    if card.kind != kind:
        raise ModelError(f"{where}: holds a {card.kind}, a {kind} is needed here")
    if card.architecture not in known:
        near = difflib.get_close_matches(card.architecture, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        raise ModelError(f"{where}: unknown {kind} architecture {card.architecture}; {hint}")
    architecture = _architecture(known[card.architecture])
    network: nn.Module = architecture(validated(architecture.config_type, card.config, f"{where}: config"))
    _fill(network, bundle)
    return network.to(device).eval()


def _architecture(place: str) -> Any:
    module_name, class_name = place.split(":")
    return getattr(importlib.import_module(module_name), class_name)


def _fill(network: nn.Module, bundle: Bundle) -> None:
    """Copy the bundle's tensors into the network; every one must have its place and shape."""
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in bundle.tensors.items()}
    if expected == found:
        network.load_state_dict(bundle.tensors)
        return
    problems = [f"{name} is missing" for name in expected.keys() - found.keys()]
    problems += [f"{name} has no place" for name in found.keys() - expected.keys()]
    shared = expected.keys() & found.keys()
    problems += [f"{n} is {found[n]}, expected {expected[n]}" for n in shared if found[n] != expected[n]]
    shown = ", ".join(sorted(problems)[:3]) + (f" and {len(problems) - 3} more" if len(problems) > 3 else "")
    raise ModelError(f"{bundle.path}: the weights do not fit the architecture {bundle.card.architecture}: {shown}")
