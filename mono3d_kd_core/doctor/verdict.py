"""What the agreement of edges says about calibration and time, in words."""

from __future__ import annotations

import numpy as np

from mono3d_kd_core.doctor.alignment import REACH, Alignment, Alternative
from mono3d_kd_core.doctor.findings import Finding

CHANCE = 0.4
"""An agreement below this is found between pictures and sweeps that have nothing to do with each other."""
TURN_LIMITS = (0.5, 0.5, 1.25)
"""Degrees of yaw, pitch and roll that good calibrations stay below; the edges see roll least."""
FEWEST_SAMPLES = 4
"""Single frames may mislead: trees, fences, shadows."""


def alignment_findings(alignment: Alignment | None, interval: float, offset: float) -> list[Finding]:
    """Judge an alignment; `interval` is the time between frames and `offset` the sync offset in force, seconds."""
    if alignment is None:
        return [
            Finding("note", "alignment", "no edges of things are in view, so calibration and time cannot be compared")
        ]
    calibration, time = _calibration(alignment), _time(alignment, interval, offset)
    if time is not None and time.severity == "warning":
        return [time]  # sweeps of the wrong moment look turned as well
    if time is None or calibration.severity == "warning":
        return [calibration]  # where edges do not meet at all, they cannot tell the time
    return [calibration, time]


def _calibration(a: Alignment) -> Finding:
    score = f"edges of LiDAR and image agree with {a.agreement:.1f} (0 is chance, 2 is good; {a.samples} frames)"
    inverse, view = a.others.get("inverse"), a.others.get("other view")
    if inverse and _better(inverse, a) and inverse.agreement >= 0.9 * a.turned.agreement:
        return _warning(
            a, f"{score}, but with {inverse.agreement:.1f} when T_camera_lidar is inverted: it maps the wrong way"
        )
    if view and _better(view, a) and view.agreement >= 0.9 * a.turned.agreement:
        text = "when K and D are exchanged for P and R, or the other way round: `rectified` is wrong for this image"
        return _warning(a, f"{score}, but with {view.agreement:.1f} {text}")
    if a.turned.agreement < CHANCE:
        text = "hardly more than by chance, and no rotation up to"
        hint = "is the calibration, or the pairing in time, entirely wrong, or is there nothing to see?"
        return _warning(a, f"{score}: {text} {REACH:.0f} degrees helps: {hint}")
    off = [abs(angle) >= limit for angle, limit in zip(a.turn, TURN_LIMITS)]
    if any(off) and _better(a.turned, a):
        axes = ("yaw", "pitch", "roll")
        parts = [f"{name} {angle:+.1f}" for name, angle, wrong in zip(axes, a.turn, off) if wrong]
        text = (
            f"when the points are turned by {', '.join(parts)} degrees about the camera's axes: T_camera_lidar is off"
        )
        return _warning(a, f"{score}, but with {a.turned.agreement:.1f} {text}")
    best = float(np.abs(a.turn[:2]).max())
    text = f"{score}; turning the points gains nothing beyond {max(best, 0.1):.1f} degrees"
    return Finding("fine" if a.samples >= FEWEST_SAMPLES else "note", "alignment", text)


def _warning(a: Alignment, text: str) -> Finding:
    """Warn, or with too few frames to be sure only note."""
    if a.samples >= FEWEST_SAMPLES:
        return Finding("warning", "alignment", text)
    return Finding("note", "alignment", f"{text} (uncertain: {a.samples} frames are few)")


def _time(a: Alignment, interval: float, offset: float) -> Finding | None:
    if not a.shifts or a.samples < FEWEST_SAMPLES:
        return None
    shift, best = max(a.shifts.items(), key=lambda item: item[1].agreement)
    if _better(best, a) and best.agreement >= 0.95 * a.turned.agreement:
        which = "following" if shift > 0 else "preceding"
        # A later cloud fits, so of one moment the camera shows the earlier stamp, and sync.offset is camera less LiDAR.
        better = offset - shift * interval
        return Finding(
            "warning", "time",
            f"the clouds of the {which} frames fit the images better than their own ({best.agreement:.1f} instead of "
            f"{a.agreement:.1f}): the stamps are off by about {interval:.2f} s; try sync.offset {better:.2f} in a rig file",
        )  # fmt: skip
    if best.agreement > 0.97 * a.agreement:
        return Finding(
            "note", "time", "the scene changes too little from frame to frame to tell whether the time is right"
        )
    return Finding("fine", "time", "clouds of the frames before and after fit the images less well: the time is right")


def _better(other: Alternative, a: Alignment) -> bool:
    return other.share_better >= 0.75 and other.agreement > 1.05 * max(a.agreement, 0) + 0.02
