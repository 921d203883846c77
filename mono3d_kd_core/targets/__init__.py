"""The target store: what a teacher said of the frames of a drive, in a folder that every KITTI tool can read."""

from mono3d_kd_core.targets.making import Report, make_targets
from mono3d_kd_core.targets.provenance import Provenance, TargetSettings
from mono3d_kd_core.targets.record import Targets
from mono3d_kd_core.targets.store import TargetStore

__all__ = ["Provenance", "Report", "TargetSettings", "TargetStore", "Targets", "make_targets"]
