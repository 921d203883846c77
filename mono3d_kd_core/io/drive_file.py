"""Drive files: what belongs to a drive that lies elsewhere, such as the labels of a bag."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mono3d_kd_core.errors import DataError
from mono3d_kd_core.io.settings import read_settings

SUFFIXES = (".yaml", ".yml")


def is_drive_file(path: Path) -> bool:
    """Tell whether a path is a drive file, by its name."""
    return path.suffix in SUFFIXES and path.is_file()


class DriveFile(BaseModel):
    """A drive, and what is known of it beside what was recorded. Paths are relative to the file.

    It may stand wherever a drive may: see docs/data.md for an example.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    drive: Path
    """Bag, KITTI raw drive or KITTI object folder."""
    rig: Path | None = None
    """Rig file of a bag; guessed without."""
    labels: Path | None = None
    """KITTI label files <frame id>.txt; without, those of a KITTI object folder."""

    @classmethod
    def load(cls, path: Path) -> DriveFile:
        """Read a drive file. Raises DataError naming the file, and the key or the path that is wrong."""
        given = read_settings(path, cls, DataError)
        found = {name: path.parent / place for name, place in given if place is not None}
        for name, place in found.items():
            if not place.exists():
                raise DataError(f"{path}: {name}: there is no {place}; paths are relative to this file")
        if is_drive_file(found["drive"]):
            raise DataError(f"{path}: drive: {found['drive']} is a drive file itself; name the recording")
        return cls(**found)
