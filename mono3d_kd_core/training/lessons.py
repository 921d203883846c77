"""What a distilled student is shown: frames of any source, with or without labels, with points or a teacher's own words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource, SensorFrame
from mono3d_kd_core.geometry.boxes import Boxes3D
from mono3d_kd_core.geometry.depth import depth_map, points_in_view
from mono3d_kd_core.geometry.rigid import T_CAMERA_BODY, inverse
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.targets.store import TargetStore
from mono3d_kd_core.teachers.base import TeacherOutput, Want
from mono3d_kd_core.training.data import Batch, collate
from mono3d_kd_core.training.examples import Example, Labelled, annotate, open_labelled, trusting
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.recipe import DataConfig, Section
from mono3d_kd_core.training.reference import Reference


class SourceConfig(Section):
    """Frames to learn from: a bag, a KITTI raw drive, or a folder in KITTI's layout (labels, simulated, target store)."""

    path: Path
    rig: Path | None = None
    """Rig file of a bag; guessed without. With labels it is the drive file that names it."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Part of the frames that is used, evenly chosen."""
    repeat: int = Field(default=1, gt=0)
    """How often each is seen in an epoch."""
    labels: bool = False
    """Use the labels, where the recipe gives them a weight."""
    targets: Path | None = None
    """Target store with the teacher's answers to these frames, which is then not asked again."""


@dataclass(frozen=True)
class Lesson(Example):
    """An example, and what a teacher needs or said.

    points (N,4) are those of the picture, LiDAR frame, as recorded: also where the picture is mirrored. `labelled` says
    whether the annotation may be taught. answers is the target store that has a teacher's answer, not mirrored either; it is
    read when it is wanted: those of a drive are too many for memory.
    """

    points: NDArray[np.float32] | None = None
    labelled: bool = False
    answers: Path | None = None

    def frame(self) -> SensorFrame:
        """Return what a teacher looks at: the world as the picture shows it, perhaps mirrored."""
        rig = replace(self.reference.rig, camera=self.camera, T_camera_lidar=self.pose)
        points = self.points
        if points is not None and self.mirrored:
            points = points * np.array([1, -1, 1, 1], np.float32)
        return SensorFrame(self.id, 0, self.image, points, rig)

    def depth(self) -> NDArray[np.float32] | None:
        """Return the sweep's depth (H,W) in metres at the picture's pixels, 0 where unknown; None without a sweep."""
        points = self.frame().points
        return None if points is None else depth_map(points, self.camera, self.pose)

    def labels(self) -> Boxes3D | None:
        """Return the labels that may be taught, frame "lidar"."""
        boxes = self.annotation.boxes
        return boxes.transformed(inverse(self.pose) @ T_CAMERA_BODY, "lidar") if self.labelled else None

    def stored(self, want: Want) -> TeacherOutput | None:
        """Return what is wanted of the teacher's stored answer, as the picture shows it.

        Raises DataError for a map that would have to be mirrored, and for an answer that lacks what is wanted.
        """
        if self.answers is None:
            return None
        said = _opened(self.answers).read(self.id)
        bev = said.bev if Want.BEV_FEATURES in want else None
        responses = said.responses if Want.RESPONSES in want else None
        if (Want.BEV_FEATURES in want and bev is None) or (Want.RESPONSES in want and responses is None):
            raise DataError(
                f"{self.answers}: frame {self.id} was stored without what is to be taught; make the targets with --bev and "
                "--responses by a teacher that has a bird's-eye map, or let the teacher look itself"
            )
        if not self.mirrored:
            return TeacherOutput(said.boxes, bev, responses)
        if bev is not None or responses is not None:
            raise DataError(
                f"frame {self.id}: a stored map cannot be mirrored; set augment.flip to 0, or let the teacher look itself"
            )
        return TeacherOutput(said.boxes.mirrored())


@cache
def _opened(store: Path) -> TargetStore:
    return TargetStore(store)


@dataclass
class LessonBatch(Batch):
    """A batch, and the lessons behind it."""

    lessons: list[Lesson]


def collate_lessons(lessons: Sequence[Lesson]) -> LessonBatch:
    """Join lessons of one size."""
    return LessonBatch(**vars(collate(lessons)), lessons=list(lessons))


class _Source:
    """One source of the recipe, opened."""

    def __init__(self, config: SourceConfig, data: DataConfig) -> None:
        self.config = config
        self._labelled = open_labelled(config.path) if config.labels else None
        self.frames: FrameSource | Labelled = self._labelled or open_source(config.path, config.rig)
        self.data = trusting(data, self.frames.name)
        store = None if config.targets is None else _opened(config.targets)
        count = len(self.frames)
        chosen = np.unique(np.linspace(0, count - 1, max(1, round(config.share * count))).round().astype(int))
        self.chosen = [i for i in chosen.tolist() if store is None or store.has(self.frames.ids[i])]
        if not self.chosen:
            raise DataError(f"{config.targets}: holds no targets of the frames of {config.path}")

    def rows(self, index: int, frame: SensorFrame) -> KittiLabels:
        """Return the labels of a frame, none where they are not used."""
        if self._labelled is not None:
            return self._labelled.labels(index)
        return KittiLabels.from_boxes(Boxes3D.empty("camera"), frame.rig.camera)


class Lessons:
    """The frames of the sources, made into lessons of one size (height, width)."""

    def __init__(
        self, sources: Sequence[SourceConfig], classes: Sequence[str], size: tuple[int, int], config: DataConfig,
        guard: Guard,
    ) -> None:  # fmt: skip
        self._sources = [_Source(source, config) for source in sources]
        self.classes, self.size, self.guard = classes, size, guard
        self._places = [
            (source, i) for source in self._sources for _ in range(source.config.repeat) for i in source.chosen
        ]
        if not self._places:
            raise DataError("the recipe names no sources to learn from; give sources, or --data")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Lesson:
        source, i = self._places[index]
        frame = source.frames[i]
        self.guard.check(source.frames.name, frame)
        camera = frame.rig.camera
        letterbox = Letterbox.fit(camera.width, camera.height, self.size)
        labels = source.rows(i, frame)
        points = frame.points
        if points is not None:
            points = points[points_in_view(points, camera, frame.rig.T_camera_lidar)]
        return Lesson(
            frame.id, letterbox.image(frame.image), letterbox.camera(camera),
            annotate(labels, camera, letterbox, self.classes, source.data), Reference.of(labels, frame.rig),
            frame.rig.T_camera_lidar, False, points, source.config.labels, source.config.targets,
        )  # fmt: skip

    def __iter__(self) -> Iterator[Lesson]:
        return (self[index] for index in range(len(self)))

    @property
    def answered(self) -> bool:
        """Whether a teacher's answers to all frames are stored."""
        return all(source.config.targets is not None for source in self._sources)

    def account(self) -> list[dict[str, str | int]]:
        """Say of each source how many frames it has, and how many are used, with labels and with stored targets."""
        return [
            {
                "source": str(s.config.path), "frames": len(s.frames), "used": len(s.chosen), "repeat": s.config.repeat,
                "labelled": len(s.chosen) * s.config.labels,
                "stored_targets": len(s.chosen) * (s.config.targets is not None),
            }
            for s in self._sources
        ]  # fmt: skip
