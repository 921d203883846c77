"""From a node's counts to a diagnostic status that says in words what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mono3d_kd_ros.node.statistics import Snapshot

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


HARMLESS = frozenset({"nobody_listens", "stopped", "already_stored"})
"""Reasons of drops that are no fault."""


TRANSPORT_HINT = "see docs/ros.md on large messages"


class Finding(NamedTuple):
    """One thing that is not as it should be."""

    level: bytes
    text: str


@dataclass(frozen=True)
class Limits:
    """When the flow of frames is worth a warning, in seconds and Hz.

    An input that has been silent for `silence_warn` warns and for `silence_error` is an error; expected_hz 0 means that
    any rate will do.
    """

    silence_warn: float = 0.5
    silence_error: float = 1.5
    late_error: float = 1.0
    expected_hz: float = 0.0


@dataclass(frozen=True)
class Condition:
    """All that one status tells: findings and values of the node itself, beside those of its frames."""

    findings: list[Finding] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)


def judge(frames: Snapshot, limits: Limits, topic: str, why: Mapping[str, str]) -> list[Finding]:
    """Say what is wrong with the flow of frames of the image topic; `why` explains the reasons of drops further."""
    found: list[Finding] = []
    if frames.age_s is None:
        return [Finding(WARN, f"no image on {topic} yet")]
    if frames.age_s > limits.silence_warn:
        level = ERROR if frames.age_s > limits.silence_error else WARN
        found.append(Finding(level, f"no image on {topic} for {frames.age_s:.1f} s"))
    elif limits.expected_hz and frames.input_hz < 0.9 * limits.expected_hz:
        rates = f"{frames.input_hz:.1f} of {limits.expected_hz:.1f} images a second"
        found.append(Finding(WARN, f"only {rates} arrive on {topic}; {TRANSPORT_HINT}"))
    if frames.lost_lately:
        found.append(Finding(WARN, f"{frames.lost_lately} images on {topic} were lost on the way; {TRANSPORT_HINT}"))
    if frames.late_s > 0:
        level = ERROR if frames.late_s > limits.late_error else WARN
        found.append(Finding(level, f"frames are late: {frames.pipeline.p50:.0f} ms from arrival to publication"))
    faults = {reason: count for reason, count in frames.dropped_lately.items() if reason not in HARMLESS}
    if faults:
        reasons = ", ".join(f"{count} {reason}{_because(why.get(reason))}" for reason, count in sorted(faults.items()))
        found.append(Finding(WARN if frames.published_lately else ERROR, f"frames dropped lately: {reasons}"))
    return found


def _because(text: str | None) -> str:
    return f" ({text})" if text else ""


def frame_values(frames: Snapshot) -> dict[str, str]:
    """Return the numbers of a snapshot by name."""
    values = {
        "frames received": str(frames.received),
        "frames published": str(frames.published),
        "images lost on the way": str(frames.lost),
        "frames dropped": str(sum(frames.dropped.values())),
        "input rate [Hz]": f"{frames.input_hz:.2f}",
        "output rate [Hz]": f"{frames.output_hz:.2f}",
        "age of the last image [s]": "none" if frames.age_s is None else f"{frames.age_s:.2f}",
        "processing p50 [ms]": f"{frames.processing.p50:.1f}",
        "processing p95 [ms]": f"{frames.processing.p95:.1f}",
        "pipeline p50 [ms]": f"{frames.pipeline.p50:.1f}",
        "pipeline p95 [ms]": f"{frames.pipeline.p95:.1f}",
    }
    values.update({f"dropped: {reason}": str(count) for reason, count in sorted(frames.dropped.items())})
    return values


def status(name: str, hardware: str, findings: Iterable[Finding], values: Mapping[str, str]) -> DiagnosticStatus:
    """Return a status whose level is the worst of the findings and whose message tells them all, worst first."""
    ordered = sorted(findings, key=lambda finding: finding.level, reverse=True)
    return DiagnosticStatus(
        level=ordered[0].level if ordered else OK,
        name=name,
        message="; ".join(finding.text for finding in ordered) or "running",
        hardware_id=hardware,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
