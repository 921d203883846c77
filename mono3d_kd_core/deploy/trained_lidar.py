"""The sweeps that a LiDAR teacher was trained on, and in words how others differ from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from mono3d_kd_core.geometry.sweep import beam_count, ground_height, reach

Cloud = NDArray[np.float32]


class TrainedLidar(BaseModel):
    """Medians over sweeps, in the LiDAR's frame."""

    model_config = ConfigDict(extra="forbid")

    ground: float
    """Height of the road, metres: minus the sensor's height."""
    beams: int = Field(gt=0)
    reach: float = Field(gt=0)
    """Metres within which 99 of 100 points lie."""
    intensity: float = Field(ge=0)
    """The largest intensity."""

    @classmethod
    def of(cls, clouds: Sequence[Cloud]) -> TrainedLidar | None:
        """Measure clouds (N,4); None where none of them shows a ground."""
        measured = [(ground_height(c), beam_count(c), reach(c), float(np.nanmax(c[:, 3]))) for c in clouds if len(c)]
        measured = [row for row in measured if np.isfinite(row).all() and row[1] > 0]
        if not measured:
            return None
        ground, beams, far, intensity = np.median(np.array(measured), 0)
        return cls(ground=round(ground, 2), beams=round(beams), reach=round(far, 1), intensity=round(intensity, 3))

    def remarks(self, clouds: Sequence[Cloud]) -> list[str]:
        """Say in words how other clouds (N,4) differ so much that results will be worse; empty where they do not."""
        found = TrainedLidar.of(clouds)
        if found is None:
            return ["no ground is seen below the LiDAR: are the points in the LiDAR's own frame, z up?"]
        remarks = []
        if abs(found.ground - self.ground) > 0.3:
            remarks.append(
                f"the ground lies at z = {found.ground:.2f} m, the teacher was trained at z = {self.ground:.2f} m: it "
                "will place boxes at the wrong height or miss them; shift the points"
            )
        if not 0.6 < found.beams / self.beams < 1.7:
            remarks.append(
                f"the sweeps look like those of about {found.beams} beams, the teacher was trained on {self.beams}: expect "
                "fewer objects, above all far ones"
            )
        if found.reach < 0.5 * self.reach:
            remarks.append(f"the points reach {found.reach:.0f} m, the teacher was trained to {self.reach:.0f} m")
        return remarks + self._intensity_remarks(clouds, found.intensity)

    def _intensity_remarks(self, clouds: Sequence[Cloud], largest: float) -> list[str]:
        if not any(np.nan_to_num(cloud[:, 3]).any() for cloud in clouds):
            return ["the points have no intensity, or only zeros; the teacher was trained with it"] if self.intensity else []
        if largest > 1.5 * max(self.intensity, 1e-6):
            return [
                f"intensities reach {largest:g}, the teacher was trained on at most {self.intensity:g}: divide them by "
                f"{largest / self.intensity:.0f}"
            ]
        return []


KITTI_LIDAR = TrainedLidar(ground=-1.7, beams=70, reach=50.0, intensity=0.99)
"""Measured on KITTI's sweeps (HDL-64E, 1.73 m above the road); two beams often count as three there."""
