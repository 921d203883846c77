"""Where frames with 2D boxes come from, and the depth maps that go with them."""

from __future__ import annotations

from pathlib import Path

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.frames import FrameSource
from mono3d_kd_core.io.bag import BagSource
from mono3d_kd_core.io.bag_depth import write_depth_maps
from mono3d_kd_core.io.kitti import KittiObjectSource
from mono3d_kd_core.io.labelled import label_folder
from mono3d_kd_core.io.open import open_source
from mono3d_kd_core.training.examples import trusting
from mono3d_kd_core.training.recipe import DataConfig
from mono3d_kd_core.training.weak.recipe import DepthPriorConfig, SkdRecipe, WeakSourceConfig


class WeakSource:
    """One source, opened: its frames that have a label file. What has to be written for it goes to `keep`."""

    def __init__(self, config: WeakSourceConfig, recipe: SkdRecipe, keep: Path) -> None:
        self.frames: FrameSource = open_source(config.path, config.rig)
        self.boxes = boxes_of(config, recipe)
        self.data: DataConfig = trusting(recipe.data, self.frames.name)
        self.maps: Path | None = None
        self.per_metre = recipe.depth.per_metre
        self.chosen = [i for i, id_ in enumerate(self.frames.ids) if (self.boxes / f"{id_}.txt").is_file()]
        if not self.chosen:
            raise DataError(f"{config.path}: none of its {len(self.frames)} frames has a label file in {self.boxes}")
        if recipe.teach.wants_depth and recipe.depth.source == "maps":
            self._find_maps(config, recipe.depth, keep)

    def _find_maps(self, config: WeakSourceConfig, depth: DepthPriorConfig, keep: Path) -> None:
        if depth.topic is not None and config.depth is None and isinstance(self.frames, BagSource):
            write_depth_maps(self.frames, depth.topic, keep)
            self.maps, self.per_metre = keep, 256.0
            self.chosen = [i for i in self.chosen if (keep / f"{self.frames.ids[i]}.png").is_file()]
            if not self.chosen:
                raise DataError(
                    f"{config.path}: no frame with boxes in {self.boxes} has a depth image of {depth.topic}"
                )
        else:
            self.maps = maps = _maps_of(config, self.frames, depth)
            ids = [self.frames.ids[i] for i in self.chosen]
            lacking = [id_ for id_ in ids if not (maps / f"{id_}.png").is_file()]
            if lacking:
                raise DataError(
                    f"{self.maps}: there is no depth map of {len(lacking)} frames, such as {lacking[0]}.png; give "
                    "depth.folder, or take the sweeps' depth with depth.source=lidar"
                )


def boxes_of(config: WeakSourceConfig, recipe: SkdRecipe) -> Path:
    """Return where the label files of a source lie. Raises DataError when nobody says."""
    given = config.boxes or recipe.boxes
    if given is not None:
        return given
    folder = label_folder(config.path)
    if folder is None:
        raise DataError(
            f"{config.path}: nobody has boxed its objects; give boxes: a folder of KITTI label files <frame id>.txt, of "
            f"which class and 2D box are read, or a drive file, YAML with drive: {config.path} and labels: that folder"
        )
    return folder


def _maps_of(config: WeakSourceConfig, frames: FrameSource, depth: DepthPriorConfig) -> Path:
    given = config.depth or depth.folder
    if given is not None:
        return given
    if isinstance(frames, KittiObjectSource):
        return frames.folder / "depth_2"
    raise DataError(
        f"{config.path}: which depth maps? Give depth.folder: 16-bit PNG <frame id>.png, or a bag's depth.topic"
    )
