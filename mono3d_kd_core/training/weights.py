"""Where a network starts from: files of public weights, and bundles of students."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from mono3d_kd_core.deploy.bundle import Bundle, load_bundle
from mono3d_kd_core.errors import DataError, ModelError
from mono3d_kd_core.resources import resource
from mono3d_kd_core.students.peaks import PeakStudent
from mono3d_kd_core.students.pretrained import fill, load_backbone_weights

NETWORK = "image_network."
IMAGE_BACKBONES = (f"{NETWORK}backbone.", "backbone.")
"""What the names of an image backbone's tensors begin with: of bird's-eye students, and of others."""


def given(path: Path) -> Path:
    """Return a path as the user gave it, or what comes with the package under that name, such as config/models/...

    Raises ModelError when there is neither.
    """
    if path.exists():
        return path
    try:
        if not path.is_absolute():
            return resource(str(path))
    except DataError:
        pass
    raise ModelError(f"{path}: no such file or bundle to start from, and nothing of that name comes with the package")


def load_student_weights(student: PeakStudent, path: Path) -> None:
    """Start from the bundle of a student of the same shape. Raises ModelError when it does not fit."""
    try:
        student.load_state_dict(load_bundle(path).tensors)
    except RuntimeError as error:
        raise ModelError(f"{path}: the bundle's student has another shape than the recipe's: {error}") from error


def load_image_backbone(backbone: nn.Module, path: Path) -> None:
    """Load an image backbone from a file of public weights, see `load_backbone_weights`, or of a student's bundle.

    Raises ModelError.
    """
    if path.is_dir():
        fill(backbone, image_backbone(load_bundle(path)), str(path))
    else:
        load_backbone_weights(backbone, path)


def image_backbone(bundle: Bundle) -> dict[str, Tensor]:
    """Return the tensors of a student's image backbone. Raises ModelError for a bundle without one."""
    for prefix in IMAGE_BACKBONES:
        found = {name.removeprefix(prefix): t for name, t in bundle.tensors.items() if name.startswith(prefix)}
        if found:
            return found
    raise ModelError(f"{bundle.path}: holds a {bundle.card.kind} {bundle.card.architecture}, which has no image backbone")
