"""Rates and gaps of the sensors' streams, and how far apart in time what belongs together is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mono3d_kd_core.doctor.findings import Finding, Severity
from mono3d_kd_core.geometry.rigid import Matrix


@dataclass(frozen=True)
class StreamTiming:
    """How regularly the messages of a stream come, by the stamps of their headers; seconds.

    gaps are intervals of more than 1.75 times the usual one; backwards counts stamps not later than the one before.
    """

    name: str
    count: int
    duration: float
    rate: float
    jitter: float
    gaps: int
    longest: float
    backwards: int

    @classmethod
    def of(cls, name: str, stamps: Sequence[int]) -> StreamTiming:
        """Measure a stream from its stamps in ns, in the order of the messages."""
        since_first = [stamp - stamps[0] for stamp in stamps]
        intervals: Matrix = np.diff(np.array(since_first, np.float64)) / 1e9
        forward = intervals[intervals > 0]
        if not len(forward):
            return cls(name, len(stamps), 0.0, float("nan"), float("nan"), 0, 0.0, len(intervals))
        usual = float(np.median(forward))
        return cls(
            name, len(stamps), (max(stamps) - min(stamps)) / 1e9, 1 / usual, float(np.std(forward[forward < 1.75 * usual])),
            int((forward > 1.75 * usual).sum()), float(forward.max()), int((intervals <= 0).sum()),
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """Judge the stream."""
        found = []
        if self.backwards:
            found.append(
                Finding("warning", "streams", f"{self.name}: {self.backwards} stamps are not later than the one before")
            )
        if self.gaps:
            worst = f"the longest gap is {self.longest:.2f} s at {self.rate:.1f} Hz"
            severity: Severity = "warning" if self.gaps > 0.02 * self.count else "note"
            found.append(
                Finding(severity, "streams", f"{self.name}: messages are missing in {self.gaps} places; {worst}")
            )
        return found


@dataclass(frozen=True)
class Sync:
    """How the images of a drive met their clouds. errors (N,) is image stamp - offset - points stamp, in seconds."""

    images: int
    frames: int
    drops: Mapping[str, int]
    errors: Matrix
    tolerance: float
    offset: float

    def findings(self) -> list[Finding]:
        """Judge the pairing."""
        found = []
        lost = ", ".join(f"{count} {reason}" for reason, count in sorted(self.drops.items()))
        share = 1 - self.frames / max(1, self.images)
        text = f"{self.frames} of {self.images} images have a cloud" + (f"; lost: {lost}" if lost else "")
        found.append(Finding("warning" if share > 0.1 else "note" if share > 0 else "fine", "sync", text))
        if len(self.errors):
            middle, spread = float(np.median(self.errors)), float(np.percentile(np.abs(self.errors), 95))
            if abs(middle) > 0.02:
                found.append(
                    Finding(
                        "note", "sync",
                        f"image stamps are typically {1e3 * middle:+.0f} ms from their cloud's; if that is the LiDAR's way "
                        f"of stamping a turn, set sync.offset to {self.offset + middle:.3f} in a rig file",
                    )
                )  # fmt: skip
            elif spread > 0.5 * self.tolerance:
                found.append(
                    Finding("note", "sync", f"1 image in 20 is more than {1e3 * spread:.0f} ms from its cloud")
                )
        return found

    def histogram(self, bins: int = 9, width: int = 30) -> list[str]:
        """Return the errors as rows of text, bars to the scale of the fullest bin; empty without pairs."""
        if not len(self.errors):
            return []
        milliseconds = 1e3 * self.errors
        reach = float(np.abs(milliseconds).max())
        if reach < 1:
            return [f"all {len(milliseconds)} within {max(reach, 0.1):.1f} ms"]
        counts, borders = np.histogram(milliseconds, bins=bins, range=(-reach, reach))
        return [
            f"{left:+7.1f} to {right:+7.1f} ms {'█' * round(width * count / counts.max()):{width}} {count}"
            for left, right, count in zip(borders[:-1], borders[1:], counts)
        ]
