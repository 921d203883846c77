"""What a student that learns from 2D boxes is shown. What a label file says of space is forgotten as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mono3d_kd_core.distillation.boxes2d import Boxes2D, cut_edges, picture_of, shown_part
from mono3d_kd_core.distillation.densify import DepthMap, densify
from mono3d_kd_core.errors import DataError
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.depth import points_in_view
from mono3d_kd_core.io.files import read_depth
from mono3d_kd_core.io.kitti import KittiLabels
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.training.examples import annotate
from mono3d_kd_core.training.leaks import Guard
from mono3d_kd_core.training.lessons import Lesson
from mono3d_kd_core.training.reference import Reference
from mono3d_kd_core.training.weak.recipe import SkdRecipe, WeakSourceConfig
from mono3d_kd_core.training.weak.sources import WeakSource


@dataclass(frozen=True)
class WeakLesson(Lesson):
    """A lesson whose annotation has 2D boxes; its boxes in space are NaN.

    map is the frame's depth picture, `per_metre` what a metre is in it; without, depth is that of the points.
    """

    map: Path | None = None
    per_metre: float = 256.0

    @property
    def whole(self) -> CameraModel:
        """The camera of the recorded image, mirrored where the picture is."""
        camera = self.reference.rig.camera
        return camera.flipped() if self.mirrored else camera

    def boxes2d(self) -> Boxes2D:
        """Return the boxes as the picture shows them."""
        a = self.annotation
        return Boxes2D(a.boxes.label, a.box2d, cut_edges(a.box2d, shown_part(self.whole, self.camera)), a.ignore)

    def prior(self) -> DepthMap | None:
        """Return the dense depth (H,W) in metres at the picture's pixels, 0 where unknown; None where there is none."""
        if self.map is None:
            sweep = self.depth()
            return None if sweep is None else densify(sweep)
        recorded = read_depth(self.map) * np.float32(256 / self.per_metre)
        recorded = np.ascontiguousarray(recorded[:, ::-1]) if self.mirrored else recorded
        return seen_through(recorded, self.whole, self.camera)


def seen_through(depth: DepthMap, whole: CameraModel, picture: CameraModel) -> DepthMap:
    """Return what a depth map (h,w) of the image that `whole` took is in a picture made of that image; 0 in the padding.

    The map may be of another resolution than the image.
    """
    own = whole.resized(depth.shape[1], depth.shape[0])
    size = (picture.width, picture.height)
    return np.asarray(cv2.warpAffine(depth, picture_of(own, picture)[:2], size, flags=cv2.INTER_NEAREST), np.float32)


class WeakLessons:
    """The frames of the sources that have 2D boxes, made into lessons of one size (height, width)."""

    def __init__(
        self, sources: Sequence[WeakSourceConfig], recipe: SkdRecipe, guard: Guard, keep: Path = Path("depth")
    ) -> None:
        c = recipe.student
        self.recipe, self.classes, self.size, self.guard = recipe, c.classes, (c.input_height, c.input_width), guard
        self._sources = [WeakSource(source, recipe, keep / str(number)) for number, source in enumerate(sources)]
        self._places = [(source, i) for source in self._sources for i in source.chosen]
        if not self._places:
            raise DataError("the recipe names no sources to learn from; give sources, or --data")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> WeakLesson:
        source, i = self._places[index]
        sweep = self.recipe.teach.wants_depth and source.maps is None
        frame = source.frames[i] if sweep else source.frames.picture(i)
        self.guard.check(source.frames.name, frame)
        camera = frame.rig.camera
        letterbox = Letterbox.fit(camera.width, camera.height, self.size)
        labels = without_space(KittiLabels.read(source.boxes / f"{frame.id}.txt"))
        points, prior = None, None
        if sweep:
            if frame.points is None:
                raise DataError(
                    f"{source.frames.name}: frame {frame.id} has no LiDAR points to take depth from; give depth maps "
                    "with depth.source=maps"
                )
            points = frame.points[points_in_view(frame.points, camera, frame.rig.T_camera_lidar)]
        elif source.maps is not None:
            prior = source.maps / f"{frame.id}.png"
        return WeakLesson(
            frame.id, letterbox.image(frame.image), letterbox.camera(camera),
            annotate(labels, camera, letterbox, self.classes, source.data), Reference.of(labels, frame.rig),
            frame.rig.T_camera_lidar, points=points, map=prior, per_metre=source.per_metre,
        )  # fmt: skip

    def __iter__(self) -> Iterator[WeakLesson]:
        return (self[index] for index in range(len(self)))


def without_space(labels: KittiLabels) -> KittiLabels:
    """Return label rows of which only the image is known: where, how large and how turned the objects are is NaN."""
    nothing = np.full(len(labels), np.nan)
    triple = np.full((len(labels), 3), np.nan)
    return replace(labels, alpha=nothing, dimensions=triple, location=triple, rotation_y=nothing)
