"""Point clouds with boxes, for training LiDAR teachers."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.training.examples import Labelled
from mono3d_kd_core.training.reference import Reference


@dataclass(frozen=True)
class CloudExample:
    """One cloud (N,4) of the camera's view, the objects in it, frame "lidar", and what is known of the frame."""

    id: str
    points: NDArray[np.float32]
    boxes: Boxes3D
    reference: Reference


class Clouds(Dataset[CloudExample]):
    """Clouds of labelled sources, one source after the other; labels other than `classes` are left out.

    Only what the camera sees is kept, since KITTI labels nothing else; of that, as many frames as `cache_gib` holds stay in
    memory.
    """

    def __init__(
        self, sources: Sequence[Labelled], classes: Sequence[str], min_points: int = 5, cache_gib: float = 0
    ) -> None:
        self._places = [(source, i) for source in sources for i in range(len(source))]
        self.classes, self.min_points = classes, min_points
        self._kept: dict[int, CloudExample] = {}
        self._room = cache_gib * 2**30
        if not self._places:
            raise DataError(f"no frames to train on in {', '.join(source.name for source in sources)}")

    def __len__(self) -> int:
        return len(self._places)

    def drawn(self, share: float, seed: int, repeat: int = 1) -> Clouds:
        """Return a part of the clouds, at least one, drawn at random but kept in order; each `repeat` times."""
        order = np.random.default_rng(seed).permutation(len(self))
        chosen = np.sort(order[: max(1, round(share * len(self)))])
        part = copy(self)
        part._places = [self._places[i] for _ in range(repeat) for i in chosen.tolist()]
        return part

    def sweeps(self, most: int) -> list[NDArray[np.float32]]:
        """Return the whole sweeps (N,4) of at most so many frames, evenly spread."""
        chosen = self._places[:: -(-len(self) // most)]
        return [points for source, i in chosen if (points := source[i].points) is not None]

    def __getitem__(self, index: int) -> CloudExample:
        if index in self._kept:
            return self._kept[index]
        example = self._read(index)
        self._room -= example.points.nbytes
        if self._room >= 0:
            self._kept[index] = example
        return example

    def _read(self, index: int) -> CloudExample:
        source, i = self._places[index]
        frame = source[i]
        if frame.points is None:
            raise DataError(f"{source.name}: frame {frame.id} has no LiDAR points; a LiDAR teacher cannot learn from it")
        labels = source.labels(i)
        boxes = frame.rig.boxes_in_lidar(labels.boxes())
        boxes = boxes[np.isin(boxes.label, self.classes)]
        points = frame.points[points_in_view(frame.points, frame.rig.camera, frame.rig.T_camera_lidar)]
        enough = boxes.contains(points[:, :3]).sum(1) >= self.min_points
        return CloudExample(frame.id, points, boxes[enough], Reference.of(labels, frame.rig))
