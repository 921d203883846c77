"""Who made a store's targets, of what, and how: what may not change between its first frame and its last."""

from __future__ import annotations

import hashlib
import json
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from mono3d_kd_core.errors import ModelError
from mono3d_kd_core.frames import Rig, SensorFrame
from mono3d_kd_core.teachers.base import Teacher, Want


class TargetSettings(BaseModel):
    """What of a teacher's answer is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_score: float | None = None
    """Boxes below are left out; the scale is the teacher's own."""
    responses: bool = True
    """Keep the dense responses as soft targets, where the teacher has them."""
    bev: bool = False
    """Keep the bird's-eye features, where the teacher has them; they are large."""
    depth: bool = False
    """Keep the depth map of the LiDAR points as depth_2/."""

    @property
    def want(self) -> Want:
        """What to ask the teacher for."""
        parts = {Want.RESPONSES: self.responses, Want.BEV_FEATURES: self.bev, Want.DEPTH: self.depth}
        want = Want.BOXES
        for part, kept in parts.items():
            want |= part if kept else Want.BOXES
        return want


class Provenance(BaseModel):
    """What made a store; `provenance.yaml` has the same keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    architecture: str
    teacher: str
    """The teacher's fingerprint: hash of its weights and settings."""
    classes: tuple[str, ...]
    settings: TargetSettings = TargetSettings()
    trusted_score: float = 0.0
    """Score from which on the teacher's boxes are worth learning; a recommendation, not part of the store's identity."""

    @classmethod
    def of(cls, teacher: Teacher, settings: TargetSettings) -> Provenance:
        """Describe what `teacher` will make. Raises ModelError for weights of which nobody knows where they are from."""
        if not teacher.fingerprint:
            raise ModelError(
                f"this {teacher.architecture} has no fingerprint: only a teacher from a bundle makes targets"
            )
        return cls(
            architecture=teacher.architecture, teacher=teacher.fingerprint, classes=teacher.classes, settings=settings,
            trusted_score=teacher.trusted_score,
        )  # fmt: skip

    @property
    def hash(self) -> str:
        """sha256 in hexadecimal."""
        identity = self.model_dump(mode="json", exclude={"trusted_score"})
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def difference(self, found: Provenance) -> str | None:
        """Say in words how what was `found` in a store differs from this; None when it is the same."""
        if (found.architecture, found.teacher) != (self.architecture, self.teacher):
            return (
                f"its targets are of another teacher ({found.architecture} {found.teacher[:12]}, "
                f"this is {self.architecture} {self.teacher[:12]})"
            )
        there, here = found.settings.model_dump(), self.settings.model_dump()
        changed = [f"{name} was {there[name]} and is {here[name]} now" for name in here if there[name] != here[name]]
        if changed:
            return f"its targets were made with other settings: {', '.join(changed)}"
        return None if found.hash == self.hash else "its targets are of other classes"


def rig_hash(rig: Rig) -> str:
    """Return the identity of a calibration, 64 hexadecimal digits: all numbers, none of the names."""
    camera = rig.camera
    numbers = (camera.K, camera.D, camera.R, camera.P, rig.T_camera_lidar)
    digest = hashlib.sha256(f"{camera.width} {camera.height} {camera.distortion} {camera.rectified}".encode())
    for array in numbers:
        digest.update((np.asarray(array, "<f8") + 0.0).tobytes())  # -0 becomes 0
    return digest.hexdigest()


def input_hash(frame: SensorFrame) -> str:
    """Return the identity of what the sensors saw: picture, points and stamp, 64 hexadecimal digits."""
    digest = hashlib.sha256(str((frame.stamp, frame.image.shape)).encode())
    digest.update(frame.image.tobytes())
    if frame.points is not None:
        digest.update(np.asarray(frame.points, "<f4").tobytes())
    return digest.hexdigest()
