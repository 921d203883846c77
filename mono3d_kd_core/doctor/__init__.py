"""Examines a drive before anyone works with it: streams, synchronisation, calibration, and whether they fit each other."""

from mono3d_kd_core.doctor.examination import Report, examine

__all__ = ["Report", "examine"]
