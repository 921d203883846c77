"""What an examination found, in words for a person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["fine", "note", "warning", "error"]
"""fine: checked and right. note: worth knowing. warning: results will suffer. error: it cannot work."""

SEVERITIES: tuple[Severity, ...] = ("fine", "note", "warning", "error")


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing (streams, sync, camera, extrinsics, alignment, time)."""

    severity: Severity
    about: str
    text: str
