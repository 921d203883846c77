"""Named data sets: one name stands for sizes, seeds and splits that everyone can make alike."""

from __future__ import annotations

from dataclasses import dataclass

from mono3d_kd_core.simulation.output.record import Recording
from mono3d_kd_core.simulation.rig import KITTI


@dataclass(frozen=True)
class DataSet:
    """Frames to train on and frames to validate on; width and height of the pictures, rays a pixel along each side.

    Validation has another seed, and body styles, wall textures and street types that training never shows.
    """

    train: int
    val: int
    width: int
    height: int
    block: int
    jpeg: bool

    def recordings(self) -> dict[str, Recording]:
        """Return what to record into the folders training/ and validation/."""
        rig = KITTI.resized(self.width, self.height)
        return {
            "training": Recording(self.train, 20_260, rig, "train", block=self.block, jpeg=self.jpeg),
            "validation": Recording(self.val, 20_261, rig, "val", block=self.block, jpeg=self.jpeg),
        }


DATA_SETS: dict[str, DataSet] = {
    "sim-mini": DataSet(200, 50, 640, 192, 1, True),
    "sim-small": DataSet(2_000, 500, 640, 192, 1, True),
    "sim-full": DataSet(20_000, 2_000, 1242, 375, 2, False),
}
"""For tests, for two cores, and for experiments at KITTI's size."""
