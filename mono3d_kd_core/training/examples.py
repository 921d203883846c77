"""What training sees of a data set: pictures at the network's size, their cameras and what is taught about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import SensorFrame
from mono3d_kd_core.geometry.camera import CameraModel
from mono3d_kd_core.geometry.rigid import Matrix
from mono3d_kd_core.io.kitti import KittiLabels, KittiObjectSource
from mono3d_kd_core.io.labelled import LabelledDrive, label_folder
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.io.settings import read_settings
from mono3d_kd_core.students.base import Annotation
from mono3d_kd_core.students.letterbox import Letterbox
from mono3d_kd_core.targets.provenance import Provenance
from mono3d_kd_core.targets.store import PROVENANCE
from mono3d_kd_core.training.recipe import DataConfig
from mono3d_kd_core.training.reference import Reference


@dataclass(frozen=True)
class Example:
    """One picture (H,W,3) uint8 RGB of the network's size, the camera that describes it, and what is taught about it.

    pose is T_camera_lidar (4,4) of the picture; `mirrored` says that the world was mirrored left to right. reference is
    what was known of the frame before it was made into this.
    """

    id: str
    image: NDArray[np.uint8]
    camera: CameraModel
    annotation: Annotation
    reference: Reference
    pose: Matrix
    mirrored: bool = False


class Labelled(Protocol):
    """A source of frames that also has labels, by the same index."""

    name: str

    @property
    def ids(self) -> Sequence[str]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> SensorFrame: ...

    def picture(self, index: int) -> SensorFrame: ...

    def labels(self, index: int) -> KittiLabels: ...


class ExampleSource(Protocol):
    """Examples of one size (height, width), by index."""

    size: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Example: ...


class Examples:
    """Frames of labelled sources, one source after the other, made into examples of one size (height, width)."""

    def __init__(
        self, sources: Sequence[Labelled], classes: Sequence[str], size: tuple[int, int], config: DataConfig
    ) -> None:
        self.sources = sources
        self.classes = classes
        self.size = size
        self._configs = [trusting(config, source.name) for source in sources]
        self._places = [(s, i) for s, source in enumerate(sources) for i in range(len(source))]
        if not self._places:
            raise DataError(f"no frames to train on in {', '.join(source.name for source in sources)}")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Example:
        place, i = self._places[index]
        source, config = self.sources[place], self._configs[place]
        frame = source.picture(i)
        letterbox = Letterbox.fit(frame.rig.camera.width, frame.rig.camera.height, self.size)
        labels, camera = source.labels(i), frame.rig.camera
        annotation = annotate(labels, camera, letterbox, self.classes, config)
        reference = Reference.of(labels, frame.rig, config.min_score)
        return Example(
            frame.id, letterbox.image(frame.image), letterbox.camera(camera), annotation, reference, frame.rig.T_camera_lidar
        )  # fmt: skip

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))


def annotate(
    labels: KittiLabels, camera: CameraModel, letterbox: Letterbox, classes: Sequence[str], config: DataConfig
) -> Annotation:
    """Turn the rows of a label file into what is taught about the letterboxed picture.

    Rows of a learned class are objects unless they are doubtful: a low score, hardly visible, too small. Doubtful rows and
    rows of the ignored classes become regions about which nothing is said.
    """
    box2d = letterbox.box2d(labels.bbox, camera)
    learned = np.isin(labels.type, classes)
    doubtful = (labels.occluded > config.max_occlusion) | (labels.truncated > config.max_truncation)
    doubtful |= box2d[:, 3] - box2d[:, 1] < config.min_height
    weight = np.ones(len(labels))
    if labels.score is not None:
        doubtful |= labels.score < (config.min_score or -np.inf)
        weight = np.clip(labels.score / config.full_score, 0, 1) if config.full_score else weight
    objects = learned & ~doubtful
    ignored = (learned & doubtful) | np.isin(labels.type, config.ignored)
    return Annotation(labels[objects].boxes(), box2d[objects], weight[objects], box2d[ignored])


def trusting(config: DataConfig, folder: str) -> DataConfig:
    """Return the settings with the least score of a target store's boxes, where they do not say one themselves."""
    return config if config.min_score is not None else config.model_copy(update={"min_score": trusted_score(folder)})


def trusted_score(folder: str) -> float | None:
    """Return the score below which a target store's boxes are doubtful, by its teacher's card; None for labels.

    Raises DataError when the store's provenance cannot be read.
    """
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        return None
    return read_settings(path, Provenance, DataError).trusted_score


def open_labelled(path: Path) -> Labelled:
    """Open a drive with its labels: a folder in KITTI's layout with label_2/, or a drive file that names both.

    Raises DataError that says what to give instead of a drive without labels.
    """
    source, folder = open_source(path), label_folder(path)
    if folder is None:
        raise DataError(
            f"{path}: nobody has labelled its objects. Let a LiDAR teacher do so, and give what it makes: mono3d-kd targets "
            f"{path} --teacher BUNDLE --out STORE; or give a drive file, YAML with drive: {path} and labels: a folder of "
            "KITTI label files <frame id>.txt"
        )
    beside = isinstance(source, KittiObjectSource) and folder.parent == source.folder
    if not beside and (folder.parent / PROVENANCE).is_file():
        raise DataError(
            f"{path}: the labels are a target store's; give {folder.parent} itself, which holds the pictures, too, and says "
            "from which score on its boxes are trusted"
        )
    return LabelledDrive(source, folder)
